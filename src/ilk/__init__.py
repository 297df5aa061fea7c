"""Learn a distance, then recognise kinds that training never saw, and say when it does not know.

The names below are found when they are first used, so `import ilk` costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilk.artifact import Artifact
    from ilk.datasets import open_source
    from ilk.distances import Cosine, Euclidean, Hyperbolic
    from ilk.embedding import embed_items
    from ilk.encoders.onnx import open_encoder
    from ilk.errors import IlkError
    from ilk.evaluation import EvaluationSettings, evaluate
    from ilk.gallery import Binding, Gallery
    from ilk.items import Items
    from ilk.recognizer import Recognizer

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# ONNX Runtime 1.32 reports its use to its makers, unless this is said before it is imported.

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "Binding",
    "Cosine",
    "Euclidean",
    "EvaluationSettings",
    "Gallery",
    "Hyperbolic",
    "IlkError",
    "Items",
    "Recognizer",
    "embed_items",
    "evaluate",
    "open_encoder",
    "open_source",
]

_HOMES = {
    "Artifact": "artifact",
    "Binding": "gallery",
    "Cosine": "distances",
    "Euclidean": "distances",
    "EvaluationSettings": "evaluation",
    "Gallery": "gallery",
    "Hyperbolic": "distances",
    "IlkError": "errors",
    "Items": "items",
    "Recognizer": "recognizer",
    "embed_items": "embedding",
    "evaluate": "evaluation",
    "open_encoder": "encoders.onnx",
    "open_source": "datasets",
}


def __getattr__(name: str) -> Any:
    """Import the home of a public name when that is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ilk' has no attribute {name!r}")
    return getattr(import_module(f"ilk.{_HOMES[name]}"), name)
