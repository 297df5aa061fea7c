"""What doctests may use without importing it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ilk.distances import Cosine, Euclidean, Hyperbolic


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    """Offer NumPy and the distances to every docstring."""
    doctest_namespace.update(np=np, Cosine=Cosine, Euclidean=Euclidean, Hyperbolic=Hyperbolic)
