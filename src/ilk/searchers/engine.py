"""faiss, where it is installed: imported late, and with its global settings left as they were."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from ilk.forks import ForkLock

__all__ = ["load_faiss", "one_thread", "scan_rows", "use_huge_pages"]

_NEVER_BLAS = 1 << 30
"""A threshold that keeps faiss from preparing a matrix product for a few probes."""

_WORTH_IMPORTING = 10_000_000
"""Numbers in a matrix from which on even one scan by faiss pays for its 0.2 s of importing."""

_LOCK = ForkLock("engine")
"""faiss keeps the choice between its two kernels in a global variable."""


_HUGE_PAGE = 1 << 21
_COLLAPSE = 25
"""Linux's advice (since 6.1) to gather memory into huge pages now."""


def load_faiss(num_elements: int) -> Any:
    """Return the module, or None where it is missing or a matrix of that size does not pay."""
    if "faiss" not in sys.modules and num_elements < _WORTH_IMPORTING:
        return None
    try:
        import faiss
    except ImportError:
        return None
    return faiss


@contextmanager
def one_thread(faiss: Any) -> Iterator[None]:
    """Let what this thread asks of faiss run on this thread alone."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def scan_rows(
    faiss: Any, queries: np.ndarray, keys: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest products (Q, k) of each query and their positions, by a plain scan."""
    with _LOCK, one_thread(faiss):
        threshold = faiss.cvar.distance_compute_blas_threshold
        if len(queries) < threshold:
            found: tuple[np.ndarray, np.ndarray] = faiss.knn(
                queries, keys, k, metric=faiss.METRIC_INNER_PRODUCT
            )
            return found
        faiss.cvar.distance_compute_blas_threshold = _NEVER_BLAS
        try:
            values, rows = faiss.knn(queries, keys, k, metric=faiss.METRIC_INNER_PRODUCT)
        finally:
            faiss.cvar.distance_compute_blas_threshold = threshold
    return values, rows


def use_huge_pages(address: int, num_bytes: int) -> None:
    """Ask Linux to hold memory in huge pages, which it reads a third faster; a wish, no more."""
    start = -(-address // _HUGE_PAGE) * _HUGE_PAGE
    stop = (address + num_bytes) // _HUGE_PAGE * _HUGE_PAGE
    if sys.platform == "linux" and start < stop:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _COLLAPSE)
