"""The only place where a distance between embeddings is computed.

A distance is never negative, smaller is closer, and no flag turns that around. Each formula is
written once, with the operators that NumPy arrays and torch tensors share, so that training,
evaluation, search and thresholds call the same lines. torch is never imported here.

Shapes: Q probes, R references, N rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ilk.distances.cosine import Cosine
from ilk.distances.distance import Distance
from ilk.distances.euclidean import Euclidean
from ilk.distances.hyperbolic import Hyperbolic
from ilk.errors import InvalidInput

__all__ = ["Cosine", "Distance", "Euclidean", "Hyperbolic", "distance_from_settings"]

_BY_NAME: dict[str, Callable[..., Distance]] = {
    "cosine": Cosine,
    "euclidean": Euclidean,
    "hyperbolic": Hyperbolic,
}


def distance_from_settings(settings: Mapping[str, Any]) -> Distance:
    """Make the distance that `Distance.settings` describes.

    Raises:
        InvalidInput: The name is not a distance, or an option does not belong to it.

    Example:
        >>> distance_from_settings({"name": "hyperbolic", "curvature": 1.0})
        Hyperbolic(curvature=1.0, max_radius=4.6)
    """
    options = dict(settings)
    name = options.pop("name", None)
    if name not in _BY_NAME:
        raise InvalidInput(f"distance must be one of {', '.join(_BY_NAME)}, got {name!r}")
    try:
        return _BY_NAME[name](**options)
    except TypeError as error:
        raise InvalidInput(f"distance {name!r} does not take {options}: {error}") from None
