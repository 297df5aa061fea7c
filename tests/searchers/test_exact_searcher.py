"""The exact searcher against the reference, whatever ranks first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput
from ilk.searcher import Neighbors, ScanSearcher, Searcher
from ilk.searchers import engine, selection
from ilk.searchers.exact import ExactSearcher
from ilk.searchers.pq import PqSearcher
from ilk.testing import check_searcher

DISTANCES: tuple[Distance, ...] = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=8.0))


@pytest.fixture
def with_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """faiss takes part, however small the matrix."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(engine, "_WORTH_IMPORTING", 0)


@pytest.fixture
def without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if faiss were not installed."""
    monkeypatch.setitem(sys.modules, "faiss", None)


def same(found: Neighbors, expected: Neighbors) -> bool:
    return np.array_equal(found.ids, expected.ids) and np.array_equal(
        found.distances, expected.distances
    )


@pytest.mark.parametrize("factory", [ScanSearcher, ExactSearcher, PqSearcher])
@pytest.mark.usefixtures("without_faiss")
def test_ours_conform_without_faiss(factory: type[Searcher]) -> None:
    check_searcher(factory)


@pytest.mark.usefixtures("with_faiss")
def test_ours_conforms_with_faiss() -> None:
    check_searcher(ExactSearcher)


class Faulty:
    """A searcher with one thing wrong."""

    def __init__(self, fault: str, distance: Distance, embedding_size: int) -> None:
        self.fault, self.inner = fault, ScanSearcher(distance, embedding_size)

    def __len__(self) -> int:
        return len(self.inner)

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        if self.fault == "no replacing":
            is_new = ~np.isin(ids, self.inner.rows()[0])
            ids, embeddings = ids[is_new], embeddings[is_new]
        self.inner.put(ids, embeddings)

    def drop(self, ids: np.ndarray) -> None:
        self.inner.drop(ids[1:] if self.fault == "no dropping" else ids)

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        found = self.inner.nearest(probes, k)
        if self.fault == "float32":
            return Neighbors(found.ids, found.distances.astype(np.float32).astype(float))
        if self.fault == "ties":
            order = np.lexsort((-found.ids, found.distances))
            return Neighbors(np.take_along_axis(found.ids, order, 1), found.distances)
        if self.fault == "misses" and k > 1 and found.ids.shape[1] == k:
            more = self.inner.nearest(probes, k + 1)
            return Neighbors(more.ids[:, -k:], more.distances[:, -k:])
        return found

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        return self.inner.rows()


@pytest.mark.parametrize("fault", ["no replacing", "no dropping", "float32", "ties", "misses"])
def test_faulty_searchers_are_found(fault: str) -> None:
    with pytest.raises(AssertionError, match=r"rows|closest"):
        check_searcher(lambda distance, size: Faulty(fault, distance, size))


@given(
    st.sampled_from(DISTANCES),
    st.integers(0, 1 << 30),
    st.sampled_from([1e-20, 1e-3, 1.0, 50.0, 1e25]),
    st.sampled_from([0.0, 1.0, 1e4]),
    st.integers(1, 30),
    st.sampled_from([1, 7, 8, 30]),
    st.sampled_from([1024, 16]),
    st.sampled_from([0, 1 << 16]),
    st.sampled_from([0, 1 << 16]),
)
@settings(deadline=None, max_examples=100)
def test_far_off_close_together_or_huge(
    distance: Distance,
    seed: int,
    scale: float,
    offset: float,
    k: int,
    num_probes: int,
    first_rows: int,
    at_once: int,
    on_one_core: int,
) -> None:
    """Rows in a small ball far from the origin leave float32 no digits to tell them apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_FIRST_ROWS", first_rows)
        patch.setattr(selection, "_BLOCK_VALUES", first_rows)
        patch.setattr(selection, "_AT_ONCE", at_once)
        patch.setattr(selection, "_ONE_CORE_VALUES", on_one_core)
        compare_far_off(distance, seed, scale, offset, k, num_probes)


