"""Whether a network is an encoder, found by running it.

Shapes: N inputs, D embedding size.
"""

from __future__ import annotations

import math

import numpy as np

from ilk.encoders.onnx import MAX_EFFECT, difference_of, effect_in_words
from ilk.encoders.session import Session
from ilk.errors import InvalidInput

__all__ = ["embed_apart", "start", "try_together"]

_SLACK = 1e-3
"""How far, as a share of its length, an embedding by a changed form may be from that by the old."""


def start(onnx: bytes) -> Session:
    """Return what runs a network of one input and one output.

    Raises:
        InvalidInput: It cannot be run.
    """
    try:
        return Session(onnx)
    except InvalidInput as error:
        raise InvalidInput(
            f"expected a network that can be run, this one cannot: {error}"
        ) from None


def embed_apart(
    session: Session, inputs: np.ndarray, *, at_once: int = 1, is_declared: bool
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the (N, D) embeddings of inputs, each without the others, and the shape of an output.

    Args:
        session: The network as it was given.
        inputs: (N, ...) float32, at least two different.
        at_once: How many the network takes, neither more nor less; each input is repeated.
        is_declared: Whether the network says of itself that it takes inputs of this shape.

    Raises:
        InvalidInput: It refuses an input, or gives something that is no embedding.
    """
    outputs = [
        _output(session, np.repeat(inputs[i : i + 1], at_once, axis=0), is_declared)
        for i in range(len(inputs))
    ]
    shape = outputs[0].shape
    of_one = shape if at_once == 1 else shape[1:]
    per_row = math.prod(of_one)
    fits = at_once == 1 or shape[:1] == (at_once,)
    fits &= sum(length != 1 for length in of_one) <= 1 and (per_row > 1 or len(shape) == 2)
    if not fits or not per_row:
        given = "one input" if at_once == 1 else f"{at_once} inputs"
        raise InvalidInput(
            f"expected an output (N, D), one embedding per input, got {shape} for {given}; "
            f"{_other_output(shape, per_row)}"
        )
    singly = np.stack([output.reshape(at_once, per_row)[0] for output in outputs])
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
    return singly, shape


def try_together(onnx: bytes, inputs: np.ndarray, singly: np.ndarray) -> tuple[bool, str]:
    """Return whether a form of a network embeds many inputs as it does each alone, and why not.

    Args:
        onnx: (N, ...) in, (N, D) out.
        inputs: (N, ...).
        singly: (N, D), what should come out.
    """
    try:
        session = Session(onnx)
        together = session.run(inputs)
        if together.shape != singly.shape:
            return False, f"of {len(inputs)} at once it makes an output {together.shape}"
        alone = np.concatenate([session.run(inputs[i : i + 1]) for i in range(len(inputs))])
    except InvalidInput as error:
        return False, f"it refuses {len(inputs)} at once ({error})"
    if alone.shape != singly.shape or difference_of(alone, singly) > _SLACK:
        return False, "opened for several it computes something else"
    effect = difference_of(together, alone)
    return effect <= MAX_EFFECT, effect_in_words(effect)


def _output(session: Session, batch: np.ndarray, is_declared: bool) -> np.ndarray:
    """Return what comes of one batch, float32."""
    try:
        output = session.run(batch)
    except InvalidInput as error:
        advice = (
            "it says of itself that it does: export it again"
            if is_declared
            else "change preprocess to what it was trained with"
        )
        raise InvalidInput(
            f"expected a network that takes inputs {batch.shape}, it does not ({error}); {advice}"
        ) from None
    if output.dtype != np.float32:
        raise InvalidInput(f"expected float32 embeddings, got {output.dtype}; export it in float32")
    return output


def _other_output(shape: tuple[int, ...], per_row: int) -> str:
    """Return what to do about an output of this shape."""
    if per_row <= 1:
        return "that is no more than one number: choose another output by its name"
    if len(shape) == 4:
        return (
            "that is a map of places, before pooling: choose an output behind the pooling by its "
            "name, or export the network with pooling and flattening"
        )
    if len(shape) == 3:
        return (
            "that is an embedding per place or token: choose the pooled output by its name, or "
            "export the network with pooling"
        )
    return "choose another output by its name, or export the network again"
