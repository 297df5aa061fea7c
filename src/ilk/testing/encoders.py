"""The kit for encoders that embed."""

from __future__ import annotations

import numpy as np

from ilk.encoder import Encoder
from ilk.testing.claims import claim, close

__all__ = ["check_encoder"]


def check_encoder(encoder: Encoder, inputs: np.ndarray) -> None:
    """Check that an encoder gives the same embedding for the same input, however it is batched.

    (N, D) finite float32 with D its `embedding_size`; each row the same alone, in a batch, in
    another order and a second time (to 1e-4 of the embeddings' size); different inputs told apart;
    a non-empty fingerprint; an input left as it was; no rows for no inputs.

    Args:
        encoder: To be checked.
        inputs: At least 3 different preprocessed inputs.
    """
    before = inputs.copy()
    embeddings = encoder.embed(inputs)
    shape = (len(inputs), encoder.embedding_size)
    claim(embeddings.shape == shape, f"expected embeddings {shape}, got {embeddings.shape}")
    claim(embeddings.dtype == np.float32, f"expected float32, got {embeddings.dtype}")
    claim(bool(np.isfinite(embeddings).all()), "embeddings must be finite")
    claim(np.array_equal(inputs, before), "the encoder changed its input")
    slack = 1e-4 * float(np.abs(embeddings).max())
    close("embeddings a second time", encoder.embed(inputs), embeddings, slack)
    alone = np.concatenate([encoder.embed(inputs[i : i + 1]) for i in range(len(inputs))])
    close("embeddings one by one", alone, embeddings, slack)
    close("embeddings in reverse", encoder.embed(inputs[::-1])[::-1], embeddings, slack)
    gaps = np.abs(embeddings[:, None] - embeddings).max(2) + np.eye(len(inputs))
    claim(bool((gaps > 0).all()), "different inputs got the same embedding")
    claim(bool(encoder.fingerprint), "the fingerprint is empty")
    nothing = encoder.embed(inputs[:0]).shape
    claim(nothing == (0, shape[1]), f"expected (0, {shape[1]}) for no inputs, got {nothing}")
