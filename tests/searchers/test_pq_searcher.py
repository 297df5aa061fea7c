"""The searcher for large galleries, at a size where tests are quick."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.searchers import pq, prefilter
from ilk.searchers.codes import Coding, coding_for, encode
from ilk.searchers.exact import ExactSearcher
from ilk.searchers.pq import PqSearcher

faiss = pytest.importorskip("faiss")

DISTANCES: tuple[Distance, ...] = (Cosine(), Euclidean(), Hyperbolic())
N, D = 4000, 32


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq, "_LEAST_ROWS", 1000)
    monkeypatch.setattr(pq, "_FEW_FRESH", 200)
    monkeypatch.setattr(prefilter, "_LEAST", 64)
    monkeypatch.setattr(prefilter, "_MOST_SHARE", 1 / 4)
    monkeypatch.setattr(prefilter, "_NUM_CHECKED", 24)


def make(num_rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(200, D))
    rows = centres[rng.integers(0, 200, num_rows)] + 0.5 * rng.normal(size=(num_rows, D))
    return (rows / 6).astype(np.float32)


def both(distance: Distance) -> tuple[PqSearcher, ExactSearcher]:
    searcher, reference = PqSearcher(distance, D), ExactSearcher(distance, D)
    for one in (searcher, reference):
        one.put(np.arange(N), make(N))
    return searcher, reference


def count_differences(searcher: PqSearcher, reference: ExactSearcher, probes: np.ndarray) -> int:
    """Count the probes whose closest row differs."""
    found, expected = searcher.nearest(probes, 3), reference.nearest(probes, 3)
    assert found.ids.shape == expected.ids.shape
    assert all(len(set(ids)) == len(ids) for ids in found.ids.tolist())
    return int((found.ids[:, 0] != expected.ids[:, 0]).sum())


def probes_of(seed: int) -> np.ndarray:
    """Fifty that are like rows and ten like nothing."""
    strange = np.random.default_rng(seed).normal(size=(10, D)) / 6
    return np.concatenate([make(50, seed=seed), strange])


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_the_closest_row_is_that_of_the_exact_scan(distance: Distance) -> None:
    searcher, reference = both(distance)
    assert searcher.prepare()
    for seed in range(20):
        assert count_differences(searcher, reference, probes_of(seed + 1)) == 0
    few = searcher.nearest(probes_of(1)[:1], 5)
    assert few.distances.tolist() == reference.nearest(probes_of(1)[:1], 5).distances.tolist()


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_rows_that_come_change_and_go_count_at_once(distance: Distance) -> None:
    searcher, reference = both(distance)
    assert searcher.prepare()
    rng = np.random.default_rng(3)
    for step in range(15):
        ids = np.concatenate([rng.integers(0, N, 6), np.arange(6) + N + 6 * step])
        rows = make(12, seed=100 + step)
        gone = rng.integers(0, N, 12)
        for one in (searcher, reference):
            one.put(ids, rows)
            one.drop(gone)
        assert searcher.is_prefiltering
        near = np.concatenate([rows, reference.rows()[1][rng.integers(0, 3000, 12)]])
        assert count_differences(searcher, reference, near) == 0
        assert not np.isin(searcher.nearest(make(20, seed=step), 3).ids, gone).any()


def test_codes_are_made_anew_when_too_many_rows_changed() -> None:
    searcher, _ = both(Cosine())
    assert searcher.prepare()
    first = searcher._serving
    searcher.put(np.arange(N, N + 150), make(150, seed=5))
    assert searcher.prepare()
    assert searcher._serving is first
    searcher.put(np.arange(N + 150, N + 300), make(150, seed=6))
    assert searcher.prepare()
    second = searcher._serving
    assert second is not first
    assert second is not None
    assert len(second.changed) == N + 300
    searcher.drop(np.arange(500))
    assert searcher.prepare()
    assert searcher._serving is not second


def test_a_build_begins_after_some_patience_and_serves_when_ready() -> None:
    searcher, reference = both(Cosine())
    probe = probes_of(1)[:1]
    for _ in range(32):
        searcher.nearest(probe, 1)
    assert searcher._pending is None
    searcher.nearest(probe, 1)
    assert searcher._thread is not None
    searcher._thread.join()
    assert not searcher.is_prefiltering
    assert count_differences(searcher, reference, probes_of(2)) == 0
    assert searcher.is_prefiltering


def test_rows_may_change_while_codes_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The build stops half-way through the rows; the rest is coded from what is there later."""
    reached, go_on = threading.Event(), threading.Event()

    def slow(module: Any, coding: Coding, rows: np.ndarray, wanted: Callable[[], bool]) -> Any:
        def pause() -> bool:
            reached.set()
            return go_on.wait(20) and wanted()

        return encode(module, coding, rows, pause)

    monkeypatch.setattr(prefilter, "encode", slow)
    searcher, reference = both(Euclidean())
    searcher.nearest(probes_of(0)[:40], 1)
    assert reached.wait(20)
    rows = make(260, seed=8)
    for one in (searcher, reference):
        one.drop(np.arange(0, 300, 2))
        one.put(np.arange(3000, 3100), rows[:100])
        one.put(np.arange(N, N + 160), rows[100:])
    assert count_differences(searcher, reference, probes_of(7)) == 0
    go_on.set()
    assert searcher._thread is not None
    searcher._thread.join()
    assert count_differences(searcher, reference, np.concatenate([rows[:30], rows[-30:]])) == 0
    assert searcher.is_prefiltering
    assert count_differences(searcher, reference, probes_of(9)) == 0


