"""Exemplars asked about as probes, each with itself left out: mated probes that cost nothing.

Shapes: M exemplars that are asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.closest import EXEMPLAR, Members, closest_classes
from ilk.searcher import Searcher

__all__ = ["LeftOut", "leave_one_out"]


@final
@dataclass(frozen=True, eq=False)
class LeftOut:
    """What a gallery answers about exemplars that are left out of it, by id, (M,) each."""

    ids: np.ndarray
    """int64."""
    class_ids: np.ndarray
    """int64: their own classes."""
    closest: np.ndarray
    """int64: the closest class; -1 where there is none."""
    distance: np.ndarray
    """float64: of that class."""

    def __len__(self) -> int:
        """Return M."""
        return len(self.ids)

    @property
    def is_own(self) -> np.ndarray:
        """Whether the closest class is the exemplar's own, (M,)."""
        return self.closest == self.class_ids


def leave_one_out(
    searcher: Searcher, members: Members, *, most: int = 2000, seed: int = 0
) -> LeftOut:
    """Ask about exemplars of classes that have two or more, each without itself.

    A class keeps its other exemplars and every other class all of its own, so a class is one
    exemplar poorer than it will be when it is asked about new probes.

    Args:
        searcher: Its rows are exemplars, and rows that bar.
        members: What the rows are.
        most: So many exemplars at most, drawn at random.
        seed: Of the draw; the same rows and seed give the same answer.

    Example:
        >>> from ilk.searcher import ScanSearcher
        >>> searcher, members = ScanSearcher(Euclidean(), 1), Members()
        >>> ids, rows = np.arange(4), np.array([[0.0], [3.0], [1.0], [9.0]], np.float32)
        >>> searcher.put(ids, rows)
        >>> members.put(ids, np.array([5, 5, 7, 8]), np.zeros(4, np.int8))
        >>> found = leave_one_out(searcher, members)
        >>> found.ids.tolist(), found.closest.tolist(), found.distance.tolist()
        ([0, 1], [7, 7], [1.0, 2.0])
    """
    ids, embeddings = searcher.rows()
    class_ids = members.class_of(ids)
    counts = (members.role_of(ids) == EXEMPLAR) & (class_ids >= 0)
    _, at_class, sizes = np.unique(class_ids[counts], return_inverse=True, return_counts=True)
    at = np.flatnonzero(counts)[sizes[at_class] >= 2]
    at = at[np.argsort(ids[at])]  # the order of the rows is the searcher's own affair
    if len(at) > most:
        at = np.sort(np.random.default_rng(seed).choice(at, most, replace=False))
        at = at[np.argsort(ids[at])]
    found = closest_classes(searcher, members, embeddings[at], except_row=ids[at])
    return LeftOut(ids[at], class_ids[at], found.class_ids[:, 0], found.distances[:, 0])
