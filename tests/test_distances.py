"""Distances against formulas, high precision, and each other; NumPy and torch alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic, distance_from_settings
from ilk.errors import InvalidInput

WIDE = Hyperbolic(curvature=1.0, max_radius=12.0)
DISTANCES = (Cosine(), Euclidean(), Hyperbolic(), WIDE)
METRICS = DISTANCES[1:]

on_any_distance = pytest.mark.parametrize("distance", DISTANCES, ids=repr)
on_any_metric = pytest.mark.parametrize("distance", METRICS, ids=repr)


def matrices(num_rows: int = 4) -> st.SearchStrategy[np.ndarray]:
    """(N, 3) embeddings, with exact zeros, duplicates and very small numbers among them."""
    return hnp.arrays(np.float64, (num_rows, 3), elements=st.floats(-6, 6, allow_subnormal=False))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@on_any_distance
@settings(deadline=None)
@given(x=matrices(), y=matrices(5))
def test_numpy_equals_torch(distance: Distance, x: np.ndarray, y: np.ndarray) -> None:
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    for ours, theirs in (
        (distance.pairwise(x, y), distance.pairwise(tx, ty)),
        (distance.paired(x, y[:4]), distance.paired(tx, ty[:4])),
        (distance.search_keys(x), distance.search_keys(tx)),
        (distance.search_queries(x), distance.search_queries(tx)),
    ):
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == np.float64
        np.testing.assert_allclose(
            theirs.numpy(), ours, rtol=1e-12, atol=1e-12 + grain(distance, x, y)
        )


def grain(distance: Distance, x: np.ndarray, y: np.ndarray) -> float:
    """How far rounding the embedding itself moves a point: far out, hyperbolic space is coarse."""
    if not isinstance(distance, Hyperbolic):
        return 0.0
    radius = min(max(np.linalg.norm(v, axis=1).max() for v in (x, y)), distance.max_radius)
    return 1e-15 * float(np.exp(distance.curvature**0.5 * radius))  # 1e-12 at 7


@on_any_distance
@settings(deadline=None)
@given(x=matrices(), y=matrices())
def test_symmetric_never_negative_and_within_its_bound(
    distance: Distance, x: np.ndarray, y: np.ndarray
) -> None:
    d = distance.pairwise(x, y)
    np.testing.assert_allclose(d, distance.pairwise(y, x).T, rtol=1e-9, atol=1e-12)
    assert (d >= 0).all()
    assert (d <= distance.upper * (1 + 1e-12)).all()


@on_any_distance
@settings(deadline=None)
@given(x=matrices(), y=matrices())
def test_paired_is_the_diagonal_of_pairwise(
    distance: Distance, x: np.ndarray, y: np.ndarray
) -> None:
    diagonal = np.diagonal(distance.pairwise(x, y))
    np.testing.assert_allclose(distance.paired(x, y), diagonal, rtol=1e-9, atol=1e-12)


@on_any_distance
@settings(deadline=None)
@given(x=matrices(1), y=matrices(5), size=st.sampled_from([3, 1, 40, 513]))
def test_one_to_all_is_paired_to_the_last_bit(
    distance: Distance, x: np.ndarray, y: np.ndarray, size: int
) -> None:
    x, y = np.resize(x, (1, size)), np.resize(y, (5, size))
    assert np.array_equal(distance.to_all(x[0], y), distance.paired(x.repeat(5, 0), y))
    there = torch.from_numpy(y).requires_grad_()
    distance.to_all(torch.from_numpy(x[0]), there).sum().backward()
    assert there.grad is not None
    assert torch.isfinite(there.grad).all()


@on_any_distance
@pytest.mark.parametrize(("probe", "rows"), [((1, 3), (2, 3)), ((3,), (3,)), ((3,), (2, 4))])
def test_one_to_all_checks_shapes(
    distance: Distance, probe: tuple[int, ...], rows: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidInput, match=r"expected a probe \(D,\) and references \(R, D\)"):
        distance.to_all(np.ones(probe), np.ones(rows))


@on_any_distance
@settings(deadline=None)
@given(x=matrices())
def test_zero_on_itself(distance: Distance, x: np.ndarray) -> None:
    is_zero = ~x.any(1) if distance == Cosine() else np.zeros(len(x), bool)
    expected = np.where(is_zero, 1.0, 0.0)  # a zero embedding has no direction
    np.testing.assert_allclose(distance.paired(x, x), expected, atol=1e-15)
    np.testing.assert_allclose(np.diagonal(distance.pairwise(x, x)), expected, atol=1e-15)


@on_any_metric
@settings(deadline=None)
@given(x=matrices(6))
def test_triangle_inequality(distance: Distance, x: np.ndarray) -> None:
    d = distance.pairwise(x, x)
    detour = (d[:, :, None] + d[None]).min(1)
    assert (d <= detour * (1 + 1e-9) + 1e-9).all()


@on_any_distance
@settings(deadline=None)
@given(x=matrices(), y=matrices(7))
def test_ranking_by_search_keys_is_ranking_by_distance(
    distance: Distance, x: np.ndarray, y: np.ndarray
) -> None:
    inner = distance.search_queries(x) @ distance.search_keys(y).T
    by_inner = np.argsort(-inner, axis=1, kind="stable")
    ranked = np.take_along_axis(distance.pairwise(x, y), by_inner, 1)
    slack = 1e-7 * max(1.0, float(np.abs(inner).max()) ** 0.5)  # the root of float64's rounding
    assert (np.diff(ranked, axis=1) >= -slack).all()


@on_any_distance
def test_search_keys_find_the_neighbours_of_float32_embeddings(distance: Distance) -> None:
    x, y = normal(40, 16).astype(np.float32), normal(300, 16, seed=1).astype(np.float32)
    inner = distance.search_queries(x) @ distance.search_keys(y).T
    assert (inner.argmax(1) == distance.pairwise(x, y).argmin(1)).all()


CORNERS = {
    "the same": ([1.0, 2.0, -1.0], [1.0, 2.0, -1.0]),
    "both zero": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    "one zero": ([0.0, 0.0, 0.0], [1.0, 0.5, 0.0]),
    "antipodes": ([1.0, 2.0, -1.0], [-1.0, -2.0, 1.0]),
    "same direction": ([1.0, 2.0, -1.0], [2.0, 4.0, -2.0]),
    "radius 10, the same": ([10.0, 0.0, 0.0], [10.0, 0.0, 0.0]),
    "radius 10, near": ([10.0, 0.0, 0.0], [10.0, 1e-6, 0.0]),
    "radius 10, antipodes": ([10.0, 0.0, 0.0], [-10.0, 0.0, 0.0]),
    "beyond the clip": ([50.0, 0.0, 0.0], [0.0, 60.0, 0.0]),
    "tiny": ([1e-30, 0.0, 0.0], [0.0, 1e-30, 0.0]),
    "huge": ([1e15, 1.0, 0.0], [-1.0, 1e15, 0.0]),
}


@on_any_distance
@pytest.mark.parametrize("corner", CORNERS.values(), ids=CORNERS.keys())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_gradients_are_finite(
    distance: Distance, corner: tuple[list[float], list[float]], dtype: torch.dtype
) -> None:
    limit = min(1e30, torch.finfo(dtype).max)
    first, second = (
        torch.tensor([row, [0.3, 0.1, 0.2]]).clamp(-limit, limit).to(dtype) for row in corner
    )
    for measure in (distance.pairwise, distance.paired):
        a, b = first.clone().requires_grad_(), second.clone().requires_grad_()
        d = measure(a, b)
        assert d.isfinite().all()
        assert (d >= 0).all()
        d.sum().backward()
        for gradient in (a.grad, b.grad):
            assert gradient is not None
            assert gradient.isfinite().all()


@on_any_distance
def test_gradients_are_the_slopes(distance: Distance) -> None:
    x = torch.from_numpy(normal(3, 4)).requires_grad_()
    y = torch.from_numpy(normal(3, 4, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(distance.pairwise, (x, y))
    assert torch.autograd.gradcheck(distance.paired, (x, y))


@on_any_metric
def test_near_pairs_have_a_gradient_in_pairwise_too(distance: Distance) -> None:
    """Where pairwise computes an entry again, the gradient follows the new value."""
    x = torch.from_numpy(normal(2, 4)).requires_grad_()
    shift = torch.full((2, 4), 1e-5, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(distance.paired(x, x.detach() + shift).sum(), x)
    pairwise = distance.pairwise(x, x.detach() + shift).diagonal()
    (gradient,) = torch.autograd.grad(pairwise.sum(), x)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=0)


def test_cosine_and_euclidean_are_the_textbook_formulas() -> None:
    x, y = normal(6, 4), normal(5, 4, seed=1)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(Cosine().pairwise(x, y), 1 - x @ y.T / norms, atol=1e-14)
    direct = np.linalg.norm(x[:, None] - y[None], axis=2)
    np.testing.assert_allclose(Euclidean().pairwise(x, y), direct, rtol=1e-12)


def test_euclidean_keeps_near_pairs_far_from_the_origin() -> None:
    x = (1000 + normal(50, 8) * 1e-3).astype(np.float32)
    direct = np.linalg.norm(x[:, None].astype(float) - x[None], axis=2)
    np.testing.assert_allclose(Euclidean().pairwise(x, x), direct, rtol=1e-3, atol=1e-9)
    one = np.concatenate([x[:1], x[:1] + 1, np.zeros((1, 8), np.float32)])
    assert Euclidean().pairwise(one, one)[0, 0] == 0


@settings(deadline=None)
@given(x=matrices(2), power=st.integers(-30, 30))
def test_cosine_does_not_see_length(x: np.ndarray, power: int) -> None:
    x = x + np.sign(x + 0.5)  # away from zero
    scale = 10.0**power
    np.testing.assert_allclose(
        Cosine().pairwise(x * scale, x), Cosine().pairwise(x, x), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e25, 1e38])
def test_cosine_of_float32_neither_over_nor_underflows(scale: float) -> None:
    x = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    d = Cosine().pairwise(x * np.float32(scale), x)
    np.testing.assert_allclose(d, [[0, 1 - 0.5**0.5], [1 - 0.5**0.5, 0]], atol=1e-6)


@on_any_distance
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, s) for s in (1e-30, 1e-18, 1e18, 1e30, 1e37)]
    + [(np.float64, s) for s in (1e-200, 1e200, 1e300)],
)
@pytest.mark.parametrize("others", ["as large", "ordinary", "mixed"])
def test_extreme_sizes_neither_over_nor_underflow(
    distance: Distance, dtype: type[np.floating], size: float, others: str
) -> None:
    x, y = normal(4, 3), normal(5, 3, seed=1)
    first, second = x * size, (y * size if others == "as large" else y)
    if others == "mixed":
        first = second = np.concatenate([x[:2] * max(size, 1.0), y])
    first, second = first.astype(dtype), second.astype(dtype)
    got = distance.pairwise(first, second)
    wanted = exactly(distance, first, second)
    # Of equal rows cosine keeps the rounding of its one minus.
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=0 if distance == Euclidean() else 1e-6)
    each = np.stack([distance.to_all(row, second) for row in first])
    np.testing.assert_allclose(each, wanted, rtol=1e-5, atol=0 if distance == Euclidean() else 1e-6)
    a, b = (torch.from_numpy(rows).requires_grad_() for rows in (first, second))
    theirs = distance.pairwise(a, b)
    np.testing.assert_allclose(
        theirs.detach().numpy(), got, rtol=1e-5, atol=1e-6 * float(got.max())
    )
    theirs.sum().backward()
    for gradient in (a.grad, b.grad):
        assert gradient is not None
        assert gradient.isfinite().all()


def exactly(distance: Distance, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return distances of rows that are brought to a size at which nothing can go wrong."""
    wide_x, wide_y = (rows.astype(np.longdouble) for rows in (x, y))
    if isinstance(distance, Euclidean):
        found: np.ndarray = (((wide_x[:, None] - wide_y) ** 2).sum(2) ** 0.5).astype(float)
        return found

    def short(rows: np.ndarray) -> np.ndarray:
        lengths = (rows**2).sum(1, keepdims=True) ** 0.5
        most = distance.max_radius if isinstance(distance, Hyperbolic) else 0.0
        return np.where(lengths > most, rows / lengths * (most or 1), rows).astype(float)

    return distance.pairwise(short(wide_x), short(wide_y))


