"""The cohort of an imported network: found in pictures, embedded and measured.

Shapes: N items, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.artifact import Cohort, class_hash
from ilk.detecting import Choice, crops_of
from ilk.detector import Detector
from ilk.distances import Distance
from ilk.embedding import embed_items
from ilk.encoder import Encoder
from ilk.errors import DataError
from ilk.evaluation import EvaluationSettings, evaluate
from ilk.evaluation.figures import Figure
from ilk.items import Items
from ilk.unreadable import OnUnreadable

__all__ = ["Measured", "Progress", "empty_cohort", "find_probes", "measure_cohort"]

Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, all steps)."""

_NUM_NAMED = 3


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """A cohort, what it is of, and how well the network tells its classes apart."""

    cohort: Cohort
    items: Items
    hashes: tuple[str, ...]
    figures: tuple[Figure, ...]


def empty_cohort(embedding_size: int) -> Cohort:
    """Return the cohort of an artifact that has none."""
    return Cohort(np.empty((0, embedding_size), np.float32), np.empty(0, np.int64), ())


def find_probes(
    detector: Detector, items: Items, choice: Choice, progress: Progress | None
) -> Items:
    """Return what the encoder is to see of the items.

    Raises:
        DataError: There are no items, or nothing was found in any.
    """
    if not len(items):
        raise DataError(f"expected a cohort of labelled items, {items.origin} has none")
    found = crops_of(
        detector,
        items,
        choice,
        progress=None if progress is None else lambda done, of: progress("Detecting", done, of),
    )
    if not len(found):
        reasons = [f"{p.name}: {p.reason}" for p in found.problems[:_NUM_NAMED]]
        raise DataError(
            f"expected a {detector.noun} in the pictures of the cohort, found none in any of "
            f"{len(items):,} ({'; '.join(reasons)}); for pictures that are cut out already use "
            "the detector whole_image"
        )
    return found


def measure_cohort(
    encoder: Encoder,
    distance: Distance,
    probes: Items,
    *,
    on_unreadable: OnUnreadable,
    progress: Progress | None,
) -> Measured:
    """Embed a cohort and evaluate it, as `ilk evaluate` would.

    Raises:
        UnreadableItem: An item cannot be read, and is not to be skipped.
    """

    def stage(name: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, of: progress(name, done, of)

    embedded = embed_items(
        encoder, probes, on_unreadable=on_unreadable, progress=stage("Embedding")
    )
    items = embedded.items
    if not len(items):
        raise DataError(f"expected a cohort of items that can be read, {items.origin} has none")
    evaluation = evaluate(
        embedded.embeddings,
        items.labels,
        distance,
        EvaluationSettings(fingerprint=encoder.fingerprint),
        stage("Measuring"),
        groups=[item.group for item in items.items],
        hashes=embedded.hashes,
    )
    hashes = tuple(map(class_hash, items.classes))
    cohort = Cohort(embedded.embeddings, items.class_ids, hashes)
    return Measured(cohort, items, embedded.hashes, evaluation.figures)
