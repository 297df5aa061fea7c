"""Which classes train and which choose the best weights: never the same ones.

Shapes: C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np

from ilk.errors import DataError
from ilk.items import Item, Items

__all__ = ["MERGE", "Split", "class_parents", "merge_splits", "split_items", "takes_part"]

_TRAINING = (None, "train")
_VALIDATION = ("val",)
MERGE = "--set data.merge_splits=true"
"""The setting for classes that are in several splits."""


@final
@dataclass(frozen=True)
class Split:
    """Items to learn from, items to choose the best weights by, and how many were left alone."""

    training: Items
    validation: Items
    left_out: Mapping[str, int]
    """Items by other splits, such as "test"; training does not look at them."""


def takes_part(item: Item) -> bool:
    """Return whether training looks at an item: whether its split is none, training or validation.

    Example:
        >>> takes_part(Item(np.zeros((1, 1)), "a", "a.png", split="test"))
        False
    """
    return item.split in _TRAINING or item.split in _VALIDATION


def merge_splits(items: Items) -> Items:
    """Return the items with the classes of training or validation whole, as if in no split.

    What is usual where the classes are known beforehand, each in every split, becomes what is
    needed here: classes to learn from, and others to choose by. Classes that are in other splits
    alone, such as "test", stay there.

    Example:
        >>> labels = [("a", "train"), ("a", "val"), ("a", "test"), ("b", "test")]
        >>> items = Items(tuple(Item(np.zeros(1), label, "", split) for label, split in labels))
        >>> [(item.label, item.split) for item in merge_splits(items).items]
        [('a', None), ('a', None), ('a', None), ('b', 'test')]
    """
    ours = {item.label for item in items.items if takes_part(item)}
    merged = (replace(i, split=None) if i.label in ours else i for i in items.items)
    return replace(items, items=tuple(merged))


def split_items(
    items: Items, *, fraction: float, by: Literal["class", "parent"], seed: int
) -> Split:
    """Divide items into training and validation items without a common class.

    Items with a split are taken at their word: "train" (or none) trains, "val" validates, in all
    the ways to write them (`ilk.labels.split_name`); anything else is left alone. Without
    validation items, classes of the training items are drawn for it. They depend on the labels and
    the seed alone, not on the order of the items.

    Args:
        items: What the source has.
        fraction: Share of the classes that validates, above 0 and below 1; at least two classes
            with two items each on both sides.
        by: "parent" draws whole parents, where the parent of "Greek/alpha" is "Greek".
        seed: Another seed, another draw.

    Raises:
        DataError: There are too few classes, or the given splits share one.

    Example:
        >>> items = Items.from_arrays(np.zeros((8, 2, 2), np.uint8), "aabbccdd")
        >>> split = split_items(items, fraction=0.5, by="class", seed=0)
        >>> len(split.training.classes), len(split.validation.classes)
        (2, 2)
    """
    training = items.where(lambda item: item.split in _TRAINING)
    validation = items.where(lambda item: item.split in _VALIDATION)
    left_out = Counter(item.split for item in items.items if item.split and not takes_part(item))
    if not len(validation):
        if len(_paired(training)) < 4:
            raise DataError(_too_few(items, "train and two to validate", training, left_out))
        chosen = _draw(training, fraction, by, seed)
        validation = training.of_classes(chosen)
        training = training.where(lambda item: item.label not in chosen)
    if both := sorted(set(training.classes) & set(validation.classes)):
        raise DataError(
            f"training and validation items must not share a class, got {len(both)} in both splits "
            f"({both[0]!r} first); to take each class whole, whatever its splits, and hold some "
            f"of them out, add {MERGE}; or give each class one split"
        )
    for part, name in ((training, "train"), (validation, "validate")):
        if len(_paired(part)) < 2:
            raise DataError(_too_few(items, name, part, left_out))
    return Split(training, validation, left_out)


def class_parents(items: Items) -> np.ndarray:
    """Return the parent of each class as a number, (C,) int64: classes of equal numbers share one.

    The parent of a class is its label up to the last "/".

    Example:
        >>> pixel = np.zeros((1, 1), np.uint8)
        >>> labels = ("Greek/a", "Greek/b", "Latin/a")
        >>> items = Items(tuple(Item(pixel, label, label) for label in labels), origin="here")
        >>> class_parents(items).tolist()
        [0, 0, 1]
    """
    names = [label.rpartition("/")[0] for label in items.classes]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _paired(items: Items) -> list[str]:
    """Return the classes with at least two items, sorted."""
    return [label for label in items.classes if items.class_sizes[label] >= 2]


def _draw(items: Items, fraction: float, by: str, seed: int) -> frozenset[str]:
    """Draw classes with at least two items, whole groups at a time, until there are enough."""
    groups: dict[str, list[str]] = {}
    for label in _paired(items):
        name = label.rpartition("/")[0] if by == "parent" else label
        groups.setdefault(name, []).append(label)
    num_classes = sum(map(len, groups.values()))
    if len(groups) < 2:
        raise DataError(
            "data.validation_by = 'parent' needs labels such as 'parent/class' with at least two "
            f"parents, got {len(groups)}; use 'class'"
        )
    wanted = min(max(2, round(fraction * num_classes)), num_classes - 2)
    names = sorted(groups)
    chosen: list[str] = []
    for i in np.random.default_rng([seed, len(names)]).permutation(len(names))[:-1]:
        if len(chosen) >= wanted:
            break
        chosen += groups[names[i]]
    return frozenset(chosen)


def _too_few(items: Items, purpose: str, part: Items, left_out: Mapping[str, int]) -> str:
    named = ", ".join(f"{name!r} {count:,}" for name, count in sorted(left_out.items()))
    return (
        f"at least two classes with two items each are needed to {purpose}; "
        f"{items.origin} has {len(_paired(part))} such classes of {len(part.classes)}; "
        "add classes or items"
        + (f"; items of splits that are neither training nor validation: {named}" if named else "")
    )
