"""The kit for searchers.

Shapes: Q probes, N rows, k neighbors, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.searcher import Searcher
from ilk.testing.claims import D, claim

__all__ = ["check_searcher"]

_DISTANCES: tuple[tuple[Distance, float], ...] = (
    (Cosine(), 1.0),
    (Euclidean(), 1.0),
    (Euclidean(), 1e-3),
    (Hyperbolic(), 4.0),
    (Hyperbolic(curvature=1.0, max_radius=8.0), 8.0),
)
"""With the length of the longest embeddings."""


def check_searcher(factory: Callable[[Distance, int], Searcher]) -> None:
    """Check that a searcher finds what a plain loop over all rows finds, to the last bit.

    Under all distances, up to radius 8 of the hyperbolic one: rows put, replaced and dropped,
    singly and in bulk; rows that are the same, nearly the same, zero or at the same distance; one
    probe and many; k of 1, of all and of more than all; no rows and no probes; `rows` in step.

    Args:
        factory: Makes an empty searcher of (distance, embedding size).

    Example:
        >>> from ilk.searcher import ScanSearcher
        >>> check_searcher(ScanSearcher)
    """
    for seed, (distance, length) in enumerate(_DISTANCES):
        searcher = factory(distance, D)
        rows: dict[int, np.ndarray] = {}
        _compare(searcher, rows, distance, _embeddings(3, length, seed))
        rng = np.random.default_rng(seed)
        for step in range(12):
            ids, embeddings = _change(rng, rows, length, step)
            searcher.put(ids, embeddings)
            rows.update(zip(ids.tolist(), embeddings, strict=True))
            gone = rng.permutation(400)[: int(rng.integers(0, 60))]
            searcher.drop(gone)
            for row_id in gone.tolist():
                rows.pop(row_id, None)
            probes = _embeddings((1, 5, 40)[step % 3], length, 100 * seed + step)
            stored = np.array([*rows.values(), np.zeros(D)], np.float32)
            probes = np.concatenate([probes, stored[:2], 0 * stored[:1]])
            _compare(searcher, rows, distance, probes)
        searcher.drop(np.array(list(rows), np.int64))
        _compare(searcher, {}, distance, probes)


def _change(
    rng: np.random.Generator, rows: dict[int, np.ndarray], length: float, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and embeddings to put: at first many, then few, with all that makes ties."""
    count = 200 if step == 0 else int(rng.integers(0, 40))
    ids = rng.permutation(400)[:count]
    embeddings = _embeddings(count, length, int(rng.integers(1 << 30)))
    if count > 8:
        embeddings[:3] = embeddings[3]
        embeddings[4] = np.nextafter(embeddings[3], np.float32(9))
        embeddings[5:7] = 0
        embeddings[7] = -embeddings[3]
        embeddings[8] = next(iter(rows.values()), embeddings[3])
    return ids, embeddings


def _embeddings(count: int, length: float, seed: int) -> np.ndarray:
    """Return (count, D) float32 in bundles of near ones, of all lengths up to a longest."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, D))
    centres *= length * rng.random((5, 1)) ** 0.5 / np.linalg.norm(centres, axis=1, keepdims=True)
    spread = 10.0 ** rng.integers(-6, 0, (count, 1)) * length
    embeddings = centres[rng.integers(0, 5, count)] + spread * rng.normal(size=(count, D))
    return embeddings.astype(np.float32)


def _brute_force(
    rows: dict[int, np.ndarray], distance: Distance, probe: np.ndarray, k: int
) -> tuple[list[int], list[float]]:
    """Return ids and distances of the k closest rows, by their definition."""
    wide = np.array(list(rows.values()), np.float64).reshape(-1, D)
    distances = distance.paired(np.repeat(probe[None].astype(np.float64), len(rows), 0), wide)
    order = np.lexsort((list(rows), distances))[:k]
    return np.array(list(rows), np.int64)[order].tolist(), distances[order].tolist()


def _compare(
    searcher: Searcher, rows: dict[int, np.ndarray], distance: Distance, probes: np.ndarray
) -> None:
    claim(len(searcher) == len(rows), f"expected {len(rows)} rows, got {len(searcher)}")
    ids, embeddings = searcher.rows()
    told = dict(zip(ids.tolist(), embeddings, strict=True))
    is_same = told.keys() == rows.keys() and all(np.array_equal(told[i], rows[i]) for i in rows)
    claim(is_same, "rows() must give the rows that were put, replaced and not dropped")
    for k in (1, 4, max(1, len(rows)), len(rows) + 7):
        found = searcher.nearest(probes, k)
        shape = (len(probes), min(k, len(rows)))
        claim(found.ids.shape == shape, f"expected ids {shape}, got {found.ids.shape}")
        claim(found.ids.dtype == np.int64, f"ids must be int64, got {found.ids.dtype}")
        claim(found.distances.shape == shape, f"expected distances {shape}")
        claim(found.distances.dtype == np.float64, "distances must be float64")
        for at, probe in enumerate(probes):
            expected = _brute_force(rows, distance, probe, k)
            got = (found.ids[at].tolist(), found.distances[at].tolist())
            claim(
                got == expected,
                f"the {k} closest under {distance} must be {expected[0]} at {expected[1]}, got "
                f"{got[0]} at {got[1]}",
            )
    claim(
        searcher.nearest(probes[:0], 2).ids.shape == (0, min(2, len(rows))),
        "no probes must give no answers",
    )
