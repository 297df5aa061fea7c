"""Ten-fold verification from a pairs file, the protocol of Labeled Faces in the Wild (LFW).

The limit that a fold is judged by is the most accurate one on the nine others; the figure is the
mean accuracy over the folds with its standard error. A pair of which an item is missing cannot be
answered and counts as an error. Source: Huang et al., Labeled Faces in the Wild (2007).

Shapes: P pairs, F folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import final
from unicodedata import normalize

import numpy as np

from ilk.calibration.beta import t_quantile
from ilk.errors import InvalidInput
from ilk.evaluation.figures import Figure
from ilk.thresholds import within

__all__ = ["Pairs", "fold_accuracy", "fold_limits"]

_LEVEL = 0.95


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of item names with the answer to "same?"."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    is_same: np.ndarray
    """(P,) bool."""
    fold: np.ndarray
    """(P,) int64, from 0 to F - 1."""
    people: tuple[tuple[str, str], ...] = ()
    """The names of both people of each pair; empty where the file does not give them."""
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What else the file says of each pair, by column."""

    def __len__(self) -> int:
        return len(self.first)

    def person_ids(self) -> tuple[np.ndarray, np.ndarray]:
        """Return whose both items of each pair are, (P,) int64 each, as far as the pairs tell.

        By the names of the people; without them, items that pairs call the same are of one person,
        and all others of one each.

        Example:
            >>> pairs = Pairs(
            ...     ("a", "b", "d"), ("b", "c", "c"), np.array([True, True, False]), np.zeros(3)
            ... )
            >>> first, second = pairs.person_ids()
            >>> first.tolist(), second.tolist()
            ([0, 0, 1], [0, 0, 0])
        """
        if self.people:
            known = {
                name: i for i, name in enumerate(dict.fromkeys(chain.from_iterable(self.people)))
            }
            ids = np.array([(known[a], known[b]) for a, b in self.people], np.int64)
            return ids[:, 0], ids[:, 1]
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent.setdefault(name, name) != name:
                parent[name] = name = parent[parent[name]]
            return name

        ends = [(_normal(a), _normal(b)) for a, b in zip(self.first, self.second, strict=True)]
        for (a, b), is_same in zip(ends, self.is_same, strict=True):
            if is_same:
                parent[root(a)] = root(b)
        number: dict[str, int] = {}
        ids = np.array(
            [[number.setdefault(root(name), len(number)) for name in both] for both in ends],
            np.int64,
        )
        return ids[:, 0], ids[:, 1]

    def positions(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the (P,) positions in `names` of both items of each pair; -1 where missing.

        A name is found by its whole path, by the end of its path or by its file name without the
        suffix, in this order, if only one item answers to it.

        Example:
            >>> pairs = Pairs(("Ann_0001",), ("b.png",), np.array([True]), np.array([0]))
            >>> pairs.positions(["people/Ann/Ann_0001.jpg", "x/b.png"])
            (array([0]), array([1]))
        """
        known = _known_names(names)
        first = [known.get(_normal(name), -1) for name in self.first]
        second = [known.get(_normal(name), -1) for name in self.second]
        return np.array(first, np.int64), np.array(second, np.int64)


def fold_accuracy(distances: np.ndarray, is_same: np.ndarray, fold: np.ndarray) -> Figure:
    """Return the mean accuracy over the folds, each judged by the limit of the others.

    Args:
        distances: Of each pair, (P,); NaN where an item is missing, which counts as an error.
        is_same: Whether the pair is of one class, (P,).
        fold: Of each pair, (P,), at least two different.

    Returns:
        The figure "pairs_accuracy". Its interval is the mean +- Student's t times the standard
        error over folds, which the note gives; its classes are the folds.

    Raises:
        InvalidInput: There are fewer than two folds.

    Example:
        >>> near, far = np.full(10, 0.2), np.full(10, 0.9)
        >>> fold_accuracy(
        ...     np.append(near, far), np.arange(20) < 10, np.arange(20) % 10
        ... ).value
        1.0
    """
    folds = np.unique(fold)
    limits = fold_limits(distances, is_same, fold)
    is_right = (within(distances, limits) == is_same) & ~np.isnan(distances)
    accuracies = np.array([is_right[fold == this].mean() for this in folds])
    mean, error = float(accuracies.mean()), float(accuracies.std(ddof=1) / len(folds) ** 0.5)
    reach = error * t_quantile(_LEVEL, len(folds) - 1)
    num_missing = int(np.isnan(distances).sum())
    note = f"{len(folds)} folds, standard error {error:.4f}"
    if num_missing:
        note += f"; {num_missing} pairs with a missing item counted as errors"
    return Figure(
        "pairs_accuracy",
        mean,
        max(0.0, mean - reach),
        min(1.0, mean + reach),
        len(distances),
        len(folds),
        note,
    )


def fold_limits(distances: np.ndarray, is_same: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return for each pair the most accurate limit on the folds that it is not in, (P,).

    Args:
        distances: Of each pair, (P,); NaN where an item is missing.
        is_same: Whether the pair is of one class, (P,).
        fold: Of each pair, (P,), at least two different.

    Raises:
        InvalidInput: There are fewer than two folds.
    """
    folds = np.unique(fold)
    if len(folds) < 2:
        raise InvalidInput(f"expected pairs in at least two folds, got {len(folds)}")
    limits = np.empty(len(distances))
    for this in folds:
        others = fold != this
        limits[~others] = _best_limit(distances[others], is_same[others])
    return limits


def _best_limit(distances: np.ndarray, is_same: np.ndarray) -> float:
    """Return the limit with the most right answers, midway between distances."""
    known = ~np.isnan(distances)
    same, different = np.sort(distances[known & is_same]), np.sort(distances[known & ~is_same])
    values = np.unique(distances[known])
    limits = np.concatenate([[-np.inf], (values[:-1] + values[1:]) / 2, [np.inf]])
    right = np.searchsorted(same, limits, "right") - np.searchsorted(different, limits, "right")
    best = np.flatnonzero(right == right.max())
    return float(limits[best[len(best) // 2]])


def _known_names(names: Iterable[str]) -> dict[str, int]:
    """Map every way to call an item to its position; a way that two share means neither."""
    ways: list[dict[str, int]] = [{}, {}]
    for position, name in enumerate(names):
        parts = _normal(name).split("/")
        ends = ["/".join(parts[at:]) for at in range(1, len(parts))]
        stems = [end.rpartition(".")[0] for end in [_normal(name), *ends] if "." in end]
        ways[0][_normal(name)] = position
        for way in {*ends, *stems}:
            ways[1][way] = -1 if way in ways[1] else position
    return {**{way: at for way, at in ways[1].items() if at >= 0}, **ways[0]}


def _normal(name: str) -> str:
    return normalize("NFC", name).replace("\\", "/").removeprefix("./")
