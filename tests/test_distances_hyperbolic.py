"""Hyperbolic distances against 60 digits, the textbook and their view in the Poincare ball."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ilk.distances import Euclidean, Hyperbolic

WIDE = Hyperbolic(curvature=1.0, max_radius=12.0)


def matrices() -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, (4, 3), elements=st.floats(-6, 6, allow_subnormal=False))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def reference_lorentz(v: np.ndarray, w: np.ndarray, curvature: float) -> Any:
    """The distance in 60 digits: acosh of the negative Lorentz inner product."""
    with mpmath.workdps(60):
        s = mpmath.sqrt(curvature)
        points = []
        for row in (v, w):
            exact = [mpmath.mpf(float(x)) for x in row]
            radius = mpmath.sqrt(sum(x * x for x in exact))
            stretch = mpmath.sinh(s * radius) / (s * radius) if radius else mpmath.mpf(1)
            points.append(([x * stretch for x in exact], mpmath.cosh(s * radius) / s))
        (a, a_time), (b, b_time) = points
        inner = sum(x * y for x, y in zip(a, b, strict=True)) - a_time * b_time
        return mpmath.acosh(max(mpmath.mpf(1), -curvature * inner)) / s


@pytest.mark.parametrize("curvature", [0.1, 1.0])
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    radius=st.floats(0.01, 8),
    log_gap=st.floats(-4, 1),
    kind=st.sampled_from(["near", "radial", "far"]),
)
def test_lorentz_agrees_with_high_precision(
    curvature: float, seed: int, radius: float, log_gap: float, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    direction, other = (r / np.linalg.norm(r) for r in rng.normal(size=(2, 5)))
    v = radius * direction
    gap = min(10**log_gap, radius / 2)
    w = {"near": v + gap * other, "radial": v - gap * direction, "far": radius * other}[kind]
    w *= min(1.0, 8 / np.linalg.norm(w))
    v, w = v[None].astype(np.float32), w[None].astype(np.float32)
    expected = float(reference_lorentz(v[0], w[0], curvature))
    distance = Hyperbolic(curvature=curvature, max_radius=12.0)
    crowd = normal(3, 5, seed=seed).astype(np.float32)
    for x, y in ((v, w), (torch.from_numpy(v), torch.from_numpy(w))):
        assert float(distance.paired(x, y)[0]) == pytest.approx(expected, rel=1e-4)
    pairwise = distance.pairwise(v, np.concatenate([crowd, w]))
    assert float(pairwise[0, -1]) == pytest.approx(expected, rel=1e-4)


def test_lorentz_stays_exact_where_published_code_saturates() -> None:
    """Poincare implementations give 12.2 or 11.7 for all of these, float32 acosh even -17."""
    for radius in (8.0, 10.0, 12.0):
        v = np.array([[radius, 0.0]], np.float32)
        assert WIDE.paired(v, -v)[0] == pytest.approx(2 * radius, rel=1e-6)
        assert WIDE.paired(v, v)[0] == 0
        near = np.array([[radius, 1e-4]], np.float32)
        wanted = float(reference_lorentz(v[0].clip(-12, 12), near[0], 1.0))
        assert WIDE.paired(v, near)[0] == pytest.approx(wanted, rel=1e-4)


def test_hyperbolic_radius_is_the_distance_from_the_origin_up_to_the_clip() -> None:
    v = np.array([[0.5, 0.0], [0.0, 3.0], [4.0, 3.0], [30.0, 40.0]])
    origin = np.zeros((1, 2))
    for curvature in (0.01, 0.1, 1.0):
        d = Hyperbolic(curvature=curvature, max_radius=10.0).pairwise(origin, v)
        np.testing.assert_allclose(d, [[0.5, 3.0, 5.0, 10.0]], rtol=1e-12)


def test_hyperbolic_of_small_curvature_is_twice_nothing_but_euclidean() -> None:
    x, y = normal(5, 3), normal(6, 3, seed=1)
    flat = Hyperbolic(curvature=1e-8, max_radius=100.0).pairwise(x, y)
    np.testing.assert_allclose(flat, Euclidean().pairwise(x, y), rtol=1e-6)


@settings(deadline=None)
@given(x=matrices(), y=matrices(), curvature=st.sampled_from([0.1, 0.5, 1.0]))
def test_poincare_view_gives_the_same_numbers(
    x: np.ndarray, y: np.ndarray, curvature: float
) -> None:
    distance = Hyperbolic(curvature=curvature, max_radius=5.0)
    a, b = distance.poincare(x), distance.poincare(y)
    assert (np.linalg.norm(a, axis=1) < curvature**-0.5).all()
    np.testing.assert_allclose(
        distance.poincare_paired(a, b), distance.paired(x, y), rtol=1e-7, atol=1e-7
    )


def test_poincare_distance_is_the_textbook_formula() -> None:
    a, b = np.array([[0.3, 0.1]]), np.array([[-0.5, 0.6]])
    ratio = ((a - b) ** 2).sum() / ((1 - (a**2).sum()) * (1 - (b**2).sum()))
    got = Hyperbolic(curvature=1.0).poincare_paired(a, b)
    np.testing.assert_allclose(got, [np.arccosh(1 + 2 * ratio)], rtol=1e-12)
