from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.errors import DataError
from ilk.items import Item, Items
from ilk.split import class_parents, merge_splits, split_items

_PIXEL = np.zeros((1, 1), np.uint8)


def _items(rows: Sequence[tuple[str, str | None]]) -> Items:
    return Items(tuple(Item(_PIXEL, label, f"{i}", split) for i, (label, split) in enumerate(rows)))


def _of_sizes(sizes: list[int]) -> Items:
    return _items([(f"{c}", None) for c, size in enumerate(sizes) for _ in range(size)])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 4), min_size=4, max_size=20).filter(
        lambda sizes: sum(s >= 2 for s in sizes) >= 4
    ),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_classes_are_disjoint_and_both_sides_can_be_used(
    sizes: list[int], fraction: float, seed: int
) -> None:
    items = _of_sizes(sizes)
    split = split_items(items, fraction=fraction, by="class", seed=seed)
    assert not set(split.training.classes) & set(split.validation.classes)
    assert len(split.training) + len(split.validation) == len(items)
    for part in (split.training, split.validation):
        assert sum(size >= 2 for size in part.class_sizes.values()) >= 2
    assert min(split.validation.class_sizes.values()) >= 2
    paired = sum(size >= 2 for size in sizes)
    assert len(split.validation.classes) == min(max(2, round(fraction * paired)), paired - 2)


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    items = _of_sizes([2] * 30)
    split = split_items(items, fraction=0.3, by="class", seed=0)
    turned = split_items(items.take(range(59, -1, -1)), fraction=0.3, by="class", seed=0)
    assert split.validation.classes == turned.validation.classes
    other = split_items(items, fraction=0.3, by="class", seed=1)
    assert split.validation.classes != other.validation.classes


def test_test_items_are_left_alone() -> None:
    rows = [(f"{c}", "train") for c in range(6) for _ in range(2)]
    rows += [(f"t{c}", "test") for c in range(3) for _ in range(2)]
    split = split_items(_items(rows), fraction=0.4, by="class", seed=0)
    labels = {*split.training.classes, *split.validation.classes}
    assert labels == {f"{c}" for c in range(6)}
    assert split.left_out == {"test": 6}


def test_given_validation_items_are_taken() -> None:
    rows: list[tuple[str, str | None]] = [
        ("a", "train"),
        ("b", "train"),
        ("c", "val"),
        ("d", "val"),
    ]
    split = split_items(_items(rows * 2), fraction=0.5, by="class", seed=0)
    assert split.validation.classes == ("c", "d")


def test_given_splits_with_a_common_class_are_refused() -> None:
    rows: list[tuple[str, str | None]] = [
        ("a", "train"),
        ("b", "train"),
        ("b", "val"),
        ("d", "val"),
    ]
    with pytest.raises(DataError, match=r"must not share a class, got 1 in both .*'b' first"):
        split_items(_items(rows * 2), fraction=0.5, by="class", seed=0)


def test_parents_stay_together() -> None:
    items = _items([(f"p{p}/c{c}", None) for p in range(5) for c in range(3) for _ in range(2)])
    split = split_items(items, fraction=0.4, by="parent", seed=0)
    parents = [
        {label.partition("/")[0] for label in part.classes}
        for part in (split.training, split.validation)
    ]
    assert not parents[0] & parents[1]
    assert len(split.validation.classes) == 6


def test_parents_are_needed_to_split_by_them() -> None:
    with pytest.raises(DataError, match="at least two parents, got 1; use 'class'"):
        split_items(_of_sizes([2] * 6), fraction=0.4, by="parent", seed=0)


@pytest.mark.parametrize("sizes", [[5, 5, 5], [1] * 20, [2, 2, 2, 1, 1, 1]])
def test_too_few_classes_say_what_is_needed(sizes: list[int]) -> None:
    items = replace(_of_sizes(sizes), origin="here")
    with pytest.raises(DataError, match=r"at least two classes with two items each.*here has"):
        split_items(items, fraction=0.5, by="class", seed=0)


def test_parents_of_classes_are_in_the_order_of_the_class_ids() -> None:
    labels = ["b/x", "a/y/1", "plain", "b/z", "a/y/2", "a/x"]
    items = _items([(label, None) for label in labels])
    parents = class_parents(items)
    assert parents.shape == (len(items.classes),)
    by_label = dict(zip(items.classes, parents.tolist(), strict=True))
    assert by_label["a/y/1"] == by_label["a/y/2"] != by_label["a/x"]
    assert by_label["b/x"] == by_label["b/z"] != by_label["plain"]
    assert len(set(by_label.values())) == 4


_CLOSED = [(f"{c}", split) for c in range(8) for split in ("train", "val", "test") for _ in "ab"]


def test_classes_in_several_splits_are_refused_with_the_setting_that_merges() -> None:
    with pytest.raises(DataError, match=r"got 8 in both .*--set data\.merge_splits=true"):
        split_items(_items(_CLOSED), fraction=0.3, by="class", seed=0)


def test_merged_splits_hold_out_whole_classes_and_leave_the_rest() -> None:
    rows = [*_CLOSED, ("new", "test"), ("new", "test"), ("odd", "holdout")]
    split = split_items(merge_splits(_items(rows)), fraction=0.25, by="class", seed=0)
    assert not set(split.training.classes) & set(split.validation.classes)
    assert len(split.training.classes) == 6
    assert set(split.training.class_sizes.values()) == {6}
    assert set(split.validation.class_sizes.values()) == {6}
    assert split.left_out == {"test": 2, "holdout": 1}


@pytest.mark.parametrize("name", ["Train", "TRAINING ", "0", "\u00a0train", ""])
@pytest.mark.parametrize("other", ["Val", "valid", "VALIDATION", "dev ", "Dev"])
def test_a_split_has_many_ways_to_be_written(name: str, other: str) -> None:
    rows = [(f"{c}", name) for c in range(4) for _ in "ab"]
    rows += [(f"v{c}", other) for c in range(2) for _ in "ab"]
    split = split_items(_items(rows), fraction=0.5, by="class", seed=0)
    assert (len(split.training.classes), len(split.validation.classes)) == (4, 2)
    assert not split.left_out


def test_splits_that_nothing_is_known_of_are_named() -> None:
    rows = [(f"{c}", "holdout") for c in range(9) for _ in "ab"] + [("a", "train")] * 2
    with pytest.raises(DataError, match=r"has 1 such classes of 1; .*: 'holdout' 18$"):
        split_items(_items(rows), fraction=0.5, by="class", seed=0)
