"""Retrieval against ten-line references, tie orders enumerated, any distance, any memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput
from ilk.evaluation.retrieval import retrieval

DISTANCES: tuple[Distance, ...] = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=6.0))
Metric = Callable[[list[bool]], float]


def recall_at(k: int) -> Metric:
    return lambda hits: float(any(hits[:k]))


def r_precision(hits: list[bool]) -> float:
    return sum(hits[: sum(hits)]) / sum(hits)


def map_at_r(hits: list[bool]) -> float:
    r = sum(hits)
    return sum(sum(hits[: k + 1]) / (k + 1) for k in range(r) if hits[k]) / r


def mrr(hits: list[bool]) -> float:
    return 1 / (hits.index(True) + 1)


METRICS: dict[str, Metric] = {
    "recall_at_1": recall_at(1),
    "recall_at_3": recall_at(3),
    "r_precision": r_precision,
    "map_at_r": map_at_r,
    "mrr": mrr,
}


def reference(
    embeddings: np.ndarray, labels: np.ndarray, distance: Distance
) -> dict[str, list[float]]:
    """Every order of tied neighbours, averaged; NaN for lone queries."""
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i]
        to = distance.paired(
            np.repeat(embeddings[i : i + 1], len(others), 0).astype(np.float64),
            embeddings[others].astype(np.float64),
        )
        hits = labels[others] == labels[i]
        orders: list[list[bool]] = [[]]
        for value in np.unique(to):
            tied = [bool(hit) for hit in hits[to == value]]
            shuffled = set(permutations(tied)) if len(set(tied)) > 1 else {tuple(tied)}
            orders = [order + list(more) for order in orders for more in shuffled]
        for name, metric in METRICS.items():
            values = [metric(order) for order in orders] if hits.any() else [np.nan]
            found[name].append(float(np.mean(values)))
    return found


def check(
    embeddings: np.ndarray, labels: np.ndarray, distance: Distance, memory: int = 1 << 30
) -> None:
    found = retrieval(embeddings, labels, distance, recall_at=(1, 3), memory_bytes=memory)
    for name, expected in reference(embeddings, labels, distance).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_reference(distance: Distance, dtype: type) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 12, 60)
    embeddings = rng.normal(size=(12, 5))[labels] + rng.normal(size=(60, 5))
    check(embeddings.astype(dtype), labels, distance)


@settings(deadline=None, max_examples=120)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=8
    ),
    st.sampled_from(DISTANCES),
)
def test_ties_count_by_expectation(rows: list[tuple[int, int, int]], distance: Distance) -> None:
    embeddings = np.array([row[:2] for row in rows], np.float32)
    check(embeddings, np.array([row[2] for row in rows]), distance)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_near_ties_are_decided_in_float64(distance: Distance) -> None:
    """Distances that float32 cannot tell apart, in both row algorithms, keep their order."""
    rng = np.random.default_rng(0)
    embeddings = np.array([1.0, 2.0, 0.5, 1.0]) + 1e-4 * rng.normal(size=(90, 4))
    labels = np.concatenate([np.zeros(40, int), np.arange(50) % 9 + 1])
    check(embeddings, labels, distance)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_memory_does_not_change_a_bit(distance: Distance) -> None:
    rng = np.random.default_rng(1)
    labels = np.concatenate([rng.integers(0, 90, 300), np.full(80, 90)])
    embeddings = rng.normal(size=(91, 16))[labels] + 1.5 * rng.normal(size=(380, 16))
    embeddings = embeddings.astype(np.float32)
    embeddings[50:60] = embeddings[:10]
    found = [
        retrieval(embeddings, labels, distance, recall_at=(1, 10), memory_bytes=memory)
        for memory in (1, 40_000, 123_456, 1 << 30)
    ]
    for other in found[1:]:
        for name, values in found[0].items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_order_of_items_does_not_matter(distance: Distance) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 20, 100)
    embeddings = rng.integers(-1, 2, (100, 4)).astype(np.float32)
    order = rng.permutation(100)
    straight = retrieval(embeddings, labels, distance)
    shuffled = retrieval(embeddings[order], labels[order], distance)
    for name, values in straight.items():
        np.testing.assert_allclose(values[order], shuffled[name], rtol=1e-13, err_msg=name)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_a_constant_encoder_scores_chance(distance: Distance) -> None:
    labels = np.repeat(np.arange(10), 4)
    found = retrieval(np.full((40, 3), 0.7), labels, distance, recall_at=(1, 39))
    chance = 3 / 39
    np.testing.assert_allclose(found["recall_at_1"], chance)
    np.testing.assert_allclose(found["r_precision"], chance)
    np.testing.assert_allclose(found["recall_at_39"], 1.0)
    assert found["map_at_r"].max() < chance
    rng = np.random.default_rng(0)
    drawn = [map_at_r(rng.permutation([True] * 3 + [False] * 36).tolist()) for _ in range(20_000)]
    assert found["map_at_r"][0] == pytest.approx(
        np.mean(drawn), abs=4 * np.std(drawn) / 20_000**0.5
    )


def test_the_query_is_left_out_by_position() -> None:
    """Dropping the closest neighbour instead would drop a duplicate and keep the query."""
    embeddings = np.array([[0.0], [0.0], [0.0], [5.0], [5.1]])
    labels = np.array(["a", "a", "b", "b", "c"])
    found = retrieval(embeddings, labels, Euclidean())
    assert found["recall_at_1"][:3].tolist() == [0.5, 0.5, 0.0]


def test_lone_queries_are_nan_and_still_in_the_way() -> None:
    found = retrieval(np.array([[0.0], [0.1], [0.3]]), np.array(["a", "lone", "a"]), Euclidean())
    assert np.isnan(found["map_at_r"]).tolist() == [False, True, False]
    assert found["recall_at_1"][0] == 0.0


def test_map_at_r_divides_by_all_mates_not_by_those_found() -> None:
    embeddings = np.array([[0.0], [1.0], [2.0], [-1.5], [-9.0]])
    labels = np.array(["a", "a", "b", "b", "a"])
    assert retrieval(embeddings, labels, Euclidean())["map_at_r"][0] == pytest.approx(1 / 2)


def test_k_beyond_the_items_finds_every_mate() -> None:
    labels = np.array([0, 0, 1, 1])
    found = retrieval(np.arange(4.0)[:, None], labels, Euclidean(), recall_at=(1, 100))
    assert found["recall_at_100"].tolist() == [1.0] * 4


def test_ranks_follow_the_distance_asked_for() -> None:
    """Angle and length disagree here; peers rank by L2 whatever was learned."""
    embeddings = np.array([[1.0, 0.0], [9.0, 0.1], [1.0, 0.9], [8.0, 9.0]])
    labels = np.array(["east", "east", "north", "north"])
    assert retrieval(embeddings, labels, Cosine())["recall_at_1"].tolist() == [1.0] * 4
    assert retrieval(embeddings, labels, Euclidean())["recall_at_1"][0] == 0.0


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e25])
def test_scale_does_not_break_the_order(scale: float) -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(8), 5)
    embeddings = rng.normal(size=(8, 6))[labels] + 0.8 * rng.normal(size=(40, 6))
    check(embeddings * scale, labels, Euclidean())


def test_errors_say_what_came() -> None:
    with pytest.raises(InvalidInput, match=r"got \(3, 2\) and 2"):
        retrieval(np.zeros((3, 2)), np.array([0, 1]), Cosine())
    with pytest.raises(InvalidInput, match="from 1, got"):
        retrieval(np.zeros((2, 2)), np.array([0, 1]), Cosine(), recall_at=(0,))
