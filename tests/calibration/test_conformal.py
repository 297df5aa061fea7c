"""The limit is the order statistic it says, refuses what it cannot carry, and covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.calibration import combine_p_values, limit_for_fpir, p_value, trials_needed
from ilk.errors import InvalidInput, NotEnoughTrials
from ilk.thresholds import within


@given(
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.2, 0.1, 0.05, 0.01]),
)
def test_limit_lies_just_below_the_order_statistic(distances: list[float], target: float) -> None:
    closest = np.array(distances)
    if len(closest) < trials_needed(target):
        with pytest.raises(NotEnoughTrials):
            limit_for_fpir(closest, target)
        return
    k = math.floor(target * (len(closest) + 1) + 1e-9)
    boundary = np.sort(closest)[k - 1]
    limit = limit_for_fpir(closest, target)
    assert limit < boundary
    assert np.nextafter(limit, np.inf) == boundary
    named = int(within(closest, limit).sum())
    assert named <= k - 1
    assert named / len(closest) <= target
    more = within(closest, boundary).sum()  # one step up would name the k-th as well
    assert more >= k


def test_ties_with_the_boundary_are_not_named() -> None:
    closest = np.array([0.1] + [0.5] * 10 + [0.9] * 8)
    limit = limit_for_fpir(closest, target_fpir=0.25)  # k = 5, the fifth of them is 0.5
    assert within(closest, limit).sum() == 1
    constant = np.full(99, 0.7)
    assert within(constant, limit_for_fpir(constant, 0.05)).sum() == 0


def test_order_and_dtype_of_the_distances_do_not_matter() -> None:
    closest = np.random.default_rng(0).random(500)
    limit = limit_for_fpir(closest, 0.01)
    assert limit_for_fpir(closest[::-1].copy(), 0.01) == limit
    single = closest.astype(np.float32)
    assert not within(np.sort(single)[4], limit_for_fpir(single, 0.01))


@pytest.mark.parametrize(
    ("target", "needed"), [(0.5, 1), (0.1, 9), (0.05, 19), (0.01, 99), (0.001, 999), (0.0001, 9999)]
)
def test_refusal_says_how_many_are_missing(target: float, needed: int) -> None:
    assert trials_needed(target) == needed
    closest = np.linspace(0.1, 1, needed)
    assert limit_for_fpir(closest, target) < 0.1  # just enough: none of them may be named
    with pytest.raises(
        NotEnoughTrials, match=f"at least {needed} non-mated probes, got {needed - 1}; add 1 or"
    ):
        limit_for_fpir(closest[1:], target)


def test_what_makes_no_sense_is_refused() -> None:
    for target in (0.0, 1.0, -0.1, 2.0, float("nan")):
        with pytest.raises(InvalidInput, match="target_fpir must be above 0 and below 1"):
            limit_for_fpir(np.ones(99), target)
    with pytest.raises(InvalidInput, match="non-mated probe is NaN"):
        limit_for_fpir(np.array([0.1, np.nan] * 100), 0.1)


@pytest.mark.parametrize(
    ("num_trials", "target"), [(19, 0.05), (99, 0.05), (150, 0.1), (250, 0.01)]
)
def test_the_next_stranger_is_named_at_most_at_the_target_rate(
    num_trials: int, target: float
) -> None:
    """The rate over many calibrations is floor(target (n + 1)) / (n + 1), whatever the law."""
    rng = np.random.default_rng(7)
    num_runs, num_next = 1500, 40
    rates = np.empty(num_runs)
    for run in range(num_runs):
        strangers = rng.gamma(3.0, size=num_trials + num_next)
        limit = limit_for_fpir(strangers[:num_trials], target)
        rates[run] = within(strangers[num_trials:], limit).mean()
    exact = math.floor(target * (num_trials + 1) + 1e-9) / (num_trials + 1)
    assert exact <= target
    assert abs(rates.mean() - exact) < 4 * rates.std() / num_runs**0.5


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0, np.inf]), min_size=1, max_size=120),
    st.sampled_from([0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.01]),
    st.floats(0, 1.2) | st.sampled_from([0.1, 0.25, 0.5, 1.0]),
)
def test_a_p_value_is_at_most_the_target_exactly_within_the_limit(
    distances: list[float], target: float, asked: float
) -> None:
    closest = np.array(distances)
    if len(closest) < trials_needed(target):
        assert p_value(np.sort(closest), asked) > target  # the smallest there is would not do
        return
    limit = limit_for_fpir(closest, target)
    assert (p_value(np.sort(closest), asked) <= target) == bool(within(asked, limit))


def test_p_values_count_what_is_at_least_as_close() -> None:
    closest = np.array([0.1, 0.2, 0.2, 0.2, 0.9])
    asked = np.array([[0.0, 0.1, 0.15], [0.2, 1.0, np.nan]])
    counts = [[0, 1, 1], [4, 5, 5]]
    assert (p_value(closest, asked) == (1 + np.array(counts)) / 6).all()
    assert p_value(closest, 0.2) == 5 / 6
    assert p_value(closest, np.inf) == 1.0
    assert isinstance(p_value(closest, 0.2), float)


def test_p_values_of_strangers_are_valid() -> None:
    rng = np.random.default_rng(1)
    for t in (0.05, 0.1, 0.3):
        small = [
            p_value(np.sort(rng.normal(size=19)), rng.normal(size=20)).__le__(t).mean()
            for _ in range(600)
        ]
        assert np.mean(small) <= t + 4 * np.std(small) / 600**0.5


@pytest.mark.parametrize("dependence", ["none", "all the same", "half against half", "loose"])
@pytest.mark.parametrize("num_probes", [2, 3, 10])
def test_combined_p_values_of_strangers_are_valid(dependence: str, num_probes: int) -> None:
    rng = np.random.default_rng(num_probes)
    num_runs = 40_000
    base = rng.random((num_runs, 1))
    p = {
        "none": rng.random((num_runs, num_probes)),
        "all the same": np.repeat(base, num_probes, 1),
        "half against half": np.where(np.arange(num_probes) % 2, base, 1 - base),
        "loose": (base + rng.random((num_runs, num_probes)) * 0.2) % 1,
    }[dependence]
    combined = combine_p_values(p)
    for t in (0.001, 0.01, 0.05, 0.2):
        assert (combined <= t).mean() <= t + 4 * (t / num_runs) ** 0.5


def test_several_probes_of_one_thing_count_for_more_than_their_middle() -> None:
    assert combine_p_values(np.array([0.3])) == 0.3
    assert combine_p_values(np.array([0.01, 0.01])) == pytest.approx(0.01 * math.e)
    assert combine_p_values(np.array([0.9, 0.9])) == 1.0
    assert combine_p_values(np.array([0.0, 0.5])) == 0.0
    assert combine_p_values(np.array([[0.01, 0.04], [1.0, 1.0]])) == pytest.approx(
        [0.02 * math.e, 1]
    )
    for p in ([], [1.1], [np.nan], [-0.1, 0.5]):
        with pytest.raises(InvalidInput, match="p-values between 0 and 1"):
            combine_p_values(np.array(p))
