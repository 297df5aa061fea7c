"""What there is to know about a data set before training on it.

Shapes: N items, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from ilk.config import Run
from ilk.data_rules import (
    FEW_VALIDATION_CLASSES,
    batch_size,
    few_classes_reason,
    few_validation_reason,
    look_at,
)
from ilk.duplicates import exact_duplicates, near_duplicates
from ilk.errors import DataError
from ilk.items import Item, Items, Problem
from ilk.labels import alike, has_invisible
from ilk.split import split_items
from ilk.thumbnails import Thumbnails, take_thumbnails

__all__ = ["Batch", "Check", "Duplicates", "Histogram", "check_items", "recommend_batch"]

_KINDS = {"drawing": "small drawings", "photo": "photographs", "array": "arrays"}
_Stage = Callable[[str, int, int], None]


@final
@dataclass(frozen=True)
class Duplicates:
    """Items that are the same picture."""

    kind: str
    """"bytes" (equal files), "pixels" (equal pixels, another file) or "near"."""
    names: tuple[str, ...]
    """Of the items, in their order."""
    labels: tuple[str, ...]
    splits: tuple[str | None, ...]
    correlation: float
    """Of the luminance; 1 unless the kind is "near"."""

    @property
    def crosses_classes(self) -> bool:
        """Whether they carry more than one label: one of them is wrong, or both apply."""
        return len(set(self.labels)) > 1

    @property
    def crosses_splits(self) -> bool:
        """Whether they lie in more than one split: a test on them measures memory."""
        return len(set(self.splits)) > 1


@final
@dataclass(frozen=True)
class Histogram:
    """How many classes have how many items."""

    edges: tuple[int, ...]
    """Smallest class size of each bin."""
    counts: tuple[int, ...]
    """Classes from this edge to before the next."""


@final
@dataclass(frozen=True)
class Batch:
    """What `ilk train` takes of the items where nothing else is set."""

    classes: int
    """P, per batch."""
    items_per_class: int
    """K."""
    reason: str
    training_classes: int
    """That the encoder learns from."""
    validation_classes: int
    """Others, by which the best weights are chosen."""
    can_validate_by_class: bool
    """Whether these are enough to choose by."""
    validation_reason: str
    trains_head_only: bool
    """Whether the backbone stays as it is, because there are few classes to learn from."""
    mode_reason: str


@final
@dataclass(frozen=True, eq=False)
class Check:
    """What `check_items` found."""

    origin: str
    num_items: int
    """That can be read."""
    class_sizes: Counter[str]
    split_sizes: Counter[str]
    """Items per split, without those that have none."""
    histogram: Histogram
    singletons: tuple[str, ...]
    """Classes of one item, sorted: they have no second item to be close to."""
    duplicates: tuple[Duplicates, ...]
    """Bytes first, then pixels, then near; each group or pair once."""
    is_complete: bool
    """Whether all near duplicates are listed; False once there were too many."""
    problems: tuple[Problem, ...]
    """Items that cannot be used."""
    shared_classes: tuple[str, ...]
    """Classes that are in several splits, sorted."""
    look_alikes: tuple[tuple[tuple[str, ...], str], ...]
    """Labels that only a close look tells apart, and what they differ by."""
    invisible: tuple[str, ...]
    """Labels with characters that take up no room, sorted."""
    batch: Batch | None
    """None if nothing can be learnt from the items."""
    no_batch_reason: str
    """Why; empty where there is a batch."""

    @property
    def num_conflicts(self) -> int:
        """How often the same picture (its bytes, its pixels, its place) has two labels."""
        return sum(d.crosses_classes and d.kind != "near" for d in self.duplicates) + sum(
            problem.code == "conflict" for problem in self.problems
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it in types that JSON has; docs/check.md describes the keys."""
        sizes = sorted(self.class_sizes.values())
        return {
            "source": self.origin,
            "items": self.num_items,
            "classes": len(sizes),
            "class_size": {
                "min": sizes[0] if sizes else 0,
                "median": float(np.median(sizes)) if sizes else 0.0,
                "max": sizes[-1] if sizes else 0,
            },
            "class_sizes": dict(sorted(self.class_sizes.items())),
            "splits": dict(sorted(self.split_sizes.items())),
            "shared_classes": list(self.shared_classes),
            "look_alikes": [
                {"labels": list(labels), "differ_by": by} for labels, by in self.look_alikes
            ],
            "invisible": list(self.invisible),
            "conflicts": self.num_conflicts,
            "histogram": {"from": self.histogram.edges, "classes": self.histogram.counts},
            "singletons": list(self.singletons),
            "duplicates": [
                {
                    **asdict(found),
                    "crosses_classes": found.crosses_classes,
                    "crosses_splits": found.crosses_splits,
                }
                for found in self.duplicates
            ],
            "duplicates_complete": self.is_complete,
            "unreadable": [asdict(problem) for problem in self.problems],
            "batch": None if self.batch is None else asdict(self.batch),
            "no_batch_reason": self.no_batch_reason,
        }


