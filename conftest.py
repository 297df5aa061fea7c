"""What doctests may use without importing it, and how property tests draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from ilk.distances import Cosine, Euclidean, Hyperbolic

_UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **_UNTIMED)
settings.register_profile("explore", derandomize=False, **_UNTIMED)
settings.load_profile("same")  # every run draws alike; --hypothesis-profile=explore draws anew


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any], tmp_path: Path) -> None:
    """Offer NumPy, the distances and an empty folder to every docstring."""
    doctest_namespace.update(
        np=np, Cosine=Cosine, Euclidean=Euclidean, Hyperbolic=Hyperbolic, tmp_path=tmp_path
    )
