"""What doctests may use without importing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.distances import Cosine, Euclidean, Hyperbolic


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any], tmp_path: Path) -> None:
    """Offer NumPy, the distances and an empty folder to every docstring."""
    doctest_namespace.update(
        np=np, Cosine=Cosine, Euclidean=Euclidean, Hyperbolic=Hyperbolic, tmp_path=tmp_path
    )
