"""Verification: are two items of one class? Over all pairs, or over a bounded sample of them.

A genuine comparison is of two items of one class, an impostor comparison of two classes. Accepting
the distances up to a limit makes two errors: `fmr`, the share of impostor comparisons accepted, and
`fnmr`, the share of genuine comparisons refused. (TAR at a FAR is 1 - fnmr at that fmr.)

Up to `max_comparisons` every pair of items is compared. Beyond, impostor comparisons are all pairs
of as many items as fit, drawn from the seed; genuine comparisons are all pairs within every class,
of at most so many items of a class as fit, drawn likewise.

Shapes: n genuine, m impostor comparisons, C classes, T grid limits, b draws of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Distance

__all__ = ["Comparisons", "compare_all", "det_curve", "equal_error", "fnmr_at", "rate_draws"]

_ROWS_AT_ONCE = 256
"""Fixed, so that no setting changes a bit of the distances."""

_NUM_GRID = 256
"""Limits at which the bootstrap looks, for each of the two kinds of comparison."""


@final
@dataclass(frozen=True, eq=False)
class Comparisons:
    """Distances of pairs of items, in ascending order, and whose they are."""

    genuine: np.ndarray
    """(n,) float64."""
    genuine_class: np.ndarray
    """(n,) class id."""
    impostor: np.ndarray
    """(m,) float64."""
    impostor_classes: np.ndarray
    """(m, 2) the two class ids."""
    is_complete: bool
    """Whether these are all pairs."""


def compare_all(
    embeddings: np.ndarray,
    class_ids: np.ndarray,
    distance: Distance,
    *,
    max_comparisons: int = 1 << 22,
    seed: int = 0,
) -> Comparisons:
    """Return the distances of all pairs, or of a sample within `max_comparisons` of each kind.

    Args:
        embeddings: (N, D).
        class_ids: (N,) from 0 to C - 1.
        distance: What closeness means.
        max_comparisons: The most genuine, and the most impostor, comparisons. A comparison takes
            about 40 bytes while they are made.
        seed: Decides the sample.

    Example:
        >>> from ilk.distances import Euclidean
        >>> points, ids = np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 1])
        >>> found = compare_all(points, ids, Euclidean())
        >>> found.genuine.tolist(), found.impostor.tolist()
        ([1.0], [4.0, 5.0])
    """
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(class_ids))
    most_items = int((1 + (1 + 8 * max_comparisons) ** 0.5) / 2)
    is_complete = len(order) <= most_items
    sampled = np.sort(order[:most_items])
    impostor, classes = _impostor(embeddings[sampled], class_ids[sampled], distance)
    genuine, own = _genuine(embeddings, class_ids[order], order, distance, max_comparisons)
    by_distance = np.argsort(impostor, kind="stable")
    rising = np.argsort(genuine, kind="stable")
    return Comparisons(
        genuine[rising], own[rising], impostor[by_distance], classes[by_distance], is_complete
    )


def _impostor(
    embeddings: np.ndarray, class_ids: np.ndarray, distance: Distance
) -> tuple[np.ndarray, np.ndarray]:
    distances, classes = [np.zeros(0)], [np.zeros((0, 2), np.int32)]
    wide = embeddings.astype(np.float64)
    for start in range(0, len(wide), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = distance.pairwise(wide[rows], wide[start:])
        is_pair = np.triu(class_ids[rows, None] != class_ids[None, start:], 1)
        first, second = np.nonzero(is_pair)
        distances.append(block[is_pair])
        pair = np.stack([class_ids[rows][first], class_ids[start:][second]], 1)
        classes.append(pair.astype(np.int32))
    return np.concatenate(distances), np.concatenate(classes)


def _genuine(
    embeddings: np.ndarray,
    shuffled_ids: np.ndarray,
    order: np.ndarray,
    distance: Distance,
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Compare within each class, the first items of `order` where a class is too large."""
    sizes = np.bincount(shuffled_ids)
    cap = int(sizes.max(initial=0))
    while cap > 2 and (np.minimum(sizes, cap) * (np.minimum(sizes, cap) - 1) // 2).sum() > most:
        cap -= max(1, cap // 64)
    members = order[np.argsort(shuffled_ids, kind="stable")]
    distances = [np.zeros(0)]
    ends = np.cumsum(sizes)
    for end, size in zip(ends, sizes, strict=True):
        chosen = np.sort(members[end - size : end][:cap])
        wide = embeddings[chosen].astype(np.float64)
        distances.append(distance.pairwise(wide, wide)[np.triu_indices(len(wide), 1)])
    kept = np.minimum(sizes, cap)
    own = np.repeat(np.arange(len(sizes)), kept * (kept - 1) // 2)
    return np.concatenate(distances), own


def fnmr_at(genuine: np.ndarray, impostor: np.ndarray, fmr: float) -> float | None:
    """Return the share of genuine comparisons refused where at most a share `fmr` is accepted.

    Both are sorted. The limit lies just below the distance that would make one impostor too many.
    None if there are fewer than 1 / fmr impostor comparisons.

    Example:
        >>> fnmr_at(np.array([0.1, 0.3]), np.array([0.2, 0.4, 0.5, 0.6]), 0.25)
        0.0
        >>> fnmr_at(np.array([0.1, 0.3]), np.array([0.2, 0.4, 0.5, 0.6]), 0.01) is None
        True
    """
    allowed = int(np.floor(np.round(fmr * len(impostor), 9)))
    if allowed < 1 or not len(genuine):
        return None
    limit = np.nextafter(impostor[allowed], -np.inf) if allowed < len(impostor) else np.inf
    return float(1 - np.searchsorted(genuine, limit, "right") / len(genuine))


def equal_error(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Return the rate at which `fmr` and `fnmr` cross, on the line between the two points around.

    Both are sorted and not empty. 0.5 is chance, lower is better.

    Example:
        >>> equal_error(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
        0.5
        >>> equal_error(np.zeros(3), np.zeros(5))
        0.5
    """
    limits = np.unique(np.concatenate([genuine, impostor]))
    fmr = np.append(0.0, np.searchsorted(impostor, limits, "right") / len(impostor))
    fnmr = np.append(1.0, 1 - np.searchsorted(genuine, limits, "right") / len(genuine))
    return float(_crossing(fmr[None], fnmr[None])[0])


def det_curve(
    genuine: np.ndarray, impostor: np.ndarray, num_points: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Return `fmr` from 1/m to 1 and `fnmr` there, both sorted inputs not empty."""
    shares = np.geomspace(1 / len(impostor), 1, num_points)
    allowed = np.floor(np.round(shares * len(impostor), 9)).astype(np.int64)
    limits = np.nextafter(np.append(impostor, np.inf)[allowed], -np.inf)
    fmr = np.searchsorted(impostor, limits, "right") / len(impostor)
    fnmr = 1 - np.searchsorted(genuine, limits, "right") / len(genuine)
    fmr, at = np.unique(fmr, return_index=True)
    return fmr, fnmr[at]


def rate_draws(
    found: Comparisons, num_classes: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a function from (b, C) class weights to `fmr` and `fnmr` at T limits, (b, T) each.

    An impostor comparison has two classes, and either may be drawn again: to first order the
    squared ratio of the class-weighted share to the share itself.
    """
    limits = _grid(found)
    accepted = sum(
        _up_to(found.impostor, found.impostor_classes[:, side], limits, num_classes)
        for side in (0, 1)
    )
    kept = _up_to(found.genuine, found.genuine_class, limits, num_classes)
    share = np.searchsorted(found.impostor, limits, "right") / len(found.impostor)

    def rates(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            weighted = weights @ accepted
            fmr = (weighted / weighted[:, -1:]) ** 2 / np.where(share > 0, share, 1.0)
            genuine = weights @ kept
            fnmr = 1 - genuine / genuine[:, -1:]
        return fmr.clip(0, 1), fnmr

    return rates


def equal_error_draws(fmr: np.ndarray, fnmr: np.ndarray) -> np.ndarray:
    """Return the (b,) equal error rates of (b, T) rates."""
    start = np.zeros((len(fmr), 1))
    return _crossing(np.hstack([start, fmr]), np.hstack([start + 1, fnmr]))


def fnmr_draws(fmr: np.ndarray, fnmr: np.ndarray, target: float) -> np.ndarray:
    """Return the (b,) `fnmr` at the last of the T limits where `fmr` is at most `target`."""
    start = np.zeros((len(fmr), 1))
    fmr, fnmr = np.hstack([start, fmr]), np.hstack([start + 1, fnmr])
    is_over = np.hstack([fmr > target, start == 0])
    at = is_over.argmax(axis=1) - 1
    values: np.ndarray = fnmr[np.arange(len(fmr)), at]
    return values


def _crossing(fmr: np.ndarray, fnmr: np.ndarray) -> np.ndarray:
    """Return where rising (b, T) `fmr` meets falling `fnmr`; the last column must be past it."""
    after = (fmr >= fnmr).argmax(axis=1).clip(min=1)
    row = np.arange(len(fmr))
    gap_before = fnmr[row, after - 1] - fmr[row, after - 1]
    gap_after = fmr[row, after] - fnmr[row, after]
    with np.errstate(invalid="ignore"):
        share = gap_before / (gap_before + gap_after)
        crossed: np.ndarray = fmr[row, after - 1] + share * (fmr[row, after] - fmr[row, after - 1])
    return crossed


def _grid(found: Comparisons) -> np.ndarray:
    """Return limits at which both kinds of comparison are resolved, the last accepting all."""
    shares = np.geomspace(1 / len(found.impostor), 1, _NUM_GRID)
    of_impostor = found.impostor[(shares * len(found.impostor)).astype(np.int64) - 1]
    places = np.linspace(0, len(found.genuine) - 1, _NUM_GRID).astype(np.int64)
    last = max(found.impostor[-1], found.genuine[-1])
    return np.unique(np.concatenate([of_impostor, found.genuine[places], [last]]))


def _up_to(
    distances: np.ndarray, class_ids: np.ndarray, limits: np.ndarray, num_classes: int
) -> np.ndarray:
    """Return how many comparisons of each class are within each limit, (C, T) float64."""
    at = np.searchsorted(limits, distances, "left")
    cells = class_ids.astype(np.int64) * len(limits) + at
    counts = np.bincount(cells, minlength=num_classes * len(limits))
    return np.cumsum(counts.reshape(num_classes, len(limits)), axis=1).astype(np.float64)
