"""Items: what they hash to, and how they are chosen from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from ilk.artifact import class_hash
from ilk.datasets import open_source
from ilk.errors import InvalidInput
from ilk.items import Item, Items


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    hashes = {Item(tmp_path / name, name, name).content_hash() for name in "ab"}
    assert hashes == {hashlib.sha256(content).hexdigest()}


def test_the_box_is_part_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    boxes = [None, (0, 0, 1, 1), (0, 0, 1, 2), (0.0, 0.0, 1.0, 2.0)]
    hashes = [Item(tmp_path / "a", "", "", box=box).content_hash() for box in boxes]
    assert len(set(hashes)) == 3
    assert hashes[2] == hashes[3]


def test_the_hash_of_an_array_tells_shape_and_type() -> None:
    zeros: list[np.ndarray] = [
        np.zeros(4, np.uint8),
        np.zeros((2, 2), np.uint8),
        np.zeros(1, np.float32),
    ]
    assert len({Item(array, "", "").content_hash() for array in zeros}) == 3
    turned = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    same = np.ascontiguousarray(turned)
    assert Item(turned, "", "").content_hash() == Item(same, "", "").content_hash()


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "regular file"), (".", "folder"), ("none", "No such file")):
        with pytest.raises(OSError, match=reason):
            Item(tmp_path / name, "", name).content_hash()


def test_items_are_chosen_in_their_order() -> None:
    items = Items.from_arrays(np.zeros((5, 2)), list("babca"))
    assert items.classes == ("a", "b", "c")
    assert items.class_ids.tolist() == [1, 0, 1, 2, 0]
    assert items.class_sizes == {"a": 2, "b": 2, "c": 1}
    assert [item.name for item in items.of_classes("ac").items] == ["row 1", "row 3", "row 4"]
    assert [item.name for item in items.take([4, 0]).items] == ["row 4", "row 0"]
    assert len(items.where(lambda item: item.label == "c")) == 1
    with pytest.raises(InvalidInput, match="one label per array, got 1 for 2"):
        Items.from_arrays(np.zeros((2, 2)), ["a"])


def test_arrays_take_numbers_for_labels_and_refuse_a_row_by_itself() -> None:
    pixels = np.zeros((5, 2, 2), np.uint8)
    items = Items.from_arrays(pixels, [0, 0.0, np.int64(0), np.float32(0), " 0\u00a0"])
    assert items.classes == ("0",)
    items = Items.from_arrays(pixels, ["a", "", float("nan"), ["b"], "c\x1bd"])
    assert items.classes == ("a",)
    assert [problem.name for problem in items.problems] == ["row 1", "row 2", "row 3", "row 4"]


@pytest.mark.parametrize("label", ["Ada ", "\u00a0Ada", "Ada\u2003", "\tAda\r\n", "Ada\x1f"])
def test_an_item_has_the_one_form_of_its_label(label: str) -> None:
    assert Item(np.zeros((1, 1)), label, "").label == "Ada"
    assert class_hash(label) == class_hash("Ada")


def test_items_made_by_hand_whose_label_is_none_are_problems() -> None:
    items = Items(tuple(Item(np.zeros((1, 1)), label, label) for label in ("a", "b\nc", "x" * 501)))
    opened = open_source(items, on_unreadable="skip")
    assert opened.classes == ("a",)
    assert [problem.name for problem in opened.problems] == ["b\nc", "x" * 501]
