"""The searcher for large galleries: a prefilter by codes, then exact distances.

Shapes: Q probes, N rows, k neighbors, D embedding size.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, final

import numpy as np

from ilk.distances import Distance
from ilk.searcher import Neighbors, check_probes
from ilk.searchers.codes import Coding, coding_for
from ilk.searchers.engine import load_faiss
from ilk.searchers.exact import ExactSearcher
from ilk.searchers.prefilter import Prefilter, build_prefilter

__all__ = ["PqSearcher"]

_LEAST_ROWS = 50_000
"""Below this, and for short embeddings, the exact scan is fast enough."""

_LEAST_SIZE = 32

_MANY_PROBES = 64
"""So many probes at once are looked up by an exact matrix product at about the same speed."""

_PATIENCE = 32
"""Probes that are scanned for before a build begins: for a process that asks less, it costs more
than it saves."""

_STALE_SHARE = 0.1
"""Of the coded rows gone or changed: build anew."""

_FRESH_SHARE = 1 / 64
"""Rows that are not coded, in all rows: build anew."""

_FEW_FRESH = 4096


@final
class _Build:
    """Codes of the first rows of a matrix, being made or made, and which rows changed since."""

    def __init__(self, num_rows: int) -> None:
        self.changed = np.zeros(num_rows, bool)
        self.prefilter: Prefilter | None = None
        self.is_done = False
        self.is_wanted = True

    def goes_on(self) -> bool:
        """Tell whether anybody still waits for it."""
        return self.is_wanted and threading.main_thread().is_alive()


@final
class PqSearcher:
    """Like the exact searcher below 50,000 rows; from there ten and more times faster.

    Codes of 2 bits per number rank all rows first; the best of them, and all rows that are not
    coded yet, are settled by exact distances. The codes are made in a background thread once
    enough was asked, and made anew when too many rows changed; until they are ready, the scan is
    exact. So it is without faiss, and where the codes fail their check: each build is checked on
    probes of three kinds against the exact scan, and must have the closest row of all of them
    among its candidates. What is not proven is that this holds for every probe; where a probe's
    closest row is not clearly ahead of the last candidate, it is scanned for exactly.

    Args:
        distance: What closeness means.
        embedding_size: D.

    Example:
        >>> searcher = PqSearcher(Euclidean(), 1)
        >>> searcher.put(np.array([3, 5]), np.array([[0.0], [4.0]], np.float32))
        >>> searcher.nearest(np.array([[5.0]]), 1).ids
        array([[5]])
        >>> searcher.prepare()
        False
    """

    def __init__(self, distance: Distance, embedding_size: int) -> None:
        self._distance, self._size = distance, embedding_size
        self._exact = ExactSearcher(distance, embedding_size, on_change=self._note)
        self._coding = coding_for(distance) if embedding_size >= _LEAST_SIZE else None
        self._serving: _Build | None = None
        self._pending: _Build | None = None
        self._failed_at = 0
        self._num_scanned = 0
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self._exact)

    @property
    def is_prefiltering(self) -> bool:
        """Whether codes are in use."""
        return self._serving is not None

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Add rows, or replace those whose id is there; of two with one id, the last is kept."""
        self._exact.put(ids, embeddings)

    def drop(self, ids: np.ndarray) -> None:
        """Take rows out; ids that are not there are no error."""
        self._exact.drop(ids)

    def adopt(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Take over whole arrays without copying them, as `ExactSearcher.adopt` does."""
        self._exact.adopt(ids, embeddings)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (N,) and embeddings (N, D) in the searcher's own order, as views."""
        return self._exact.rows()

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        """Return the min(k, N) closest rows of each of the (Q, D) probes."""
        check_probes(probes, k, self._size)
        self._take_over()
        self._num_scanned += len(probes)
        if self._is_due() and self._num_scanned > _PATIENCE:
            self._start()
        prefilter = self._serving and self._serving.prefilter
        if prefilter is None or len(probes) >= _MANY_PROBES or not len(probes):
            return self._exact.nearest(probes, k)
        return self._ask(prefilter, probes, min(k, len(self)), prefilter.num_candidates)

    def prepare(self) -> bool:
        """Make the codes now and wait for them; tell whether they are in use."""
        self._take_over()
        if self._is_due():
            self._start()
        if self._thread is not None:
            self._thread.join()
            self._take_over()
        return self.is_prefiltering

    def _ask(self, prefilter: Prefilter, probes: np.ndarray, k: int, count: int) -> Neighbors:
        """Settle more and more candidates until none of the others could be the closest."""
        depth = max(prefilter.num_first, 8 * k)
        count = max(count, depth)
        if count > len(self) // 4:
            return self._exact.nearest(probes, k)
        positions, measures = prefilter.codes.search(probes, count)
        spread = prefilter.codes.spread(probes)
        found = Neighbors(np.zeros((len(probes), k), np.int64), np.zeros((len(probes), k)))
        left = np.arange(len(probes))
        while len(left) and depth <= count:
            near = self._settle(probes[left], positions[left, :depth], k)
            if near is None:
                break
            found.ids[left], found.distances[left] = near.ids, near.distances
            last = measures[left, depth - 1]
            left = left[~prefilter.is_sure(spread[left], last, near.distances[:, 0])]
            depth = min(4 * depth, count) if depth < count else count + 1
        if len(left):
            more = 4 * count
            is_worth_it = more <= prefilter.most_candidates
            near = (
                self._ask(prefilter, probes[left], k, more)
                if is_worth_it
                else self._exact.nearest(probes[left], k)
            )
            found.ids[left], found.distances[left] = near.ids, near.distances
        return found

    def _settle(self, probes: np.ndarray, positions: np.ndarray, k: int) -> Neighbors | None:
        """Return the closest of the candidates and of all rows that are not coded, if enough."""
        fresh = self._fresh()
        candidates = [np.concatenate([self._still_coded(row), fresh]) for row in positions]
        if min(len(at) for at in candidates) < k:
            return None
        return self._exact.nearest_among(probes, candidates, k)

    def _still_coded(self, positions: np.ndarray) -> np.ndarray:
        """Return those of the coded positions that hold the row that was coded."""
        changed = self._serving.changed if self._serving else np.zeros(0, bool)
        positions = positions[(positions >= 0) & (positions < len(self))]
        return positions[~changed[positions]]

    def _fresh(self) -> np.ndarray:
        """Return the positions of rows that are not coded."""
        changed = self._serving.changed if self._serving else np.zeros(0, bool)
        inside = np.flatnonzero(changed[: len(self)])
        return np.concatenate([inside, np.arange(len(changed), len(self))])

    def _note(self, positions: np.ndarray) -> None:
        for build in (self._serving, self._pending):
            if build is not None:
                build.changed[positions[positions < len(build.changed)]] = True

    def _is_due(self) -> bool:
        """Tell whether to build: there is nothing to serve with, or too much of it is stale."""
        if self._coding is None or self._pending or len(self) < _LEAST_ROWS:
            return False
        if len(self) < 2 * self._failed_at:
            return False
        if self._serving is None:
            return True
        changed = self._serving.changed
        num_changed = int(np.count_nonzero(changed[: len(self)]))
        num_gone = max(0, len(changed) - len(self))
        num_fresh = num_changed + max(0, len(self) - len(changed))
        return num_changed + num_gone > _STALE_SHARE * len(changed) or num_fresh > max(
            _FEW_FRESH, _FRESH_SHARE * len(self)
        )

    def _start(self) -> None:
        """Begin to build in a thread that reads the rows as they are and change under it.

        Whatever changed since this moment is marked as changed and so not looked up by its code.
        """
        _, embeddings = self.rows()
        faiss = load_faiss(1 << 62)
        if faiss is None or self._coding is None:
            self._coding = None
            return
        self._pending = build = _Build(len(embeddings))
        weakref.finalize(self, setattr, build, "is_wanted", False)
        arguments = (faiss, build, self._distance, self._coding, embeddings)
        self._thread = threading.Thread(target=_run, args=arguments, name="ilk-codes")
        self._thread.start()

    def _take_over(self) -> None:
        """Use the codes that have been built meanwhile, and let the old ones go."""
        build = self._pending
        is_over = self._thread is None or not self._thread.is_alive()
        if build is None or not build.is_done:
            if is_over and build is not None and not build.is_done:
                self._pending = None  # in a child of a fork, where the thread does not go on
            return
        self._pending, self._num_scanned = None, 0
        self._serving = build if build.prefilter is not None else None
        self._failed_at = 0 if build.prefilter is not None else len(build.changed)


def _run(
    faiss: Any, build: _Build, distance: Distance, coding: Coding, embeddings: np.ndarray
) -> None:
    try:
        build.prefilter = build_prefilter(
            faiss, distance, coding, embeddings, build.changed, build.goes_on
        )
    finally:
        build.is_done = True
