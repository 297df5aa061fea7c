"""Runs of several seeds: the interval holds the true difference as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.runs import Spread


def coverage(
    num_trials: int,
    num_runs: tuple[int, int],
    *,
    seed_sd: tuple[float, float],
    class_sd: float,
    run_class_sd: float = 0.05,
    num_classes: int = 40,
) -> float:
    """The share of simulated comparisons whose interval holds the true difference, which is 0.03.

    A class's value is that of its side, its own difficulty (which both sides share), its liking
    for one side, what the seed made of the run, and what it made of the class.
    """
    rng = np.random.default_rng([num_trials, *num_runs, num_classes])
    bootstrap, ids = ClassBootstrap(num_classes, num_draws=400), np.arange(num_classes)
    hits = 0
    for _ in range(num_trials):
        difficulty = rng.normal(0.6, 0.2, num_classes)
        sides = []
        for side, (runs, sd) in enumerate(zip(num_runs, seed_sd, strict=True)):
            liking = rng.normal(0.03 * side, class_sd / np.sqrt(2), num_classes)
            of_run = rng.normal(0, sd, (runs, 1))
            of_both = rng.normal(0, run_class_sd, (runs, num_classes))
            sides.append(difficulty + liking + of_run + of_both)
        change = sides[1].mean(0) - sides[0].mean(0)
        draws = bootstrap.mean_draws(change, ids)
        spread = Spread.of(draws, num_classes, *(side.mean(1) for side in sides))
        hits += abs(change.mean() - 0.03) <= spread.reach(0.95)
    return hits / num_trials


CELLS = [
    ((2, 2), (0.02, 0.02), 0.05),
    ((3, 3), (0.02, 0.02), 0.05),
    ((3, 3), (0.02, 0.02), 0.3),
    ((3, 3), (0.0, 0.0), 0.3),
    ((5, 5), (0.05, 0.05), 0.05),
    ((2, 5), (0.03, 0.01), 0.1),
    ((5, 2), (0.0, 0.05), 0.1),
    ((10, 10), (0.02, 0.02), 0.1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("num_runs", "seed_sd", "class_sd"), CELLS)
def test_intervals_hold_the_truth_in_every_mixture(
    num_runs: tuple[int, int], seed_sd: tuple[float, float], class_sd: float
) -> None:
    """At least 0.95; 2,000 trials have a standard error of 0.005. Ten runs give little away."""
    found = coverage(2000, num_runs, seed_sd=seed_sd, class_sd=class_sd)
    assert found >= 0.95 - 3 * 0.005
    assert found <= (0.985 if min(num_runs) >= 10 else 1.0)


def test_an_interval_with_seeds_holds_the_truth_and_one_without_does_not() -> None:
    options = {"seed_sd": (0.04, 0.04), "class_sd": 0.05}
    assert coverage(300, (3, 3), **options) >= 0.92  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    without = 0
    bootstrap, ids = ClassBootstrap(40, num_draws=400), np.arange(40)
    for _ in range(300):
        change = rng.normal(0.03, 0.05, 40) + rng.normal(0, 0.04 * np.sqrt(2))
        draws = bootstrap.mean_draws(change, ids)
        low, high = np.quantile(draws, [0.025, 0.975])
        without += low <= 0.03 <= high
    assert without / 300 < 0.5


def test_no_variance_is_no_interval_and_no_difference_is_no_sign() -> None:
    alike = Spread.of(np.zeros(100), 10, np.full(2, 0.5), np.full(2, 0.4))
    assert alike.reach(0.95) == 0
    assert alike.p_value(0.0) == 1.0
    assert alike.p_value(-0.1) < 1e-9
    assert alike.seed_share == 0


def test_it_is_students_where_only_one_thing_varies() -> None:
    """Three runs have two degrees of freedom: P(|T| > t) is 1 - t / sqrt(2 + t^2)."""
    runs = np.array([0.49, 0.50, 0.51])
    spread = Spread.of(np.zeros(100), 30, runs, np.full(3, 0.7))
    error = 0.01 / np.sqrt(3)
    assert spread.reach(0.95) == pytest.approx(4.30265 * error, rel=1e-5)
    t = 0.02 / error
    assert spread.p_value(0.02) == pytest.approx(1 - t / np.sqrt(2 + t * t))
    assert spread.p_value(-0.02) == spread.p_value(0.02)
    assert spread.seed_share == 1.0