@on_any_distance
def test_half_precision_is_raised(distance: Distance) -> None:
    x, y = torch.from_numpy(normal(5, 8)), torch.from_numpy(normal(4, 8, seed=1))
    for dtype in (torch.float16, torch.bfloat16):
        half_x, half_y = x.to(dtype), y.to(dtype)
        d = distance.pairwise(half_x, half_y)
        assert d.dtype == torch.float32
        assert torch.equal(d, distance.pairwise(half_x.float(), half_y.float()))
    half = normal(5, 8).astype(np.float16)
    assert distance.pairwise(half, half).dtype == np.float32
    assert distance.pairwise(np.array([[1, 2]]), np.array([[3, 4]])).dtype == np.float64


@on_any_distance
def test_mixed_precision_changes_nothing(distance: Distance) -> None:
    x, y = torch.from_numpy(normal(5, 8)).float(), torch.from_numpy(normal(4, 8, seed=1)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ y.T).dtype == torch.bfloat16  # it is on
        mixed = distance.pairwise(x, y)
        mixed_paired = distance.paired(x[:4], y)
    assert torch.equal(mixed, distance.pairwise(x, y))
    assert torch.equal(mixed_paired, distance.paired(x[:4], y))


@on_any_distance
def test_no_rows_give_no_distances(distance: Distance) -> None:
    assert distance.pairwise(np.zeros((0, 3)), np.ones((2, 3))).shape == (0, 2)
    assert distance.pairwise(np.ones((2, 3)), np.zeros((0, 3))).shape == (2, 0)
    assert distance.paired(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0,)


