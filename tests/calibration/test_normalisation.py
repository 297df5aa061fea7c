"""AS-norm is what its formula says, and the comparison tells where it helps and where it harms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ilk.calibration import as_norm, compare_normalisation
from ilk.distances import Euclidean
from ilk.errors import InvalidInput, NotEnoughTrials


def crowds(seed: int, *, num_classes: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Classes in crowds, some fifty times as dense as others: one threshold fits none of them."""
    rng = np.random.default_rng(seed)
    crowd = rng.integers(0, 8, num_classes)
    density = np.geomspace(0.02, 1, 8)[crowd][:, None]
    centres = 20 * rng.normal(size=(8, 6))[crowd] + density * rng.normal(size=(num_classes, 6))
    groups = np.repeat(np.arange(num_classes), 6)
    noise = 0.15 * np.repeat(density, 6, 0) * rng.normal(size=(len(groups), 6))
    return (centres[groups] + noise).astype(np.float32), groups


def alike(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes anywhere: no probe is closer to everything than another."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(160), 6)
    centres = rng.uniform(-1, 1, (160, 2))
    return (centres[groups] + 0.02 * rng.normal(size=(960, 2))).astype(np.float32), groups


def test_as_norm_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    distances, probes, rows = rng.random(9), rng.random((9, 20)), rng.random((9, 20))
    for k in (2, 7, 20):
        expected = []
        for d, p, r in zip(distances, probes, rows, strict=True):
            of_probe, of_row = sorted(p)[:k], sorted(r)[:k]
            expected.append(
                (d - np.mean(of_probe)) / np.std(of_probe) / 2
                + (d - np.mean(of_row)) / np.std(of_row) / 2
            )
        assert as_norm(distances, probes, rows, k) == pytest.approx(np.array(expected))
    assert as_norm(distances, probes, rows, 5) == pytest.approx(as_norm(distances, rows, probes, 5))


def test_units_do_not_matter_and_no_spread_stays_a_number() -> None:
    rng = np.random.default_rng(0)
    distances, probes, rows = rng.random(9), rng.random((9, 20)), rng.random((9, 20))
    scaled = as_norm(7 * distances, 7 * probes, 7 * rows, 5)
    assert scaled == pytest.approx(as_norm(distances, probes, rows, 5))
    assert np.isfinite(as_norm(distances, np.ones((9, 20)), np.ones((9, 20)), 5)).all()
    for k in (1, 21):
        with pytest.raises(InvalidInput, match="at most the cohort's 20, got"):
            as_norm(distances, probes, rows, k)


def test_it_wins_where_classes_crowd_unlike_each_other() -> None:
    trial = compare_normalisation(*crowds(1), Euclidean(), 0.05, num_closest=20)
    assert trial.is_better
    assert trial.fnir_normalised < trial.fnir_plain - 0.3
    assert trial.low < trial.fnir_normalised - trial.fnir_plain < trial.high < 0
    assert (trial.num_draws, trial.num_strangers) == (20, 240)
    assert 150 < trial.num_classes <= 160


def test_it_is_said_to_do_harm_where_it_does() -> None:
    """Where all classes are alike, it only adds the noise of a cohort."""
    for seed in range(4):
        trial = compare_normalisation(*alike(seed), Euclidean(), 0.05, num_closest=20, num_draws=10)
        assert not trial.is_better
        assert 0 < trial.low < trial.fnir_normalised - trial.fnir_plain


def test_a_distance_of_nothing_else_is_compared_with_itself() -> None:
    """With a cohort that is equally far from everything, both rules are the same."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(64), 5)
    points = np.repeat(np.eye(64), 5, 0) + 1e-3 * rng.normal(size=(320, 64))
    trial = compare_normalisation(points.astype(np.float32), groups, Euclidean(), 0.05)
    assert trial.fnir_plain == trial.fnir_normalised == 0
    assert not trial.is_better


def test_whoever_is_asked_about_is_not_enrolled() -> None:
    """Labels at random: no probe can be found, but by finding itself."""
    rng = np.random.default_rng(0)
    points, groups = rng.normal(size=(600, 5)).astype(np.float32), rng.permutation(600) % 60
    trial = compare_normalisation(points, groups, Euclidean(), 0.2, num_draws=4)
    assert trial.fnir_plain > 0.9
    assert trial.fnir_normalised > 0.9


def test_a_difference_that_may_be_none_is_no_win() -> None:
    trial = compare_normalisation(*crowds(0), Euclidean(), 0.05, num_draws=2)
    assert not replace(trial, low=-0.3, high=0.1).is_better
    assert replace(trial, low=-0.3, high=-0.1).is_better


def test_seeds_decide_and_what_cannot_be_compared_is_refused() -> None:
    rows, groups = crowds(1, num_classes=60)
    first, again, other = (
        compare_normalisation(rows, groups, Euclidean(), 0.05, num_draws=3, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    with pytest.raises(NotEnoughTrials, match="non-mated probes"):
        compare_normalisation(rows, groups, Euclidean(), 0.001)
    with pytest.raises(InvalidInput, match="at least 8 classes and 2 draws, got 7 and 20"):
        compare_normalisation(rows[:42], groups[:42], Euclidean(), 0.1)