def compare_far_off(
    distance: Distance, seed: int, scale: float, offset: float, k: int, num_probes: int
) -> None:
    rng = np.random.default_rng(seed)
    both = ((rng.normal(size=(300, 3)) + offset) * scale).astype(np.float32)
    reference, searcher = ScanSearcher(distance, 3), ExactSearcher(distance, 3)
    for one in (reference, searcher):
        one.put(np.arange(260), both[:260])
    probes = both[260 - num_probes // 2 : 260 + num_probes - num_probes // 2]
    assert same(searcher.nearest(probes, k), reference.nearest(probes, k))


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
@pytest.mark.parametrize("order", [1, -1])
def test_blocks_may_come_in_any_order(
    distance: Distance, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that get closer and closer, in blocks of a few; and hardly any doubts kept at once."""
    monkeypatch.setattr(selection, "_FIRST_ROWS", 4)
    monkeypatch.setattr(selection, "_BLOCK_VALUES", 64)
    monkeypatch.setattr(selection, "_MOST_KEPT", 50)
    monkeypatch.setattr(selection, "_AT_ONCE", 0)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 4)).astype(np.float32)
    probes = np.tile(rows[:1], (9, 1)) + 0.01 * rng.normal(size=(9, 4))
    rows = rows[np.argsort(distance.pairwise(probes[:1], rows.astype(float))[0])[::order]]
    rows[100:140] = rows[100]
    reference, searcher = ScanSearcher(distance, 4), ExactSearcher(distance, 4)
    for one in (reference, searcher):
        one.put(np.arange(500), rows)
    for k in (1, 3, 45, 500):
        assert same(searcher.nearest(probes, k), reference.nearest(probes, k))


@pytest.mark.usefixtures("with_faiss")
@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_more_ties_than_were_fetched(distance: Distance) -> None:
    """faiss returns k + 16 rows; with a hundred at one distance that proves nothing."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 8)).astype(np.float32)
    rows[rng.permutation(3000)[:100]] = rows[5]
    reference, searcher = ScanSearcher(distance, 8), ExactSearcher(distance, 8)
    for one in (reference, searcher):
        one.put(np.arange(3000)[::-1], rows)
    for k in (1, 20):
        probes = np.concatenate([rows[5:6], rows[40:42] + np.float32(0.1)])
        assert same(searcher.nearest(probes, k), reference.nearest(probes, k))


def test_nearly_unit_rows_are_ranked_by_their_angle() -> None:
    """Their lengths differ by more than the products of their directions do."""
    rng = np.random.default_rng(0)
    rows = np.array([1.0, 0, 0]) + 1e-3 * rng.normal(size=(2000, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows *= 1 + 4e-6 * rng.uniform(-1, 1, (2000, 1))
    reference, searcher = ScanSearcher(Cosine(), 3), ExactSearcher(Cosine(), 3)
    for one in (reference, searcher):
        one.put(np.arange(2000), rows.astype(np.float32))
    assert np.shares_memory(searcher.keys(), searcher.rows()[1])
    probes = np.array([1.0, 0, 0]) + 1e-3 * rng.normal(size=(20, 3))
    assert same(searcher.nearest(probes, 3), reference.nearest(probes, 3))


def test_of_two_rows_with_one_id_the_last_is_kept() -> None:
    for searcher in (ScanSearcher(Euclidean(), 1), ExactSearcher(Euclidean(), 1)):
        searcher.put(np.array([5, 2, 5]), np.array([[1], [2], [3]], np.float32))
        found = searcher.nearest(np.zeros((1, 1)), 9)
        assert found.ids.tolist() == [[2, 5]]
        assert found.distances.tolist() == [[2.0, 3.0]]


def test_unit_rows_are_their_own_keys() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    rows[7] = 0
    searcher = ExactSearcher(Cosine(), 8)
    searcher.put(np.arange(50), rows)
    assert np.shares_memory(searcher.keys(), searcher.rows()[1])
    searcher.put(np.array([99]), 3 * rows[:1])
    assert not np.shares_memory(searcher.keys(), searcher.rows()[1])
    assert searcher.nearest(rows[:1], 3).ids[0, :2].tolist() == [0, 99]


@pytest.mark.usefixtures("with_faiss")
def test_the_settings_of_faiss_stay() -> None:
    import faiss

    before = faiss.cvar.distance_compute_blas_threshold, faiss.omp_get_max_threads()
    searcher = ExactSearcher(Cosine(), 2)
    searcher.put(np.arange(3), np.eye(3, 2, dtype=np.float32))
    searcher.nearest(np.ones((1, 2)), 1)
    assert (faiss.cvar.distance_compute_blas_threshold, faiss.omp_get_max_threads()) == before


def test_a_small_gallery_imports_no_faiss() -> None:
    code = (
        "import sys, numpy as np\n"
        "from ilk.distances import Cosine\n"
        "from ilk.plugins import load\n"
        "searcher = load('searchers', 'pq')(Cosine(), 64)\n"
        "searcher.put(np.arange(9000), np.random.default_rng(0).random((9000, 64), np.float32))\n"
        "searcher.nearest(np.ones((1, 64)), 5)\n"
        "assert 'faiss' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("factory", [ExactSearcher, PqSearcher])
def test_adopted_arrays_are_not_copied_and_the_file_stays(
    factory: type[ExactSearcher], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows, ids = rng.normal(size=(40, 5)).astype(np.float32), np.arange(40) * 3
    rows.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "c", shape=(40, 5))
    reference, searcher = ScanSearcher(Euclidean(), 5), factory(Euclidean(), 5)
    reference.put(ids, rows)
    searcher.adopt(ids.copy(), mapped)
    assert np.shares_memory(searcher.rows()[1], mapped)
    for one in (reference, searcher):
        one.put(np.array([3, 6]), np.ones((2, 5), np.float32))
        one.drop(np.array([0, 9]))
        one.put(np.array([500, 501, 502]), np.zeros((3, 5), np.float32))
    probes = rng.normal(size=(10, 5))
    assert same(searcher.nearest(probes, 40), reference.nearest(probes, 40))
    assert np.array_equal(np.fromfile(tmp_path / "rows", np.float32).reshape(40, 5), rows)
    with pytest.raises(InvalidInput, match="only an empty searcher can adopt arrays, it has 41"):
        searcher.adopt(ids, mapped)


@pytest.mark.parametrize("factory", [ScanSearcher, ExactSearcher, PqSearcher])
def test_what_does_not_fit_is_refused_and_changes_nothing(factory: type[Searcher]) -> None:
    searcher = factory(Euclidean(), 2)  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match=r"ids \(M,\) and embeddings \(M, 2\), got \(1,\)"):
        searcher.put(np.array([1]), np.zeros((1, 3), np.float32))
    with pytest.raises(InvalidInput, match="row ids must not be negative, got -1"):
        searcher.put(np.array([-1]), np.zeros((1, 2), np.float32))
    with pytest.raises(InvalidInput, match="embeddings must be finite"):
        searcher.put(np.array([1, 2]), np.array([[0, 1], [np.nan, 0]], np.float32))
    assert len(searcher) == 0
    with pytest.raises(InvalidInput, match=r"probes must be \(Q, 2\), got \(2,\)"):
        searcher.nearest(np.zeros(2), 1)
    with pytest.raises(InvalidInput, match="probes must be finite"):
        searcher.nearest(np.array([[np.inf, 0]]), 1)
    with pytest.raises(InvalidInput, match="k must be at least 1, got 0"):
        searcher.nearest(np.zeros((1, 2)), 0)


def test_views_outlive_growth() -> None:
    searcher = ExactSearcher(Euclidean(), 1)
    searcher.put(np.arange(4), np.arange(4, dtype=np.float32)[:, None])
    ids, embeddings = searcher.rows()
    searcher.put(np.arange(4, 99), np.zeros((95, 1), np.float32))
    assert ids.tolist() == [0, 1, 2, 3]
    assert embeddings[:, 0].tolist() == [0, 1, 2, 3]
