"""Conformance kits: what distances, encoders, detectors, stores and others must do, as numbers.

Call them in the tests of yours. Each raises `AssertionError` with what was expected and what came;
they use fixed seeds and take seconds or less. ilk's own are held to the same.

Shapes: N items, D embedding size, C classes.
"""

from ilk.testing.detectors import check_detector
from ilk.testing.distances import check_distance
from ilk.testing.encoders import check_encoder
from ilk.testing.losses import check_loss
from ilk.testing.memory_store import MemoryStore
from ilk.testing.searchers import check_searcher
from ilk.testing.stores import check_store

__all__ = [
    "MemoryStore",
    "check_detector",
    "check_distance",
    "check_encoder",
    "check_loss",
    "check_searcher",
    "check_store",
]