def check_items(items: Items, *, progress: _Stage | None = None) -> Check:
    """Read every item once and look for what would spoil training or testing.

    Args:
        items: Pictures in files or memory; of other arrays only equal ones are found.
        progress: Called with the stage ("read" or "compare"), the steps done and all steps.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
        >>> check = check_items(Items.from_arrays(noise[[0, 1, 1, 2]], ["a", "a", "b", "b"]))
        >>> [(found.kind, found.names, found.crosses_classes) for found in check.duplicates]
        [('bytes', ('row 1', 'row 2'), True)]
    """
    thumbnails, readable = take_thumbnails(items, _stage(progress, "read"))
    sizes = readable.class_sizes
    try:
        batch, no_batch_reason = recommend_batch(items), ""
    except DataError as error:
        batch, no_batch_reason = None, str(error)
    duplicates, is_complete = _duplicates(thumbnails, readable, _stage(progress, "compare"))
    return Check(
        origin=items.origin,
        num_items=len(readable),
        class_sizes=sizes,
        split_sizes=Counter(item.split for item in readable.items if item.split is not None),
        histogram=_histogram(list(sizes.values())),
        singletons=tuple(sorted(label for label, size in sizes.items() if size == 1)),
        duplicates=duplicates,
        is_complete=is_complete,
        problems=readable.problems,
        shared_classes=_shared(readable),
        look_alikes=tuple(alike(sizes)),
        invisible=tuple(sorted(filter(has_invisible, sizes))),
        batch=batch,
        no_batch_reason=no_batch_reason,
    )


def recommend_batch(items: Items) -> Batch:
    """Return what `ilk train` takes of these items, by the same rules, with the reasons in words.

    Raises:
        DataError: Nothing can be learnt from them: too few classes, or one in two splits.

    Example:
        >>> rows = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
        >>> batch = recommend_batch(Items.from_arrays(rows, [f"c{i % 20}" for i in range(80)]))
        >>> batch.classes, batch.items_per_class, batch.validation_classes
        (16, 4, 4)
    """
    run = Run()
    split = split_items(
        items, fraction=run.data.validation_fraction, by=run.data.validation_by, seed=run.seed
    )
    facts = look_at(split.training)
    classes, per_class = batch_size(facts)
    held_out = len(split.validation.classes)
    is_fixed = facts.has_few_classes and facts.kind != "array"
    return Batch(
        classes=classes,
        items_per_class=per_class,
        reason=(
            f"{_KINDS[facts.kind]}, the median class has {facts.median_class_size} items, so K = "
            f"{per_class}; P = {classes} of {facts.num_classes} training classes"
        ),
        training_classes=facts.num_classes,
        validation_classes=held_out,
        can_validate_by_class=held_out >= FEW_VALIDATION_CLASSES,
        validation_reason=(
            f"{held_out} other classes choose the best weights"
            if held_out >= FEW_VALIDATION_CLASSES
            else few_validation_reason(held_out)
        ),
        trains_head_only=is_fixed,
        mode_reason=few_classes_reason(facts) if is_fixed else "the whole net learns",
    )


def _duplicates(
    thumbnails: Thumbnails, items: Items, progress: Callable[[int, int], None] | None
) -> tuple[tuple[Duplicates, ...], bool]:
    by_bytes = exact_duplicates(thumbnails.content_hashes)
    # files of equal bytes have equal pixels: what is new is a group with two contents or more
    by_pixels = [
        group
        for group in exact_duplicates(thumbnails.pixel_hashes)
        if len({thumbnails.content_hashes[position] for position in group}) > 1
    ]
    near = near_duplicates(thumbnails, progress=progress)
    found = [_described("bytes", group, items.items, 1.0) for group in by_bytes]
    found += [_described("pixels", group, items.items, 1.0) for group in by_pixels]
    for pair, correlation in zip(near.pairs.tolist(), near.correlations.tolist(), strict=True):
        found.append(_described("near", tuple(pair), items.items, round(correlation, 4)))
    return tuple(found), near.is_complete


def _described(
    kind: str, positions: Sequence[int], items: Sequence[Item], correlation: float
) -> Duplicates:
    group = [items[position] for position in positions]
    return Duplicates(
        kind,
        tuple(item.name for item in group),
        tuple(item.label for item in group),
        tuple(item.split for item in group),
        correlation,
    )


def _shared(items: Items) -> tuple[str, ...]:
    """Return the classes that are in several splits; to be in none is a split here."""
    pairs = {(item.label, item.split) for item in items.items}
    times = Counter(label for label, _ in pairs)
    return tuple(sorted(label for label, count in times.items() if count > 1))


def _histogram(sizes: Sequence[int]) -> Histogram:
    """Count classes in bins of one size up to 8 items, then in bins that grow by half."""
    edges = [1]
    while edges[-1] < max(sizes, default=0):
        edges.append(edges[-1] + 1 if edges[-1] < 9 else edges[-1] * 3 // 2)
    counts = np.histogram(sizes, [*edges, np.inf])[0]
    return Histogram(tuple(edges), tuple(int(count) for count in counts))


def _stage(progress: _Stage | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, of: progress(name, done, of)
