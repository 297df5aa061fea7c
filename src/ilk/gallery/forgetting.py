"""What was erased, taken out of all else that ilk wrote on this machine: cohorts and caches.

Shapes: N embeddings, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ilk.artifact import Artifact, Cohort
from ilk.cache_folder import find_cache_folder
from ilk.crop_cache import forget_crops
from ilk.distances import Distance
from ilk.embedding import EmbeddingCache
from ilk.errors import GalleryError
from ilk.gallery.access import Access
from ilk.gallery.admission import admit
from ilk.gallery.binding import kept_classes
from ilk.gallery.location import Generation
from ilk.store import Reader, Writer
from ilk.whole_file import whole_file

__all__ = ["forget", "forget_in_caches", "forget_in_cohorts"]

_SAME = 1e-4
"""Embeddings whose difference is at most this share of their length are of the same content."""


def forget(access: Access, *erased: np.ndarray) -> None:
    """Delete from cohorts and caches what was ever erased from a gallery.

    Args:
        access: Of the gallery.
        erased: (N, D) embeddings that were erased just now: those of a cohort are known by them.

    Raises:
        GalleryError: A file cannot be written or deleted.
    """
    try:
        forget_in_cohorts(access, *erased)
        forget_in_caches(access)
    except OSError as error:
        raise GalleryError(
            f"the gallery has erased it, but a copy could not be deleted ({error}); mend that, and "
            "run `ilk gallery expire`, which goes on with it"
        ) from error


def forget_in_caches(access: Access) -> None:
    """Delete from this machine's caches the embeddings and crops of what was ever erased."""
    if find_cache_folder("embeddings") is None:
        return
    cache = EmbeddingCache()
    with access.reading() as reader:
        closed = reader.suppressed(cache.contents())
        forget_crops(reader.suppressed)
    cache.forget(closed)


def forget_in_cohorts(access: Access, *erased: np.ndarray) -> None:
    """Write the cohorts of all generations without what was erased, where there is any of it."""

    def work(writer: Writer) -> None:
        for generation in access.location.generations():
            is_here = generation.number == access.generation.number
            distance = access.binding.distance
            if _rewrite(generation, writer, distance, erased if is_here else ()) and is_here:
                access.location.use(generation)  # every process opens it anew

    access.change("forget", work)


def _rewrite(
    generation: Generation, reader: Reader, distance: Distance, erased: Iterable[np.ndarray]
) -> bool:
    """Write the cohort of a generation without what was erased; return whether there was any."""
    artifact = generation.open_artifact()
    cohort = artifact.cohort if artifact is not None else generation.open_cohort()
    if cohort is None or not len(cohort):
        return False
    left = kept_classes(cohort, reader)
    for rows in erased:
        left = _without(left, rows, distance)
    if left is cohort:
        return False
    _put(generation, artifact, left)
    return True


def _put(generation: Generation, artifact: Artifact | None, cohort: Cohort) -> None:
    if artifact is not None:
        artifact.put_cohort(cohort)
        return
    with whole_file(generation.cohort) as partial:
        partial.write_bytes(cohort.to_bytes())


def _without(cohort: Cohort, erased: np.ndarray, distance: Distance) -> Cohort:
    """Leave out the rows whose content was erased, as far as their embeddings tell."""
    rows = admit(cohort.embeddings, distance)[0].astype(np.float64)
    gone = erased.astype(np.float64)
    is_kept = np.ones(len(rows), bool)
    for start in range(0, len(gone), 256):
        part = gone[start : start + 256]
        length = np.square(part).sum(1)
        apart = np.square(rows).sum(1)[:, None] + length - 2 * rows @ part.T
        is_kept &= (apart > _SAME**2 * np.maximum(length, 1e-30)).all(1)
    return cohort if is_kept.all() else cohort.only(is_kept)
