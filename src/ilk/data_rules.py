"""What fits a data set: the rules that `ilk check` tells and `ilk train` follows.

Shapes: P classes of K items in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from ilk.errors import UnreadableItem
from ilk.items import Items
from ilk.preprocess import read_image

__all__ = [
    "FEW_VALIDATION_CLASSES",
    "DataFacts",
    "batch_size",
    "few_classes_reason",
    "few_validation_reason",
    "look_at",
]

_FEW_TRAINING_CLASSES = {"drawing": 12, "photo": 20, "array": 20}
"""From fewer classes than this, a whole net learns what tells these apart, and forgets the rest.

A small net on distorted Omniglot drawings learnt nothing for unseen classes from 5 or 8 classes,
and something from 12 (docs/training.md)."""

FEW_VALIDATION_CLASSES = 5
"""With fewer classes than this, the best weights are a guess, and no interval says how good."""

_CLASSES_PER_BATCH = 32
_SMALL_PIXELS = 160
"""Pictures whose median longer side is at most this are small."""
_NUM_LOOKED_AT = 32

Kind = Literal["drawing", "photo", "array"]


@final
@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the training items are like."""

    kind: Kind
    num_items: int
    num_classes: int
    median_class_size: int

    @property
    def has_few_classes(self) -> bool:
        """Whether there are fewer training classes than a whole net should learn from."""
        return self.num_classes < _FEW_TRAINING_CLASSES[self.kind]


def look_at(items: Items) -> DataFacts:
    """Return what training items are like, from all labels and a few pictures.

    Small grey pictures are drawings, other pictures are photographs.
    """
    sizes = sorted(items.class_sizes.values())
    return DataFacts(
        kind=_kind(items),
        num_items=len(items),
        num_classes=len(items.classes),
        median_class_size=sizes[len(sizes) // 2],
    )


def batch_size(facts: DataFacts) -> tuple[int, int]:
    """Return P and K: 32 x 8 for drawings, 32 x 4 for others, fewer where the data has fewer.

    Example:
        >>> batch_size(DataFacts(kind="photo", num_items=60, num_classes=20, median_class_size=3))
        (20, 3)
    """
    most = 8 if facts.kind == "drawing" else 4
    items_per_class = max(2, min(most, facts.median_class_size))
    return max(2, min(_CLASSES_PER_BATCH, facts.num_classes)), items_per_class


def few_classes_reason(facts: DataFacts) -> str:
    """Return in words why the backbone stays as it is, for so few training classes."""
    limit = _FEW_TRAINING_CLASSES[facts.kind]
    return (
        f"{facts.num_classes} training classes are too few to train a whole net on (fewer than "
        f"{limit}): it would tell other classes apart no better than before; the "
        "backbone stays as it is and the head alone learns"
    )


def few_validation_reason(num_classes: int) -> str:
    """Return in words what so few validation classes cannot tell."""
    return (
        f"{num_classes} validation classes are too few to choose weights by (fewer than "
        f"{FEW_VALIDATION_CLASSES}): their figures say little; collect more classes"
    )


def _kind(items: Items) -> Kind:
    """Tell drawings from photographs by pictures spread over the items."""
    positions = np.unique(np.linspace(0, len(items) - 1, _NUM_LOOKED_AT).astype(int))
    sides, are_grey = [], []
    for item in items.take(positions).items:
        if isinstance(item.source, np.ndarray) and not _is_picture(item.source):
            return "array"
        try:
            picture = read_image(item.source, name=item.name, box=item.box)
        except (UnreadableItem, OSError):
            continue
        sides.append(max(picture.shape[:2]))
        spread = picture.max(2).astype(int) - picture.min(2)
        are_grey.append(float(np.mean(spread > 16)) < 0.01)
    is_drawing = bool(sides) and np.median(sides) <= _SMALL_PIXELS and np.mean(are_grey) > 0.9
    return "drawing" if is_drawing else "photo"


def _is_picture(array: np.ndarray) -> bool:
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    return array.dtype == np.uint8 and is_shaped
