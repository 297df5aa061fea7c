"""A checked first ranking by codes: how many candidates it takes until the closest is among them.

Shapes: Q probes, N rows, D embedding size, c candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ilk.distances import Distance
from ilk.scan import exact_distances
from ilk.searchers.codes import Codes, Coding, encode
from ilk.searchers.exact import ExactSearcher

__all__ = ["Prefilter", "build_prefilter"]

_NUM_CHECKED = 64
"""Probes of each of three kinds that the codes are checked with."""

_LEAST, _MOST, _MOST_SHARE = 1024, 16_384, 1 / 32
"""Candidates per probe, and as a share of the rows; more would take as long as an exact scan."""

_RESERVE, _UNSURE_RESERVE = 4, 16
"""How many times the candidates that the hardest probe of the check needed; the second where the
measure does not tell whether a probe is in doubt."""

_CHECKED_AT_ONCE = 16
_SCANNED_AT_ONCE = 65_536
"""Probes and rows of one part of the check."""

_SURE_SHARE, _LEAST_SURE_SHARE = 0.99, 0.5
"""Of the probes of the check that must not be in doubt, or more candidates are taken; or, where no
more pay, no codes at all."""

_SURE = 4.0
"""Standard errors between the closest row found and the last candidate: 3 in 100,000."""


@final
@dataclass(frozen=True, eq=False)
class Prefilter:
    """Codes with what their check has shown.

    Codes shrink rows towards their centres, so the measure of a probe's closest row is off by what
    falls with its distance. `offset + slope * distance ** power` is that error as the check
    saw it.
    """

    codes: Codes
    num_first: int
    """Candidates that were enough for every probe of the check, several times over."""
    num_candidates: int
    """Candidates that leave few probes of the check in doubt."""
    most_candidates: int
    """More would take as long as an exact scan."""
    offset: float
    slope: float
    error: float
    """What is left of the error, as standard error per unit of `Codes.spread`."""

    def is_sure(
        self, spread: np.ndarray, last_measure: np.ndarray, closest: np.ndarray
    ) -> np.ndarray:
        """Tell for each probe whether a row beyond the last candidate could hardly be closer.

        Args:
            spread: (Q,) of the probes.
            last_measure: (Q,) of the last candidate of each.
            closest: (Q,) exact distance of the closest row that was found.
        """
        power = self.codes.coding.power
        if not power:
            return np.ones(len(spread), bool)
        expected = self.offset + (1 + self.slope) * closest**power
        sure: np.ndarray = expected + _SURE * self.error * spread <= last_measure
        return sure


def build_prefilter(
    faiss: Any,
    distance: Distance,
    coding: Coding,
    rows: np.ndarray,
    changed: np.ndarray,
    go_on: Callable[[], bool] = lambda: True,
) -> Prefilter | None:
    """Code the rows and check on stored rows disturbed, points between rows and random directions.

    Args:
        faiss: The module.
        distance: What closeness means.
        coding: How rows are coded.
        rows: (N, D) float32; they may change meanwhile.
        changed: (N,) bool, which of them did; their codes need not find them.
        go_on: Asked now and then; when it says no, the answer is None.

    Returns:
        None if they do not help: some probe's closest row is not among the most candidates that
        pay, or most probes are left in doubt.
    """
    codes = encode(faiss, coding, rows, go_on)
    if codes is None:
        return None
    probes = _check_probes(rows)
    target, closest = _closest(distance, rows, probes, go_on)
    most = max(_LEAST, min(_MOST, int(len(rows) * _MOST_SHARE)))
    parts = []
    for start in range(0, len(probes), _CHECKED_AT_ONCE):
        part = slice(start, start + _CHECKED_AT_ONCE)
        positions, measures = codes.search(probes[part], most)
        exact = _exact(distance, probes[part], rows, positions)
        is_closest = exact <= closest[part, None]
        is_found = is_closest.any(axis=1)
        if not (is_found | changed[target[part]]).all() or not go_on():
            return None
        parts.append((measures, is_closest.argmax(axis=1), is_found))
    measures, rank, is_found = (np.concatenate(part) for part in zip(*parts, strict=True))
    own = measures[np.arange(len(rank)), rank]
    line = _fit(codes, probes[is_found], own[is_found], closest[is_found])
    reserve = _RESERVE if coding.power else _UNSURE_RESERVE
    least = reserve * (int(rank[is_found].max(initial=0)) + 1)
    return _choose(codes, line, codes.spread(probes), measures, closest, least)


def _choose(
    codes: Codes,
    line: tuple[float, float, float],
    spread: np.ndarray,
    measures: np.ndarray,
    closest: np.ndarray,
    least: int,
) -> Prefilter | None:
    """Choose the smallest count that leaves few probes of the check in doubt; None if most are."""
    most = measures.shape[1]
    first = count = min(max(_LEAST, least), most)
    while True:
        found = Prefilter(codes, first, count, most, *line)
        sure_share = found.is_sure(spread, measures[:, count - 1], closest).mean()
        if sure_share >= (_SURE_SHARE if count < most else _LEAST_SURE_SHARE):
            return found
        if count == most:
            return None
        count = min(4 * count, most)


def _fit(
    codes: Codes, probes: np.ndarray, measures: np.ndarray, closest: np.ndarray
) -> tuple[float, float, float]:
    """Return `Prefilter`'s offset, slope and error from the closest rows of the check."""
    values = closest**codes.coding.power
    slope, offset = np.polyfit(values, measures - values, 1) if np.ptp(values) > 0 else (0.0, 0.0)
    left = measures - values - offset - slope * values
    spread = np.maximum(codes.spread(probes), np.finfo(np.float32).tiny)
    return float(offset), float(slope), float(np.mean((left / spread) ** 2) ** 0.5)


