"""Exact intervals against mpmath and the binomial itself, and what they promise, by simulation."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.calibration import clopper_pearson, clustered_interval
from ilk.calibration.beta import beta_quantile, beta_share, t_quantile
from ilk.errors import InvalidInput


def upper_tail(hits: int, trials: int, p: float) -> float:
    """P(X >= hits), X binomial."""
    return sum(
        math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits, trials + 1)
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 120), st.data())
def test_clopper_pearson_inverts_the_binomial_tails(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(hits, trials)
    assert low <= hits / trials <= high
    if hits:
        assert upper_tail(hits, trials, low) == pytest.approx(0.025, rel=1e-6)
    if hits < trials:
        assert 1 - upper_tail(hits + 1, trials, high) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize(("hits", "trials"), [(0, 10_000), (100, 10_000), (59_999, 60_000)])
def test_clopper_pearson_stands_large_counts(hits: int, trials: int) -> None:
    low, high = clopper_pearson(hits, trials)
    rate = hits / trials
    reach = 6 * max(rate * (1 - rate), 1 / trials) ** 0.5 / trials**0.5
    assert rate - reach < low <= rate <= high < rate + reach
    assert high == pytest.approx(1 - clopper_pearson(trials - hits, trials)[0], abs=1e-12)


def test_clopper_pearson_refuses_nothing_and_nonsense() -> None:
    for hits, trials in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(InvalidInput, match="expected 0 <= hits <= trials"):
            clopper_pearson(hits, trials)


def exact_share(x: float, a: float, b: float) -> float:
    """I_x(a, b) with forty digits."""
    with mpmath.workdps(40):
        return float(mpmath.betainc(a, b, 0, x, regularized=True))


@settings(deadline=None, max_examples=60)
@given(st.floats(0.3, 300), st.floats(0.3, 300), st.floats(1e-6, 1 - 1e-6))
def test_the_incomplete_beta_function_is_that_of_mpmath(a: float, b: float, x: float) -> None:
    assert beta_share(x, a, b) == pytest.approx(exact_share(x, a, b), abs=1e-12, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.floats(1, 2000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_limits_of_any_counts_leave_half_the_rest_on_each_side(
    num_trials: float, part: float, confidence: float
) -> None:
    """Whole numbers or not: the limits are where the exact beta tails are (1 - confidence) / 2."""
    num_named = num_trials * part
    low, high = clopper_pearson(num_named, num_trials, confidence)
    tail = (1 - confidence) / 2
    rest = num_trials - num_named
    assert low <= part <= high
    if low > 1e-12:
        assert exact_share(low, num_named, rest + 1) == pytest.approx(tail, abs=1e-9)
    if rest > 0 and high < 1 - 1e-6:
        assert 1 - exact_share(high, num_named + 1, rest) == pytest.approx(tail, abs=1e-9)


@pytest.mark.parametrize(
    ("num_named", "num_trials"), [(10, 1000), (0.37, 41.5), (1006.25, 100_000), (7, 1_000_000)]
)
def test_the_limits_are_right_to_nine_digits(num_named: float, num_trials: float) -> None:
    low, high = clopper_pearson(num_named, num_trials)
    rest = num_trials - num_named
    with mpmath.workdps(40):
        for found, a, b, share in (
            (low, num_named, rest + 1, 0.025),
            (high, num_named + 1, rest, 0.975),
        ):
            exact = mpmath.findroot(
                lambda x, a=a, b=b, share=share: (
                    mpmath.betainc(a, b, 0, x, regularized=True) - share
                ),
                (found * (1 - 1e-7), found * (1 + 1e-7)),
                solver="anderson",
                tol=1e-30,
                verify=False,
            )
            assert found == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize("degrees", [1, 2, 3.5, 10, 99, 100_000])
def test_the_t_quantile_cuts_off_what_it_says(degrees: float) -> None:
    t = t_quantile(0.95, degrees)
    with mpmath.workdps(40):
        outside = mpmath.betainc(
            degrees / 2, 0.5, 0, degrees / (degrees + mpmath.mpf(t) ** 2), regularized=True
        )
        assert float(outside) == pytest.approx(0.05, rel=1e-9)


def test_hardly_any_and_almost_all_have_limits() -> None:
    assert clopper_pearson(1e-300, 10) == pytest.approx(clopper_pearson(0, 10), abs=1e-9)
    assert clopper_pearson(10 - 2e-15, 10) == pytest.approx(clopper_pearson(10, 10), abs=1e-9)


def test_extreme_quantiles_are_found() -> None:
    for share, a, b in ((0.025, 0.05, 3000.0), (0.999, 1.0, 1e6), (1e-9, 5.0, 5.0)):
        x = beta_quantile(share, a, b)
        assert 0 < x < 1
        assert exact_share(x, a, b) == pytest.approx(share, rel=1e-8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=80), st.sampled_from([0.8, 0.95, 0.99]))
def test_one_probe_per_class_is_the_plain_interval(named: list[bool], confidence: float) -> None:
    groups = np.random.default_rng(len(named)).permutation(len(named))
    found = clustered_interval(np.array(named), groups, confidence)
    assert found == pytest.approx(clopper_pearson(sum(named), len(named), confidence), abs=1e-12)


def test_probes_that_repeat_their_class_add_nothing() -> None:
    once = np.arange(60) < 9
    low, high = clustered_interval(np.repeat(once, 20), np.repeat(np.arange(60), 20))
    plain = clopper_pearson(9, 60)
    assert (low, high) == pytest.approx(plain, abs=5e-3)
    assert clustered_interval(np.zeros(1200, bool), np.repeat(np.arange(60), 20)) == (
        pytest.approx(clopper_pearson(0, 60))
    )
    alone = clustered_interval(np.arange(50) < 5, np.zeros(50, np.int64))
    assert alone == pytest.approx(clopper_pearson(0.1, 1))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=2, max_size=25))
def test_the_clustered_interval_is_that_of_korn_and_graubard(counts: list[tuple[int, int]]) -> None:
    """Their formula, class by class: n / design effect, times the squared ratio of t quantiles."""
    counts = [(min(named, size), size) for named, size in counts]
    n, total, num = sum(size for _, size in counts), sum(k for k, _ in counts), len(counts)
    share = total / n
    if not 0 < share < 1:
        return
    variance = num / (num - 1) * sum((k - share * size) ** 2 for k, size in counts) / n**2
    design_effect = variance / (share * (1 - share) / (n - 1))
    effective = n / max(design_effect, 1)
    effective *= min(1, t_quantile(0.95, n - 1) / t_quantile(0.95, num - 1)) ** 2
    groups = np.repeat(np.arange(num), [size for _, size in counts])
    named = np.concatenate([np.arange(size) < k for k, size in counts])
    expected = clopper_pearson(share * effective, effective)
    assert clustered_interval(named, groups) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_classes_more_alike_than_chance_would_have_them_do_not_narrow_the_interval() -> None:
    """One of ten named in each class: as wide as independent trials, at least."""
    low, high = clustered_interval(np.arange(500) % 10 == 0, np.arange(500) // 10)
    plain = clopper_pearson(50, 500)
    assert low < plain[0] < plain[1] < high


def test_the_order_and_the_names_of_classes_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    named, groups = rng.random(300) < 0.1, rng.integers(0, 40, 300)
    order = rng.permutation(300)
    assert clustered_interval(named, groups) == pytest.approx(
        clustered_interval(named[order], groups[order] * 7 - 100), rel=1e-12
    )


def test_a_class_that_draws_no_probes_or_arrays_that_do_not_fit_are_refused() -> None:
    for named, groups in ((np.zeros(0, bool), np.zeros(0, int)), (np.ones(3), np.ones(2))):
        with pytest.raises(InvalidInput, match="one shape"):
            clustered_interval(named, groups)
    with pytest.raises(InvalidInput, match="confidence must be above 0"):
        clopper_pearson(1, 2, 1.0)


def coverage(rate: float, clustering: float, sizes: np.ndarray, num_runs: int) -> float:
    """How often the interval holds `rate`, for classes whose own rates are beta distributed."""
    rng = np.random.default_rng(11)
    spread = (1 - clustering) / clustering
    groups = np.repeat(np.arange(len(sizes)), sizes)
    held = 0
    for _ in range(num_runs):
        own = rng.beta(rate * spread, (1 - rate) * spread, len(sizes))
        low, high = clustered_interval(rng.random(len(groups)) < own[groups], groups)
        held += low <= rate <= high
    return held / num_runs


def test_the_clustered_interval_holds_the_rate_where_the_plain_one_does_not() -> None:
    assert coverage(0.05, 0.3, np.full(200, 10), 300) >= 0.92  # 0.95 less three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("clustering", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("shape", ["even", "uneven"])
def test_coverage_of_the_clustered_interval(rate: float, clustering: float, shape: str) -> None:
    """Near 95 %; lower only where hardly any class is named at all (0.87 at worst)."""
    even = np.full(200, 10)
    sizes = even if shape == "even" else np.random.default_rng(5).integers(1, 30, 200)
    num_expected = rate * 200
    assert coverage(rate, clustering, sizes, 800) >= (0.925 if num_expected > 9 else 0.86)
