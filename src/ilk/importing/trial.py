"""Whether a network is an encoder, found by running it.

Shapes: N inputs, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ilk.encoders.session import Session
from ilk.errors import InvalidInput

__all__ = ["try_out"]

_SLACK = 1e-3
"""How much of the largest value the embedding of a row may change with the rows beside it."""


def try_out(onnx: bytes, inputs: np.ndarray) -> int:
    """Return the embedding size D of an encoder, after embedding `inputs` singly and together.

    Args:
        onnx: One input, one output.
        inputs: (N, ...) float32, at least two different.

    Raises:
        InvalidInput: It cannot be run, refuses several inputs at once, gives something that is no
            embedding, or what comes out of one input depends on the others.
    """
    run = _start(onnx)
    rows = [_first(run, inputs[i : i + 1]) for i in range(len(inputs))]
    singly = np.concatenate(rows)
    if not np.isfinite(singly).all():
        raise InvalidInput(
            "expected finite embeddings, the network gives NaN or infinity for usual inputs; "
            "check mean and std of preprocess, or export it again"
        )
    if len(inputs) > 1 and (singly == singly[0]).all() and not (inputs == inputs[0]).all():
        raise InvalidInput(
            "expected different embeddings for different inputs, the network gives one and the "
            "same; check mean and std of preprocess, or choose another output"
        )
    advice = "export it with a dynamic first axis (torch.onnx.export: dynamic_axes)"
    try:
        together = run(inputs)
    except InvalidInput as error:
        raise InvalidInput(
            f"expected a network for any number of inputs, it refuses {len(inputs)} at once "
            f"({error}); {advice}"
        ) from None
    reach = _SLACK * float(np.abs(singly).max())
    if together.shape != singly.shape or not np.allclose(together, singly, rtol=0, atol=reach):
        raise InvalidInput(
            "expected a network whose embedding of an input does not depend on the inputs beside "
            f"it, this one's does; {advice}, in evaluation mode"
        )
    return singly.shape[1]


def _first(run: Callable[[np.ndarray], np.ndarray], row: np.ndarray) -> np.ndarray:
    """Return the (1, D) embedding of one input."""
    try:
        embedding = run(row)
    except InvalidInput as error:
        raise InvalidInput(
            f"expected a network that takes inputs {row.shape}, it does not ({error}); "
            "change preprocess to what it was trained with"
        ) from None
    if embedding.ndim != 2 or len(embedding) != 1 or embedding.shape[1] < 1:
        raise InvalidInput(
            f"expected an output (N, D), one embedding per input, got {embedding.shape} for one "
            f"input; {_other_output(embedding.ndim)}"
        )
    if embedding.dtype != np.float32:
        raise InvalidInput(
            f"expected float32 embeddings, got {embedding.dtype}; export it in float32"
        )
    return embedding


def _other_output(num_axes: int) -> str:
    if num_axes == 4:
        return (
            "that is a map of places, before pooling: choose an output behind the pooling by its "
            "name, or export the network with pooling and flattening"
        )
    if num_axes == 3:
        return (
            "that is an embedding per place or token: choose the pooled output by its name, or "
            "export the network with pooling"
        )
    return "choose another output by its name, or export the network again"


def _start(onnx: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs the network."""
    try:
        return Session(onnx).run
    except InvalidInput as error:
        raise InvalidInput(
            f"expected a network that can be run, this one cannot: {error}"
        ) from None