def _exact(
    distance: Distance, probes: np.ndarray, rows: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    probe = np.repeat(np.arange(len(probes)), positions.shape[1])
    exact = exact_distances(distance, probes, rows, probe, positions.reshape(-1))
    return exact.reshape(positions.shape)


def _closest(
    distance: Distance, rows: np.ndarray, probes: np.ndarray, go_on: Callable[[], bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Return position and distance (Q,) of the closest row, by exact scans of parts of the rows."""
    position, closest = np.zeros(len(probes), np.int64), np.full(len(probes), np.inf)
    for start in range(0, len(rows), _SCANNED_AT_ONCE):
        if not go_on():
            break
        part = rows[start : start + _SCANNED_AT_ONCE]
        scanned = ExactSearcher(distance, rows.shape[1])
        scanned.adopt(np.arange(start, start + len(part)), part)
        found = scanned.nearest(probes, 1)
        is_closer = found.distances[:, 0] < closest
        position[is_closer] = found.ids[is_closer, 0]
        closest[is_closer] = found.distances[is_closer, 0]
    return position, closest


def _check_probes(rows: np.ndarray) -> np.ndarray:
    """Return (Q, D) probes: near rows, between rows, and strangers spread as the rows are."""
    rng = np.random.default_rng(1)
    chosen = rows[rng.integers(0, len(rows), (2, _NUM_CHECKED))]
    first, second = chosen.astype(np.float64)
    step = np.linalg.norm(first - second, axis=1, keepdims=True)
    noise = rng.normal(size=(_NUM_CHECKED, rows.shape[1])) / rows.shape[1] ** 0.5
    strength = rng.choice([0.1, 0.4, 0.8], (_NUM_CHECKED, 1))
    both = np.concatenate([first, second])
    mixing = rng.normal(size=(_NUM_CHECKED, len(both))) / len(both) ** 0.5
    strangers = both.mean(0) + mixing @ (both - both.mean(0))
    return np.concatenate([first + strength * step * noise, (first + second) / 2, strangers])
