"""Within-alphabet one-shot classification: the Omniglot protocol of Lake et al.

One run takes `num_ways` characters of one alphabet. One drawer's drawing of each is the gallery,
another drawer's drawings are the probes; the answer is the closest exemplar.
Source: Lake, Salakhutdinov and Tenenbaum, The Omniglot challenge: a 3-year progress report (2019).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput

__all__ = ["OneShot", "one_shot"]


@final
@dataclass(frozen=True)
class OneShot:
    """The outcome of one-shot classification."""

    error: float
    """Share of trials answered wrongly; a tie with the right answer counts by its chance."""
    low: float
    high: float
    """95 % interval from a bootstrap by alphabet, of the runs of each."""
    num_trials: int
    num_ways: int
    per_alphabet: dict[str, float]
    """The error on each alphabet."""


def one_shot(
    embeddings: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str | None],
    distance: Distance,
    *,
    num_runs: int = 20,
    num_ways: int = 20,
    seed: int = 0,
) -> OneShot:
    """Return the within-alphabet one-shot error.

    Runs go round robin over the alphabets that have at least `num_ways` characters; characters
    and the two drawers are drawn from `seed`. A label is "alphabet/character", a group a drawer.

    Args:
        embeddings: One embedding per drawing, shape (N, D).
        labels: The character of each drawing, N of them.
        groups: The drawer of each drawing, N of them.
        distance: What is closest.
        num_runs: Runs of `num_ways` trials each.
        num_ways: Characters in a run.
        seed: For the draws and the bootstrap.

    Raises:
        InvalidInput: No alphabet has enough characters that two drawers both drew.

    Example:
        >>> labels = [f"Greek/{i}" for i in range(3)] * 2
        >>> drawers = ["ann"] * 3 + ["bob"] * 3
        >>> from ilk.distances import Euclidean
        >>> corners = np.tile(np.eye(3), (2, 1))
        >>> one_shot(corners, labels, drawers, Euclidean(), num_runs=2, num_ways=3).error
        0.0
    """
    drawings = _by_alphabet(labels, groups)
    able = [a for a in sorted(drawings) if len(_complete(drawings[a], num_ways)) >= 2]
    if not able:
        raise InvalidInput(
            f"one-shot runs need an alphabet with {num_ways} characters that two drawers both "
            "drew (labels 'alphabet/character', groups the drawers); found none"
        )
    rng = np.random.default_rng(seed)
    errors: dict[str, list[float]] = defaultdict(list)
    for run in range(num_runs):
        alphabet = able[run % len(able)]
        errors[alphabet].append(_run(embeddings, drawings[alphabet], distance, num_ways, rng))
    low, high = _interval([np.array(e) for e in errors.values()], rng)
    return OneShot(
        error=float(np.mean([e for run_errors in errors.values() for e in run_errors])),
        low=low,
        high=high,
        num_trials=num_runs * num_ways,
        num_ways=num_ways,
        per_alphabet={a: float(np.mean(e)) for a, e in errors.items()},
    )


def _by_alphabet(
    labels: Sequence[str], groups: Sequence[str | None]
) -> dict[str, dict[str, dict[str, int]]]:
    """Return alphabet -> drawer -> character -> row."""
    drawings: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row, (label, group) in enumerate(zip(labels, groups, strict=True)):
        if group is not None:
            drawings[label.rpartition("/")[0]][group].setdefault(label, row)
    return drawings


def _complete(drawers: dict[str, dict[str, int]], num_ways: int) -> list[str]:
    return sorted(d for d, drawn in drawers.items() if len(drawn) >= num_ways)


def _run(
    embeddings: np.ndarray,
    drawers: dict[str, dict[str, int]],
    distance: Distance,
    num_ways: int,
    rng: np.random.Generator,
) -> float:
    """Return the error of one run: draws two drawers, then the characters both drew."""
    pairs = [
        (a, b)
        for a in _complete(drawers, num_ways)
        for b in _complete(drawers, num_ways)
        if a != b and len(drawers[a].keys() & drawers[b].keys()) >= num_ways
    ]
    if not pairs:
        raise InvalidInput(f"no two drawers share {num_ways} characters of an alphabet")
    first, second = pairs[rng.integers(len(pairs))]
    shared = sorted(drawers[first].keys() & drawers[second].keys())
    chosen = [shared[i] for i in rng.permutation(len(shared))[:num_ways]]
    gallery = embeddings[[drawers[first][c] for c in chosen]].astype(np.float64)
    probes = embeddings[[drawers[second][c] for c in chosen]].astype(np.float64)
    distances = distance.pairwise(probes, gallery)
    own = distances.diagonal()[:, None]
    closer = (distances < own).sum(1)
    tied = (distances == own).sum(1)
    return float(np.where(closer > 0, 1.0, 1 - 1 / tied).mean())


def _interval(
    errors: list[np.ndarray], rng: np.random.Generator, num_draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % percentile interval: alphabets, then the runs of each, drawn again."""
    means = np.empty(num_draws)
    for draw in range(num_draws):
        picked = rng.integers(len(errors), size=len(errors))
        runs = [errors[i][rng.integers(len(errors[i]), size=len(errors[i]))] for i in picked]
        means[draw] = np.concatenate(runs).mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
