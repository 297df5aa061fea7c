"""Which classes train and which choose the best weights: never the same ones.

Shapes: C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from ilk.errors import DataError
from ilk.items import Item, Items

__all__ = ["Split", "class_parents", "split_items", "takes_part"]

_TRAINING = (None, "", "train", "training")
_VALIDATION = ("validation", "valid", "val")


@final
@dataclass(frozen=True)
class Split:
    """Items to learn from, items to choose the best weights by, and how many were left alone."""

    training: Items
    validation: Items
    num_left_out: int
    """Items of other splits, such as "test"; training does not look at them."""


def takes_part(item: Item) -> bool:
    """Return whether training looks at an item: whether its split is none, training or validation.

    Example:
        >>> takes_part(Item(np.zeros((1, 1)), "a", "a.png", split="test"))
        False
    """
    return item.split in _TRAINING or item.split in _VALIDATION


def split_items(
    items: Items, *, fraction: float, by: Literal["class", "parent"], seed: int
) -> Split:
    """Divide items into training and validation items without a common class.

    Items with a split column are taken at their word: "train" (or none) trains, "validation" (or
    "valid", "val") validates, anything else is left alone. Without validation items, classes of
    the training items are drawn for it. They depend on the labels and the seed alone, not on the
    order of the items.

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
    num_left_out = len(items) - len(training) - len(validation)
    if not len(validation):
        chosen = _draw(training, fraction, by, seed)
        validation = training.of_classes(chosen)
        training = training.where(lambda item: item.label not in chosen)
    if both := sorted(set(training.classes) & set(validation.classes)):
        raise DataError(
            f"training and validation items must not share a class, got {len(both)} in both splits "
            f"({both[0]!r} first); give each class one split"
        )
    for part, name in ((training, "train"), (validation, "validate")):
        if len(_paired(part)) < 2:
            raise DataError(_too_few(items, name))
    return Split(training, validation, num_left_out)


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
    if num_classes < 4:
        raise DataError(_too_few(items, "train and two to validate"))
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


def _too_few(items: Items, purpose: str) -> str:
    return (
        f"at least two classes with two items each are needed to {purpose}; "
        f"{items.origin} has {len(_paired(items))} such classes of {len(items.classes)}; "
        "add classes or items"
    )
