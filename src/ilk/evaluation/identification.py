"""Open-set identification: the closest enrolled class of a probe, and what a limit makes of it.

The class of a probe is the one with the closest exemplar. A probe gets that name if the distance is
within the limit, and none otherwise. Two errors follow, of two populations that are never mixed:

- `fpir`: the share of non-mated probes (strangers) that get a name;
- `fnir`: the share of mated probes that do not get their own, because it is another class that is
  closest or because their own is beyond the limit.

Shapes: P probes (mated and strangers), M mated, S strangers, C classes, b draws of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.calibration import limit_for_fpir
from ilk.closest import rank_classes
from ilk.distances import Distance
from ilk.evaluation.protocol import Draw
from ilk.scan import Scan
from ilk.thresholds import within

__all__ = [
    "Answers",
    "answer",
    "auroc",
    "auroc_draws",
    "dir_curve",
    "fnir_draws",
    "halves_limits",
    "limit_draws",
    "misses",
]

_TOO_MANY_DOUBTS = 64
"""Doubtful exemplars per probe beyond which float64 products are cheaper than recomputing."""


@final
@dataclass(frozen=True, eq=False)
class Answers:
    """What a gallery answers; mated probes first, then strangers, (P,) each."""

    probe: np.ndarray
    """Position of the item."""
    closest: np.ndarray
    """Class id of the closest enrolled class; of several at the same distance, the first."""
    distance: np.ndarray
    """Its distance: of its closest exemplar."""
    found: np.ndarray
    """The chance that the closest class is the probe's own; below 1 where classes are tied."""
    num_mated: int
    """M."""

    @property
    def mated(self) -> np.ndarray:
        """Distances of the mated probes, (M,)."""
        return self.distance[: self.num_mated]

    @property
    def strangers(self) -> np.ndarray:
        """Distances of the strangers, (S,)."""
        return self.distance[self.num_mated :]


def answer(
    embeddings: np.ndarray,
    class_ids: np.ndarray,
    distance: Distance,
    draw: Draw,
    *,
    memory_bytes: int = 1 << 30,
) -> Answers:
    """Ask the gallery of `draw` about all its probes, exactly.

    Args:
        embeddings: (N, D).
        class_ids: (N,).
        distance: What closeness means.
        draw: Who is enrolled and who is asked about.
        memory_bytes: What may be taken beyond the embeddings. It never changes the result.

    Example:
        >>> from ilk.distances import Euclidean
        >>> draw = Draw(np.array([0, 2]), np.array([1]), np.array([3]), np.array([0]), 2, 0)
        >>> points, ids = np.array([[0.0], [0.1], [9.0], [5.0]]), np.array([0, 0, 1, 2])
        >>> answers = answer(points, ids, Euclidean(), draw)
        >>> answers.closest.tolist(), answers.distance.tolist(), answers.found.tolist()
        ([0, 1], [0.1, 4.0], [1.0, 0.0])
    """
    probe = np.concatenate([draw.mated, draw.strangers])
    exemplar_class = class_ids[draw.exemplars]
    closest = np.zeros(len(probe), np.int64)
    result, found = np.empty(len(probe)), np.zeros(len(probe))
    scan = Scan(embeddings[probe], embeddings[draw.exemplars], distance, memory_bytes=memory_bytes)
    for block in scan.blocks():
        floor = block.values.max(axis=1) - block.band.astype(block.values.dtype)
        num_doubts = 0
        for part in _bounded(block.start, block.stop, len(draw.exemplars), memory_bytes):
            rows = slice(part.start - block.start, part.stop - block.start)
            row, exemplar = np.divmod(
                np.flatnonzero(block.values[rows] >= floor[rows, None]), len(draw.exemplars)
            )
            row += part.start
            num_doubts += len(row)
            exact = scan.exact(row, exemplar)
            decisive = rank_classes(row, exemplar_class[exemplar], exact, exemplar)
            row, label = row[decisive], exemplar_class[exemplar[decisive]]
            value = exact[decisive]
            result[part] = value[np.searchsorted(row, np.arange(part.start, part.stop))]
            is_tied = value == result[row]
            row, label = row[is_tied], label[is_tied]
            starts = np.searchsorted(row, np.arange(part.start, part.stop))
            closest[part] = np.minimum.reduceat(label, starts)
            num_tied = np.diff(np.append(starts, len(row)))
            is_own = label == class_ids[probe[row]]
            found[row[is_own]] = 1 / num_tied[row[is_own] - part.start]
        if num_doubts > _TOO_MANY_DOUBTS * (block.stop - block.start):
            scan.widen()
    return Answers(probe, closest, result, found, len(draw.mated))


