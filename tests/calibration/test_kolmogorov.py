"""The two-sample test against enumeration, simulation and theta functions."""

from __future__ import annotations

import math
from itertools import combinations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.calibration.kolmogorov import kolmogorov_smirnov, largest_gaps
from ilk.errors import InvalidInput


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 6), (3, 3), (2, 7), (6, 4), (5, 6)])
def test_exact_by_enumerating_all_orders(m: int, n: int) -> None:
    places = np.arange(m + n)
    gaps = []
    for chosen in combinations(range(m + n), m):
        first = np.isin(places, chosen)
        gaps.append(max(largest_gaps(places[first], places[~first])))
    for gap in sorted({0.0, 1.0, 0.37, *gaps}):
        expected = np.mean([other >= gap - 1e-12 for other in gaps])
        assert kolmogorov_smirnov(gap, m, n) == pytest.approx(expected, abs=1e-12)
        assert kolmogorov_smirnov(gap, n, m) == pytest.approx(expected, abs=1e-12)


def test_a_tiny_chance_keeps_its_digits() -> None:
    assert kolmogorov_smirnov(1.0, 60, 60) == pytest.approx(2 / math.comb(120, 60), rel=1e-9)


@settings(deadline=None, max_examples=200)
@given(
    first=st.lists(st.integers(0, 6) | st.just(float("inf")), min_size=1, max_size=12),
    second=st.lists(st.integers(0, 6) | st.just(float("inf")), min_size=1, max_size=12),
)
def test_gaps_by_their_definition(first: list[float], second: list[float]) -> None:
    gaps = [
        sum(x <= v for x in first) / len(first) - sum(x <= v for x in second) / len(second)
        for v in {*first, *second}
    ]
    above, below = largest_gaps(np.array(first, float), np.array(second, float))
    assert above == pytest.approx(max(0.0, *gaps))
    assert below == pytest.approx(max(0.0, *(-gap for gap in gaps)))


@pytest.mark.parametrize("x", [0.1, 0.3, 0.6, 0.99, 1.0, 1.2, 2.0, 3.0])
def test_the_limit_is_a_theta_function(x: float) -> None:
    """Kolmogorov's distribution is theta_4(0, exp(-2 x^2))."""
    m = n = 2_000_000
    root = (m * n / (m + n)) ** 0.5
    gap = x / (root + 0.12 + 0.11 / root)
    expected = 1 - float(mpmath.jtheta(4, 0, mpmath.exp(-2 * mpmath.mpf(x) ** 2)))
    assert kolmogorov_smirnov(gap, m, n) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("gap", [0.05, 0.1, 0.15, 0.2, 0.25])
def test_the_limit_meets_the_exact_where_one_takes_over(
    gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (97, 103)
    exact = kolmogorov_smirnov(gap, *sizes)
    monkeypatch.setattr("ilk.calibration.kolmogorov._EXACT_UP_TO", 0)
    assert kolmogorov_smirnov(gap, *sizes) == pytest.approx(exact, abs=0.035)


@pytest.mark.parametrize(("m", "n"), [(30, 200), (200, 400)])
def test_of_samples_of_one_distribution_it_rarely_is_small(m: int, n: int) -> None:
    generator = np.random.default_rng(m)
    rare = 0
    for _ in range(1000):
        gap = max(largest_gaps(generator.random(m), generator.random(n)))
        rare += kolmogorov_smirnov(gap, m, n) <= 0.05
    assert 20 <= rare <= 72  # 50 but for chance: four standard deviations; it is discrete


def test_sizes_need_not_be_whole() -> None:
    assert kolmogorov_smirnov(0.3, 20.9, 30.2) == kolmogorov_smirnov(0.3, 20, 30)
    assert kolmogorov_smirnov(0.05, 500.5, 900) < kolmogorov_smirnov(0.05, 500.1, 900)


@pytest.mark.parametrize("gap", [-0.1, 1.1, float("nan")])
def test_what_is_no_gap_is_refused(gap: float) -> None:
    with pytest.raises(InvalidInput, match="gap from 0 to 1"):
        kolmogorov_smirnov(gap, 3, 3)


@pytest.mark.parametrize("values", [[], [float("nan")]])
def test_what_is_no_sample_is_refused(values: list[float]) -> None:
    with pytest.raises(InvalidInput, match="two samples"):
        largest_gaps(np.array(values), np.ones(3))
    with pytest.raises(InvalidInput, match="expected a gap"):
        kolmogorov_smirnov(0.5, 0, 3)
