"""Distances relative to a cohort (AS-norm), and whether that is worth it.

Some probes are close to everything and some classes attract everything, so one threshold is too
loose for them and too strict for others. AS-norm tells how far a distance lies from those that the
probe, and the row that it is closest to, have to the closest of a cohort of classes that are not
enrolled. It helps where the cohort crowds as the gallery does, and does harm elsewhere:
`compare_normalisation` shows which, on classes that were held out.

Shapes: n probes, M items of the cohort, N items, D embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.calibration.beta import t_quantile
from ilk.calibration.conformal import limit_for_fpir
from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.thresholds import within

__all__ = ["NormalisationTrial", "as_norm", "compare_normalisation"]


def as_norm(
    distances: np.ndarray, probe_cohort: np.ndarray, row_cohort: np.ndarray, num_closest: int
) -> np.ndarray:
    """Return ((d - m_p) / s_p + (d - m_r) / s_r) / 2: adaptive symmetric normalisation.

    m and s are mean and standard deviation of the `num_closest` smallest distances to the cohort,
    of the probe (p) and of the row that decided (r). Smaller is closer; it may be negative, so it
    is no distance. Source: Matejka et al., Interspeech 2017, AS-norm 1.

    Args:
        distances: (n,) from each probe to its closest row.
        probe_cohort: (n, M) from each probe to the cohort.
        row_cohort: (n, M) from each of those rows to the cohort.
        num_closest: How many of the cohort count, at least 2 and at most M.

    Raises:
        InvalidInput: `num_closest` is out of its range.

    Example:
        >>> cohort = np.array([[3.0, 5.0, 99.0]])
        >>> as_norm(np.array([1.0]), cohort, cohort, 2)
        array([-3.])
    """
    if not 2 <= num_closest <= probe_cohort.shape[1]:
        raise InvalidInput(
            f"num_closest must be at least 2 and at most the cohort's {probe_cohort.shape[1]}, got "
            f"{num_closest}"
        )
    total = np.zeros(len(distances))
    for to_cohort in (probe_cohort, row_cohort):
        closest = np.partition(to_cohort, num_closest - 1, axis=1)[:, :num_closest]
        spread = np.maximum(closest.std(1), 1e-12)
        total += (distances - closest.mean(1)) / spread
    return total / 2


@final
@dataclass(frozen=True, kw_only=True)
class NormalisationTrial:
    """FNIR with plain and with normalised distances, at thresholds for the same FPIR."""

    target_fpir: float
    fnir_plain: float
    fnir_normalised: float
    low: float
    """Of fnir_normalised - fnir_plain, at 95 %."""
    high: float
    num_draws: int
    num_classes: int
    """How many were enrolled in some draw."""
    num_strangers: int
    """How many non-mated probes the thresholds of a draw were chosen on, at least."""

    @property
    def is_better(self) -> bool:
        """Whether normalised distances miss fewer, beyond chance."""
        return self.high < 0


def compare_normalisation(
    embeddings: np.ndarray,
    groups: np.ndarray,
    distance: Distance,
    target_fpir: float,
    *,
    num_exemplars: int = 2,
    num_closest: int = 100,
    num_draws: int = 20,
    seed: int = 0,
) -> NormalisationTrial:
    """Measure on held-out classes whether AS-norm misses fewer at the same FPIR.

    In each draw half of the classes are the cohort, a quarter is enrolled and asked about, and a
    quarter are the strangers that both thresholds are chosen on. The closest row is found by plain
    distance, so both give the same name or none.

    Args:
        embeddings: (N, D), of classes like those that will be enrolled and were not trained on.
        groups: (N,) int64, the class of each.
        distance: What closeness means.
        target_fpir: The accepted rate.
        num_exemplars: Enrolled per class; classes with fewer items more than that are not enrolled.
        num_closest: How many of the cohort count, at most; see `as_norm`.
        num_draws: At least 2.
        seed: Of the draws.

    Raises:
        NotEnoughTrials: A quarter of the classes has too few items for the rate.
        InvalidInput: There are fewer than eight classes, or two draws.
    """
    classes, of = np.unique(groups, return_inverse=True)
    if len(classes) < 8 or num_draws < 2:
        raise InvalidInput(
            f"expected at least 8 classes and 2 draws, got {len(classes)} and {num_draws}"
        )
    rng = np.random.default_rng(seed)
    wide = embeddings.astype(np.float64)
    misses, counts = np.zeros((2, num_draws, len(classes))), np.zeros((num_draws, len(classes)))
    fewest = len(groups)
    for draw in range(num_draws):
        parts = _split(of, num_exemplars, rng)
        missed = _missed(wide, of, distance, parts, target_fpir, num_closest)
        counts[draw] = np.bincount(of[parts.mated], minlength=len(classes))
        for which in (0, 1):
            misses[which, draw] = np.bincount(of[parts.mated], missed[which], len(classes))
        fewest = min(fewest, len(parts.strangers))
    fnirs = misses.sum((1, 2)) / counts.sum()
    reach = _reach(misses[1] - misses[0], counts)
    difference = float(fnirs[1] - fnirs[0])
    return NormalisationTrial(
        target_fpir=target_fpir,
        fnir_plain=float(fnirs[0]),
        fnir_normalised=float(fnirs[1]),
        low=difference - reach,
        high=difference + reach,
        num_draws=num_draws,
        num_classes=int((counts.sum(0) > 0).sum()),
        num_strangers=fewest,
    )


@final
@dataclass(frozen=True, eq=False)
class _Parts:
    """Positions of items, by what they are in one draw."""

    cohort: np.ndarray
    enrolled: np.ndarray
    mated: np.ndarray
    strangers: np.ndarray


def _split(of: np.ndarray, num_exemplars: int, rng: np.random.Generator) -> _Parts:
    num_classes = int(of.max()) + 1
    place = rng.permutation(num_classes)[of] * 4 // num_classes
    order = rng.permutation(len(of))
    asked = order[place[order] == 2]
    asked = asked[np.argsort(of[asked], kind="stable")]
    rank = np.arange(len(asked)) - np.searchsorted(of[asked], of[asked])
    has_probe = np.bincount(of[asked], minlength=num_classes)[of[asked]] > num_exemplars
    return _Parts(
        np.flatnonzero(place < 2),
        asked[has_probe & (rank < num_exemplars)],
        asked[has_probe & (rank >= num_exemplars)],
        np.flatnonzero(place == 3),
    )


def _missed(
    embeddings: np.ndarray,
    of: np.ndarray,
    distance: Distance,
    parts: _Parts,
    target_fpir: float,
    num_closest: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which mated probes miss their name, plain and normalised."""
    cohort, rows = embeddings[parts.cohort], embeddings[parts.enrolled]
    row_cohort = distance.pairwise(rows, cohort)
    found, plain, normalised = [], [], []
    for probes in (embeddings[parts.mated], embeddings[parts.strangers]):
        apart = distance.pairwise(probes, rows)
        closest = apart.argmin(1)
        values = apart[np.arange(len(probes)), closest]
        found.append(of[parts.enrolled[closest]])
        plain.append(values)
        k = min(num_closest, len(cohort))
        probe_cohort = distance.pairwise(probes, cohort)
        normalised.append(as_norm(values, probe_cohort, row_cohort[closest], k))
    is_own = found[0] == of[parts.mated]
    first, second = (
        ~(is_own & within(mated, limit_for_fpir(strangers, target_fpir)))
        for mated, strangers in (plain, normalised)
    )
    return first, second


def _reach(difference: np.ndarray, counts: np.ndarray) -> float:
    """Return half the width of the interval of a mean of (draws, classes) differences.

    Draws share classes and classes share the thresholds of a draw: the variance between classes
    and that between draws are added, which is rather too much than too little.
    """
    total = counts.sum()
    mean = difference.sum() / total
    variance = 0.0
    smallest = np.inf
    for axis in (0, 1):
        residual = difference.sum(axis) - mean * counts.sum(axis)
        number = int((counts.sum(axis) > 0).sum())
        smallest = min(smallest, number)
        variance += number / max(1, number - 1) * float(residual @ residual) / total**2
    return float(t_quantile(0.95, max(1, smallest - 1)) * variance**0.5)