def _bounded(start: int, stop: int, num_exemplars: int, memory_bytes: int) -> list[slice]:
    """Cut rows so that, were all exemplars doubtful, settling them would stay in the memory."""
    step = max(1, memory_bytes // 512 // max(1, num_exemplars))
    return [slice(at, min(at + step, stop)) for at in range(start, stop, step)]


def halves_limits(
    answers: Answers, class_ids: np.ndarray, half: np.ndarray, target_fpir: float
) -> tuple[float, float]:
    """Return the limits that the strangers of half 0 and of half 1 are judged by.

    Each is chosen on the other half.

    Args:
        answers: Of one draw.
        class_ids: Of its strangers, (S,).
        half: Of its strangers, (S,): 0 or 1, by class.
        target_fpir: The accepted rate.

    Raises:
        NotEnoughTrials: A half has too few classes for the rate.
    """
    on_zero, on_one = (
        limit_for_fpir(answers.strangers[half == part], target_fpir, class_ids[half == part])
        for part in (0, 1)
    )
    return on_one, on_zero


def limit_draws(
    distances: np.ndarray, class_ids: np.ndarray, target_fpir: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from (b, C) class weights to the (b,) limits `limit_for_fpir` would choose.

    A weight says how often a class was drawn; each time it is a class. Where too few were drawn for
    the rate, the limit is the one that names none of them.
    """
    order = np.argsort(distances, kind="stable")
    rising, classes = distances[order], class_ids[order]
    sizes = np.bincount(classes)
    share = 1 / sizes[classes]

    def limits(weights: np.ndarray) -> np.ndarray:
        num_up_to = np.round(np.cumsum(weights[:, classes] * share, axis=1), 9)
        num_classes = weights[:, : len(sizes)] @ (sizes > 0)
        allowed = (np.round(target_fpir * (num_classes + 1), 9) - 1).clip(min=0)
        at = (num_up_to <= allowed[:, None]).sum(axis=1).clip(max=len(rising) - 1)
        limits: np.ndarray = np.nextafter(rising[at], -np.inf)
        return limits

    return limits


def fnir_draws(
    asked: Sequence[tuple[Draw, Answers]], class_ids: np.ndarray, target_fpir: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from (b, C) class weights to the (b,) FNIR at limits chosen anew.

    Args:
        asked: Several draws of the protocol; an item counts once, by its mean over the draws.
        class_ids: (N,) of all items.
        target_fpir: The rate that the limits are chosen for, on one half of the strangers each.
    """
    times = np.bincount(np.concatenate([draw.mated for draw, _ in asked]), minlength=len(class_ids))
    parts = []
    for draw, answers in asked:
        order = np.argsort(answers.mated, kind="stable")
        strangers = class_ids[draw.strangers]
        limits = [
            limit_draws(
                answers.strangers[draw.half == half], strangers[draw.half == half], target_fpir
            )
            for half in (0, 1)
        ]
        item = draw.mated[order]
        share = 1 / times[item]
        parts.append((answers.mated[order], class_ids[item], share, answers.found[order], limits))

    def values(weights: np.ndarray) -> np.ndarray:
        hit, total = np.zeros(len(weights)), np.zeros(len(weights))
        for rising, classes, share, found, limits in parts:
            own = weights[:, classes] * share
            total += own.sum(1)
            gained = np.zeros((len(weights), len(rising) + 1))
            np.cumsum(own * found, axis=1, out=gained[:, 1:])
            for limit in limits:
                at = np.searchsorted(rising, limit(weights), "right")
                hit += gained[np.arange(len(weights)), at] / 2
        with np.errstate(invalid="ignore"):
            result: np.ndarray = (1 - hit / total).clip(0, 1)
        return result

    return values


def auroc(mated: np.ndarray, strangers: np.ndarray) -> float:
    """Return the chance that a stranger is farther from the gallery than a mated probe.

    Ties count half; 0.5 is chance, higher is better. Only the distances of the closest classes
    matter, not whether they are right.

    Example:
        >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
        0.875
    """
    rising = np.sort(strangers)
    nearer = np.searchsorted(rising, mated, "left") + np.searchsorted(rising, mated, "right")
    return float(1 - nearer.mean() / (2 * len(strangers)))


def auroc_draws(
    mated: np.ndarray,
    mated_classes: np.ndarray,
    strangers: np.ndarray,
    stranger_classes: np.ndarray,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from (b, C) class weights to the (b,) weighted `auroc`."""
    order = np.argsort(strangers, kind="stable")
    left = np.searchsorted(strangers[order], mated, "left")
    right = np.searchsorted(strangers[order], mated, "right")

    def values(weights: np.ndarray) -> np.ndarray:
        cumulative = np.zeros((len(weights), len(strangers) + 1))
        np.cumsum(weights[:, stranger_classes[order]], axis=1, out=cumulative[:, 1:])
        own = weights[:, mated_classes]
        nearer = (own * (cumulative[:, left] + cumulative[:, right])).sum(1) / 2
        with np.errstate(invalid="ignore"):
            result: np.ndarray = 1 - nearer / (own.sum(1) * cumulative[:, -1])
        return result

    return values


def dir_curve(
    mated: np.ndarray, found: np.ndarray, strangers: np.ndarray, num_points: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Return FPIR and TPIR (rank 1) at rising limits: the DIR curve, for reading.

    Args:
        mated: Distances of mated probes, (M,).
        found: The chance that each one's closest class is its own, (M,).
        strangers: Distances of non-mated probes, (S,).
        num_points: FPIR from 1/S to 1, evenly in its logarithm.

    Example:
        >>> x, y = dir_curve(np.array([1.0, 3.0]), np.ones(2), np.array([2.0, 4.0]), 2)
        >>> x.tolist(), y.tolist()
        ([0.5, 1.0], [1.0, 1.0])
    """
    rising = np.sort(strangers)
    shares = np.geomspace(1 / len(rising), 1, num_points)
    allowed = np.floor(np.round(shares * len(rising), 9)).astype(np.int64)
    edges = np.append(rising, np.inf)
    limits = np.nextafter(edges[allowed], -np.inf)
    reached = np.searchsorted(rising, limits, "right") / len(rising)
    order = np.argsort(mated, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum(found[order])]) / len(mated)
    tpir = gained[np.searchsorted(mated[order], limits, "right")]
    reached, at = np.unique(reached, return_index=True)
    return reached, tpir[at]


def misses(answers: Answers, limit: float) -> np.ndarray:
    """Return for each mated probe the chance that it does not get its own name, (M,)."""
    is_named = within(answers.mated, limit)
    missed: np.ndarray = 1 - answers.found[: answers.num_mated] * is_named
    return missed
