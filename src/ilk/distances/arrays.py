"""What NumPy arrays and torch tensors share, for formulas that are written once.

torch is never imported here: a tensor brings it along.

Shapes: Q probes, R references, N rows, D embedding size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

__all__ = [
    "Array",
    "append",
    "at_least_float32",
    "cast",
    "constant",
    "full_precision",
    "like",
    "mend_cancellation",
    "namespace",
    "row_length",
    "safe_root",
    "squared_norm",
    "unit",
    "widest",
]

Array = Any
"""A NumPy array or a torch tensor; what comes back is of the kind that went in."""

_CANCELLED = 1e-4
"""Below this share of its terms, a difference of squares has lost too many digits to trust."""

_CHUNK_ELEMENTS = 1 << 22
"""How many numbers the exact recomputation of near pairs holds at once."""


def namespace(x: Array) -> Any:
    """Return numpy or torch, whichever `x` belongs to."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def full_precision(x: Array) -> AbstractContextManager[Any]:
    """Switch torch's automatic mixed precision off; nothing to do for NumPy."""
    if isinstance(x, np.ndarray):
        return nullcontext()
    context: AbstractContextManager[Any] = namespace(x).autocast(x.device.type, enabled=False)
    return context


def cast(x: Array, dtype: str) -> Array:
    """Return `x` as the dtype of this name."""
    xp = namespace(x)
    return x.astype(dtype) if xp is np else x.to(getattr(xp, dtype))


def at_least_float32(x: Array) -> Array:
    """Raise half precision to float32 and integers to float64."""
    if isinstance(x, np.ndarray) and x.dtype.char in "fd":  # its name takes long to spell
        return x
    name = str(x.dtype).removeprefix("torch.")
    if name in ("float32", "float64"):
        return x
    return cast(x, "float32" if name in ("float16", "bfloat16") else "float64")


def widest(x: Array) -> Array:
    """Raise to float64, or to float32 on a device that has nothing wider."""
    has_float64 = isinstance(x, np.ndarray) or x.device.type != "mps"
    return cast(x, "float64" if has_float64 else "float32")


def like(x: Array, template: Array) -> Array:
    """Return `x` in the dtype that results for `template` have."""
    return cast(x, str(at_least_float32(template).dtype).removeprefix("torch."))


def constant(x: Array) -> Array:
    """Cut `x` out of the gradient, where the result does not depend on it."""
    return x if isinstance(x, np.ndarray | np.generic) else x.detach()


def squared_norm(x: Array) -> Array:
    """Return the squared length of each row."""
    return (x * x).sum(-1)


def safe_root(squared: Array) -> Array:
    """Return the square root, with gradient 0 instead of infinity at 0."""
    is_zero = squared <= 0
    return (squared * ~is_zero + is_zero) ** 0.5 * ~is_zero


def row_length(x: Array) -> Array:
    """Return the length of each row, with gradient 0 at 0, whatever finite size its numbers have.

    Squares that would over- or underflow are taken of a row brought to size 1. Other rows are
    divided by 1, so that their lengths do not depend on what else is in the batch.
    """
    xp = namespace(x)
    low, high = (1e-30, 1e30) if "32" in str(x.dtype) else (1e-280, 1e280)
    with np.errstate(over="ignore"):
        squared = squared_norm(x)
    if bool(((squared > low) & (squared < high)).all()):
        return safe_root(squared)
    largest = constant(xp.amax(abs(x), -1)) if x.shape[-1] else squared
    is_extreme = (largest > 0) & ~((constant(squared) > low) & (constant(squared) < high))
    scale = xp.where(is_extreme, largest, xp.ones_like(largest))
    with np.errstate(over="ignore"):  # a length that the dtype cannot hold is infinite
        return safe_root(squared_norm(x / scale[..., None])) * scale


def unit(x: Array) -> Array:
    """Scale rows to length 1; an all-zero row stays zero and has a finite gradient.

    The first division keeps the squares from over- and underflowing. After it the squared norm
    of a non-zero row is at least 1, so the clip acts on zero rows alone.
    """
    xp = namespace(x)
    largest = constant(xp.amax(abs(x), -1)) if x.shape[-1] else squared_norm(x)
    x = x / (largest + (largest == 0))[..., None]
    return x / (squared_norm(x).clip(min=0.5) ** 0.5)[..., None]


def append(x: Array, column: Array) -> Array:
    """Return (N, D) `x` with the (N,) `column` as its last, (N, D + 1)."""
    xp = namespace(x)
    column = column[:, None]
    return np.concatenate([x, column], 1) if xp is np else xp.cat([x, column], 1)


def mend_cancellation(
    gram: Array,
    size: Array,
    probes: Array,
    references: Array,
    exact: Callable[[Array, Array], Array],
) -> Array:
    """Replace the entries of `gram` that lost their digits to cancellation.

    `gram` (Q, R) is a difference of terms as large as `size`; where little is left of them,
    `exact(i, j)` computes the entries (i[k], j[k]) again from the rows themselves.
    """
    xp = namespace(gram)
    rows, columns = xp.where(constant(gram) < _CANCELLED * constant(size))
    step = max(1, _CHUNK_ELEMENTS // max(1, probes.shape[1]))
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        gram[i, j] = exact(i, j)
    return gram
