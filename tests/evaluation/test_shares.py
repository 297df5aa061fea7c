"""Intervals of shares whose trials have one or two classes each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.calibration import clopper_pearson, clustered_interval
from ilk.errors import InvalidInput
from ilk.evaluation.shares import Share, difference_interval, difference_p_value

draws = st.tuples(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 9))


@settings(deadline=None, max_examples=150)
@given(draws, st.sampled_from([0.5, 0.95]))
def test_of_one_class_each_it_is_the_clustered_interval(
    drawn: tuple[int, int, int], confidence: float
) -> None:
    seed, n, num_classes = drawn
    rng = np.random.default_rng(seed)
    values, classes = rng.random(n) < rng.random(), rng.integers(0, num_classes, n)
    expected = clustered_interval(values, classes, confidence)
    found = Share.of(values.astype(float), classes).interval(confidence)
    assert found == pytest.approx(expected)


@settings(deadline=None, max_examples=100)
@given(draws)
def test_the_design_effect_counts_every_two_trials_that_share_a_class(
    drawn: tuple[int, int, int],
) -> None:
    seed, n, num_classes = drawn
    rng = np.random.default_rng(seed)
    n += 3
    values = (rng.random(n) < 0.5).astype(float)
    values[:2] = 0, 1
    first, second = rng.integers(0, num_classes + 2, (2, n))
    share = Share.of(values, first, second)
    residual, pairs = values - values.mean(), [{a, b} for a, b in zip(first, second, strict=True)]
    shared = sum(
        residual[i] * residual[j] for i in range(n) for j in range(n) if pairs[i] & pairs[j]
    )
    alike = sum(bool(pairs[i] & pairs[j]) for i in range(n) for j in range(n))
    classes = len(set.union(*pairs))
    independent = values.mean() * (1 - values.mean()) / (n - 1)
    assert share.fewest == pytest.approx(n * n / alike)
    if classes > 1:
        effect = max(1.0, classes / (classes - 1) * shared / n**2 / independent)
        assert share.effective == pytest.approx(n / effect)


def test_comparisons_that_share_a_person_count_for_less() -> None:
    rng = np.random.default_rng(0)
    misled = rng.random(40) < 0.2  # whoever is, is in all comparisons
    first, second = np.triu_indices(40, 1)
    values = (misled[first] | misled[second]).astype(float)
    low, high = Share.of(values, first, second).interval()
    plain = clopper_pearson(values.sum(), len(values))
    assert high - low > 4 * (plain[1] - plain[0])


def test_intervals_of_comparisons_hold_the_rate_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    first, second = np.triu_indices(40, 1)
    num_held = 0
    for _ in range(200):
        wolfish = rng.beta(1, 9, 40)
        chance = (wolfish[first] + wolfish[second]) / 2
        accepted = (rng.random(len(first)) < chance).astype(float)
        low, high = Share.of(accepted, first, second).interval()
        num_held += low <= 0.1 <= high
    assert num_held >= 182  # 190 are expected


def test_a_design_effect_is_borrowed_within_bounds() -> None:
    classes = np.arange(40) // 4
    alike = Share.of((classes % 2).astype(float), classes)
    plain = Share.of((np.arange(40) % 2).astype(float), classes)
    assert plain.effective == 40
    assert plain.as_alike_as(alike).effective == pytest.approx(alike.effective, rel=0.2)
    assert plain.as_alike_as(alike).effective >= plain.fewest == 10
    assert alike.as_alike_as(plain) == alike
    never = Share.of(np.zeros(40), classes)
    assert plain.as_alike_as(never) == plain


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.3), (0.3, 0.1), (0.0, 0.2), (0.9, 0.7)])
def test_the_p_value_is_the_level_at_which_the_interval_ends_at_zero(a: float, b: float) -> None:
    first, second = Share(a, 60, 60, 60.0, 60.0), Share(b, 60, 60, 60.0, 60.0)
    p = difference_p_value(first, second)
    for factor, leaves_out in ((1.05, True), (0.95, False)):
        low, high = difference_interval(first, second, 1 - p * factor)
        assert (low > 0 or high < 0) == leaves_out
    assert difference_p_value(first, first) == 1.0


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"got \(0,\)"):
        Share.of(np.zeros(0), np.zeros(0, np.int64))
    with pytest.raises(InvalidInput, match=r"got \(2,\), \(3,\)"):
        Share.of(np.zeros(2), np.zeros(3, np.int64))
