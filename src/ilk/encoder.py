"""Encoder (Protocol): items in, embeddings out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ilk.preprocess import Preprocess

__all__ = ["Encoder", "encoder_fingerprint"]


@runtime_checkable
class Encoder(Protocol):
    """Turns preprocessed inputs into embeddings.

    Shapes: N inputs, D embedding size.
    """

    @property
    def embedding_size(self) -> int:
        """D."""

    @property
    def fingerprint(self) -> str:
        """A hash of weights, preprocessing and size: equal only if embeddings are comparable."""

    @property
    def preprocess(self) -> Preprocess:
        """What turns an item's content into one row of `embed`'s input."""

    def embed(self, inputs: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return the (N, D) float32 embeddings of N preprocessed inputs of equal shape."""


def encoder_fingerprint(weights_sha256: str, preprocess: Preprocess, embedding_size: int) -> str:
    """Return the hash that binds embeddings to the encoder that made them.

    Args:
        weights_sha256: Of the bytes of the network: all of it, not only its weights.
        preprocess: What makes its inputs.
        embedding_size: D.
    """
    bound = [weights_sha256, preprocess.settings, embedding_size]
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