def test_codes_that_fail_their_check_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = []

    def scrambled(module: Any, coding: Coding, rows: np.ndarray, wanted: object) -> Any:
        builds.append(len(rows))
        return encode(module, coding, np.random.default_rng(0).permutation(rows))

    monkeypatch.setattr(prefilter, "encode", scrambled)
    searcher, reference = both(Cosine())
    assert not searcher.prepare()
    assert count_differences(searcher, reference, probes_of(1)) == 0
    searcher.put(np.arange(N, N + 900), make(900, seed=2))
    assert not searcher.prepare()
    assert builds == [N]
    searcher.put(np.arange(N, 2 * N), make(N, seed=2))
    assert not searcher.prepare()
    assert builds == [N, 2 * N]


def test_a_doubtful_probe_is_scanned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tenth of the candidates that the check asked for, nothing is missed either."""
    searcher, reference = both(Cosine())
    assert searcher.prepare()
    build = searcher._serving
    assert build is not None
    assert build.prefilter is not None
    monkeypatch.setitem(build.prefilter.__dict__, "num_first", 4)
    monkeypatch.setitem(build.prefilter.__dict__, "num_candidates", 30)
    strange = np.random.default_rng(1).normal(size=(600, D))
    wrong = sum(
        count_differences(searcher, reference, strange[i : i + 50]) for i in range(0, 600, 50)
    )
    assert wrong == 0
    monkeypatch.setattr(prefilter, "_SURE", -100.0)
    wrong = sum(
        count_differences(searcher, reference, strange[i : i + 50]) for i in range(0, 600, 50)
    )
    assert wrong > 0


def test_without_faiss_the_scan_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    searcher, reference = both(Cosine())
    assert not searcher.prepare()
    assert count_differences(searcher, reference, probes_of(1)) == 0


def test_two_builds_are_the_same() -> None:
    coding = coding_for(Euclidean())
    assert coding is not None
    found = [encode(faiss, coding, make(N)) for _ in range(2)]
    first, second = (codes.search(probes_of(1), 50) for codes in found if codes is not None)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_few_rows_short_embeddings_and_foreign_distances_have_no_codes() -> None:
    few = PqSearcher(Cosine(), D)
    few.put(np.arange(999), make(999))
    short = PqSearcher(Cosine(), 8)
    short.put(np.arange(N), make(N)[:, :8].copy())
    assert not few.prepare()
    assert not short.prepare()
    searcher, reference = both(Cosine())
    assert searcher.prepare()
    for one in (searcher, reference):
        one.drop(np.arange(N - 500))
    assert count_differences(searcher, reference, probes_of(1)) == 0


def test_an_odd_embedding_size_is_filled_up() -> None:
    searcher, reference = PqSearcher(Cosine(), 33), ExactSearcher(Cosine(), 33)
    rows = np.concatenate([make(N), make(N, seed=1)[:, :1]], 1)
    for one in (searcher, reference):
        one.put(np.arange(N), rows)
    assert searcher.prepare()
    assert count_differences(searcher, reference, rows[:60] + np.float32(0.05)) == 0


def test_a_searcher_that_is_let_go_stops_its_build(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(module: Any, coding: Coding, rows: np.ndarray, wanted: Callable[[], bool]) -> Any:
        go_on.wait(20)
        return encode(module, coding, rows, wanted)

    monkeypatch.setattr(prefilter, "encode", slow)
    searcher, _ = both(Cosine())
    searcher.nearest(probes_of(0)[:40], 1)
    build, thread = searcher._pending, searcher._thread
    del searcher
    gc.collect()
    go_on.set()
    assert thread is not None
    thread.join()
    assert build is not None
    assert build.is_done
    assert build.prefilter is None
