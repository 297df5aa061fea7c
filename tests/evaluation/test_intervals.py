"""Intervals against scipy-free references, and what they promise, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from ilk.evaluation.intervals import ClassBootstrap


def test_classes_are_drawn_not_items() -> None:
    """Items of a class all agree here, so the honest interval is that of 30 trials, not 3,000."""
    ids = np.repeat(np.arange(30), 100)
    figure = ClassBootstrap(30).mean("share", (ids % 2).astype(float), ids)
    assert figure.value == 0.5
    assert figure.low is not None
    assert figure.high is not None
    assert 0.3 < figure.high - figure.low < 0.4


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered, ids = 0, np.repeat(np.arange(60), 4)
    for seed in range(150):
        effect = rng.normal(size=60)
        figure = ClassBootstrap(60, num_draws=400, seed=seed).mean(
            "mean", effect[ids] + rng.normal(size=240), ids
        )
        assert figure.low is not None
        assert figure.high is not None
        covered += figure.low <= 0 <= figure.high
    assert 131 <= covered <= 149


def test_micro_counts_items_and_macro_counts_classes() -> None:
    ids = np.array([0, 0, 0, 1])
    values = np.array([1.0, 1.0, np.nan, 0.0])
    bootstrap = ClassBootstrap(3)
    assert bootstrap.mean("m", values, ids).value == pytest.approx(2 / 3)
    assert bootstrap.mean("m", values, ids, is_macro=True).value == 0.5
    assert bootstrap.mean("m", values, ids).num_trials == 3


def test_draws_equal_a_loop_over_resampled_classes() -> None:
    rng = np.random.default_rng(1)
    ids, values = rng.integers(0, 7, 50), rng.normal(size=50)
    bootstrap = ClassBootstrap(7, num_draws=30)
    weights = np.concatenate([w[None] for w in _weights(bootstrap)])
    for is_macro in (False, True):
        found = bootstrap.mean_draws(values, ids, is_macro=is_macro)
        for row, value in zip(weights, found, strict=True):
            drawn = np.repeat(np.arange(7), row.astype(int))
            parts = [values[ids == label] for label in drawn]
            expected = (
                np.mean([p.mean() for p in parts]) if is_macro else np.concatenate(parts).mean()
            )
            assert value == pytest.approx(expected)


def _weights(bootstrap: ClassBootstrap) -> list[np.ndarray]:
    seen: list[np.ndarray] = []

    def keep(weights: np.ndarray) -> np.ndarray:
        seen.extend(weights)
        return weights.sum(axis=1)

    assert set(bootstrap.draws(keep)) == {float(bootstrap.num_classes)}
    return seen


def test_few_classes_are_warned_of() -> None:
    one = ClassBootstrap(1).mean("m", np.ones(5), np.zeros(5, int))
    assert (one.value, one.low, one.note) == (1.0, None, "one class allows no interval")
    few = ClassBootstrap(4).mean("m", np.arange(8.0), np.arange(8) % 4)
    assert few.low is not None
    assert few.note == "interval from only 4 classes: unreliable"
    none = ClassBootstrap(4).mean("m", np.full(8, np.nan), np.arange(8) % 4)
    assert (none.value, none.note) == (None, "nothing to count")