@on_any_distance
def test_inputs_are_left_as_they_were(distance: Distance) -> None:
    x, y = normal(4, 3), normal(4, 3)
    distance.pairwise(x, y)
    distance.paired(x, y)
    distance.search_keys(x)
    distance.search_queries(x)
    assert np.array_equal(x, normal(4, 3))
    assert np.array_equal(y, normal(4, 3))


@on_any_distance
def test_nan_stays_nan(distance: Distance) -> None:
    x = np.array([[np.nan, 1.0], [1.0, 2.0]])
    d = distance.pairwise(x, x[1:])
    assert np.isnan(d[0]).all()


@on_any_distance
@pytest.mark.parametrize(("first", "second"), [((3, 2), (4, 5)), ((3,), (3,)), ((1, 3, 2), (3, 2))])
def test_shapes_are_checked(
    distance: Distance, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidInput, match="must be 2-D with the same D"):
        distance.pairwise(np.ones(first), np.ones(second))
    with pytest.raises(InvalidInput, match="must be 2-D with the same shape"):
        distance.paired(np.ones(first), np.ones(second))


def test_paired_needs_as_many_rows_on_both_sides() -> None:
    with pytest.raises(InvalidInput, match=r"first \(3, 2\) and second \(1, 2\)"):
        Cosine().paired(np.ones((3, 2)), np.ones((1, 2)))


@on_any_distance
def test_settings_make_the_same_distance(distance: Distance) -> None:
    again = distance_from_settings(distance.settings)
    assert again == distance
    assert hash(again) == hash(distance)
    assert repr(again) == repr(distance)
    assert [other == distance for other in DISTANCES].count(True) == 1


def test_settings_are_checked() -> None:
    with pytest.raises(
        InvalidInput, match="must be one of cosine, euclidean, hyperbolic, got 'l2'"
    ):
        distance_from_settings({"name": "l2"})
    with pytest.raises(InvalidInput, match=r"distance 'cosine' does not take \{'curvature': 1\}"):
        distance_from_settings({"name": "cosine", "curvature": 1})
    for curvature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InvalidInput, match="curvature must be above 0"):
            Hyperbolic(curvature=curvature)
    for max_radius in (0.0, -1.0, 21.0, float("nan")):
        with pytest.raises(InvalidInput, match="must be above 0 and at most 20"):
            Hyperbolic(curvature=1.0, max_radius=max_radius)
