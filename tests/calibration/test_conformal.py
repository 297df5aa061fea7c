"""The limit is the order statistic it says, refuses what it cannot carry, and covers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.calibration import (
    StrangerDistances,
    classes_needed,
    combine_p_values,
    least_rate,
    limit_for_fpir,
)
from ilk.errors import InvalidInput, NotEnoughTrials
from ilk.thresholds import within


@given(
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.2, 0.1, 0.05, 0.01]),
)
def test_limit_lies_just_below_the_order_statistic(distances: list[float], target: float) -> None:
    closest = np.array(distances)
    if len(closest) < classes_needed(target):
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
    assert classes_needed(target) == needed
    closest = np.linspace(0.1, 1, needed)
    assert limit_for_fpir(closest, target) < 0.1  # just enough: none of them may be named
    with pytest.raises(
        NotEnoughTrials,
        match=f"at least {needed:,} classes of strangers, got {needed - 1:,}.*; add 1",
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
    if len(closest) < classes_needed(target):
        assert (
            StrangerDistances(closest).p_value(asked) > target
        )  # the smallest there is would not do
        return
    limit = limit_for_fpir(closest, target)
    assert (StrangerDistances(closest).p_value(asked) <= target) == bool(within(asked, limit))


def test_p_values_count_what_is_at_least_as_close() -> None:
    closest = np.array([0.1, 0.2, 0.2, 0.2, 0.9])
    asked = np.array([[0.0, 0.1, 0.15], [0.2, 1.0, np.nan]])
    counts = [[0, 1, 1], [4, 5, 5]]
    strangers = StrangerDistances(closest)
    assert (strangers.p_value(asked) == (1 + np.array(counts)) / 6).all()
    assert strangers.p_value(0.2) == 5 / 6
    assert strangers.p_value(np.inf) == 1.0
    assert isinstance(strangers.p_value(0.2), float)


def test_p_values_of_strangers_are_valid() -> None:
    rng = np.random.default_rng(1)
    for t in (0.05, 0.1, 0.3):
        small = [
            (StrangerDistances(rng.normal(size=19)).p_value(rng.normal(size=20)) <= t).mean()
            for _ in range(600)
        ]
        assert np.mean(small) <= t + 4 * np.std(small) / 600**0.5


def reference_limit(closest: list[float], groups: list[int], target: Fraction) -> float:
    """The definition, one distance after the other, in fractions."""
    num_classes = len(set(groups))
    for distance in sorted(set(closest)):
        mass = Fraction(1, num_classes + 1)
        for other, group in zip(closest, groups, strict=True):
            if other <= distance:
                mass += Fraction(1, groups.count(group) * (num_classes + 1))
        if mass > target:
            return float(np.nextafter(distance, -np.inf))
    raise AssertionError("all the mass is 1, which is above any target")


@settings(deadline=None)
@given(st.data())
def test_the_limit_by_class_is_the_definition(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=22))
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    values = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5]) | st.floats(0, 2)
    closest = data.draw(st.lists(values, min_size=len(groups), max_size=len(groups)))
    target = data.draw(st.sampled_from([Fraction(1, n) for n in (2, 3, 5, 10, 20, 7)]))
    order = np.random.default_rng(len(groups)).permutation(len(groups))
    given = np.array(closest)[order], float(target), np.array(groups)[order]
    if len(sizes) < classes_needed(float(target)):
        with pytest.raises(NotEnoughTrials, match=f"got {len(sizes)} "):
            limit_for_fpir(*given)
        return
    limit = limit_for_fpir(*given)
    assert limit == reference_limit(closest, groups, target)
    strangers = StrangerDistances(given[0], given[2])
    asked = np.array([0.05, 0.1, 0.2, 0.4, limit, np.nextafter(limit, np.inf)])
    assert ((strangers.p_value(asked) <= float(target)) == within(asked, limit)).all()


def test_many_pictures_of_few_strangers_are_few_strangers() -> None:
    closest, groups = np.linspace(0.1, 1, 100), np.arange(100) // 10
    with pytest.raises(NotEnoughTrials, match=r"got 10 \(100 probes\); add 89, or ask for 0.091"):
        limit_for_fpir(closest, 0.01, groups)
    assert least_rate(10) == 0.091
    assert limit_for_fpir(closest, 0.091, groups) < 0.1


@pytest.mark.parametrize("sizes", [(1,), (5,), (1, 2, 5, 20, 100)], ids=str)
@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9, 1.0])
def test_a_random_probe_of_a_new_class_is_named_at_most_at_the_target(
    sizes: tuple[int, ...], alike: float
) -> None:
    """Size and distances of a class go together here: large classes come closer."""
    rng = np.random.default_rng(11)
    num_classes, target, num_runs = 39, 0.05, 1500
    rates = np.empty(num_runs)
    for run in range(num_runs):
        number = rng.choice(sizes, num_classes)
        groups = np.repeat(np.arange(num_classes), number)
        nearness = -0.3 * np.log(number)[groups]
        common = rng.normal(size=num_classes)[groups] * alike**0.5
        calibration = nearness + common + rng.normal(size=len(groups)) * (1 - alike) ** 0.5
        limit = limit_for_fpir(calibration, target, groups)
        fresh = -0.3 * np.log(rng.choice(sizes, 200)) + rng.normal(size=200)
        rates[run] = within(fresh, limit).mean()
    assert rates.mean() <= target + 3 * rates.std() / num_runs**0.5
    assert rates.mean() > target / 4  # and it is of use


@pytest.mark.parametrize("size", [1, 8])
def test_with_a_confidence_the_rate_is_kept_in_almost_every_draw(size: int) -> None:
    rng = np.random.default_rng(3)
    num_runs, num_classes, target, alike = 1500, 150, 0.05, 0.7
    rates, on_average = np.empty(num_runs), np.empty(num_runs)
    groups = np.repeat(np.arange(num_classes), size)
    for run in range(num_runs):
        common = rng.normal(size=num_classes)[groups] * alike**0.5
        strangers = StrangerDistances(
            common + rng.normal(size=len(groups)) * (1 - alike) ** 0.5, groups
        )
        for of, confidence in ((rates, 0.9), (on_average, None)):
            limit = strangers.limit(target, confidence)
            of[run] = 0.5 * (1 + math.erf(limit / 2**0.5))
    kept = (rates <= target).mean()
    assert kept >= 0.9 - 3 * 0.3 / num_runs**0.5
    assert (on_average <= target).mean() < 0.8  # which the average does not promise
    if size == 1:  # exact: the largest count that keeps it
        assert kept < 0.96


def test_a_confidence_says_how_many_classes_it_takes() -> None:
    assert classes_needed(0.01, confidence=0.95) == 299
    strangers = StrangerDistances(np.arange(1.0, 299.0))
    with pytest.raises(NotEnoughTrials, match=r"a confidence of 0.95 needs at least 299.*; add 1$"):
        strangers.limit(0.01, 0.95)
    enough = StrangerDistances(np.arange(1.0, 300.0))
    assert 0 < enough.limit(0.01, 0.95) < 1
    assert enough.level(0.01, 0.95) == 1 / 300
    for confidence in (0.0, 1.0, float("nan")):
        with pytest.raises(InvalidInput, match="confidence must be above 0 and below 1"):
            strangers.limit(0.01, confidence)


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
