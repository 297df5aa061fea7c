"""Conformance kits: what a distance, a loss, an encoder or a store of yours must do, as numbers.

Call them in your tests. Each raises `AssertionError` with what was expected and what came; they
use fixed seeds and take seconds or less. ilk's own are held to the same.

Shapes: N items, D embedding size, C classes.
"""

from ilk.testing.distances import check_distance
from ilk.testing.encoders import check_encoder
from ilk.testing.losses import check_loss
from ilk.testing.memory_store import MemoryStore
from ilk.testing.stores import check_store

__all__ = ["MemoryStore", "check_distance", "check_encoder", "check_loss", "check_store"]
