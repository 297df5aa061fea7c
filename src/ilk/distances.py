"""The only place where a distance between embeddings is computed.

A distance is never negative, smaller is closer, and no flag turns that around. Each formula is
written once, with the operators that NumPy arrays and torch tensors share, so that training,
evaluation, search and thresholds call the same lines. torch is never imported here.

Shapes: Q probes, R references, N rows, D embedding size.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["Cosine", "Distance", "Euclidean", "Hyperbolic", "distance_from_settings"]

Array = Any
"""A NumPy array or a torch tensor; what comes back is of the kind that went in."""

_CANCELLED = 1e-4
"""Below this share of its terms, a difference of squares has lost too many digits to trust."""

_CHUNK_ELEMENTS = 1 << 22
"""How many numbers the exact recomputation of near pairs holds at once."""


class Distance(ABC):
    """How far apart two embeddings are: never negative, 0 for the same, smaller is closer.

    Half-precision inputs are raised to float32 and automatic mixed precision is switched off
    inside: bfloat16 moves cosine distances by 0.004, more than thresholds can bear.
    """

    name: str
    """What configs and manifests call it."""

    upper: float
    """The largest value that can occur."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that `distance_from_settings` needs to make this distance again."""
        return {"name": self.name}

    @final
    def pairwise(self, probes: Array, references: Array) -> Array:
        """Return the (Q, R) distances between (Q, D) probes and (R, D) references.

        Gradients flow if the inputs carry them, and are finite everywhere.

        Raises:
            InvalidInput: The embedding sizes D differ, or an input is not 2-D.

        Example:
            >>> Euclidean().pairwise(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
            array([[5., 0.]])
        """
        if probes.ndim != 2 or references.ndim != 2 or probes.shape[1] != references.shape[1]:
            raise InvalidInput(
                f"probes {tuple(probes.shape)} and references {tuple(references.shape)} "
                "must be 2-D with the same D"
            )
        with _full_precision(probes):
            return self._pairwise(_at_least_float32(probes), _at_least_float32(references))

    @final
    def paired(self, first: Array, second: Array) -> Array:
        """Return the (N,) distances between row i of (N, D) `first` and row i of `second`.

        Slower per pair than `pairwise` and free of its cancellation, so a row's value never
        depends on what else is in the batch.

        Raises:
            InvalidInput: The shapes differ, or an input is not 2-D.

        Example:
            >>> Cosine().paired(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]))
            array([1.])
        """
        if first.ndim != 2 or tuple(first.shape) != tuple(second.shape):
            raise InvalidInput(
                f"first {tuple(first.shape)} and second {tuple(second.shape)} "
                "must be 2-D with the same shape (N, D)"
            )
        with _full_precision(first):
            return self._paired(_at_least_float32(first), _at_least_float32(second))

    @abstractmethod
    def search_keys(self, references: Array) -> Array:
        """Return the (R, K) rows to store, so that the largest inner product is the closest."""

    @abstractmethod
    def search_queries(self, probes: Array) -> Array:
        """Return the (Q, K) rows to look up among `search_keys`."""

    @abstractmethod
    def _pairwise(self, probes: Array, references: Array) -> Array: ...

    @abstractmethod
    def _paired(self, first: Array, second: Array) -> Array: ...

    @final
    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.settings.items() if k != "name")
        return f"{type(self).__name__}({options})"

    @final
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Distance) and self.settings == other.settings

    @final
    def __hash__(self) -> int:
        return hash(tuple(sorted(self.settings.items())))


@final
class Cosine(Distance):
    """One minus the cosine of the angle between two embeddings, in [0, 2].

    0 is the same direction, 1 is a right angle, 2 is opposite. Length does not count. An
    all-zero embedding is at distance 1 from everything.

    Example:
        >>> east, north = np.array([[2.0, 0.0]]), np.array([[0.0, 0.5]])
        >>> Cosine().pairwise(east, np.concatenate([east, north, -east]))
        array([[0., 1., 2.]])
    """

    name = "cosine"
    upper = 2.0

    def search_keys(self, references: Array) -> Array:
        """Return the references at unit length, (R, D)."""
        return _unit(references)

    def search_queries(self, probes: Array) -> Array:
        """Return the probes at unit length, (Q, D)."""
        return _unit(probes)

    def _pairwise(self, probes: Array, references: Array) -> Array:
        return (1 - _unit(probes) @ _unit(references).T).clip(0, 2)

    def _paired(self, first: Array, second: Array) -> Array:
        return (1 - (_unit(first) * _unit(second)).sum(-1)).clip(0, 2)


@final
class Euclidean(Distance):
    """The straight-line distance |p - r|, in [0, inf).

    Example:
        >>> Euclidean().pairwise(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
        array([[5.]])
    """

    name = "euclidean"
    upper = float("inf")

    def search_keys(self, references: Array) -> Array:
        """Return (r, -|r|^2 / 2), (R, D + 1)."""
        return _append(references, -_squared_norm(references) / 2)

    def search_queries(self, probes: Array) -> Array:
        """Return (q, 1), (Q, D + 1)."""
        return _append(probes, _squared_norm(probes) * 0 + 1)

    def _pairwise(self, probes: Array, references: Array) -> Array:
        centre = _constant(references.mean(0)) if len(references) else 0.0
        p, r = probes - centre, references - centre
        size = _squared_norm(p)[:, None] + _squared_norm(r)[None, :]
        squared = _mend_cancellation(
            size - 2 * (p @ r.T), size, p, r, lambda i, j: _squared_norm(p[i] - r[j])
        )
        return _safe_root(squared)

    def _paired(self, first: Array, second: Array) -> Array:
        return _safe_root(_squared_norm(first - second))


@final
class Hyperbolic(Distance):
    """The geodesic distance in hyperbolic space of curvature `-curvature`, in [0, 2 max_radius].

    An embedding is a tangent vector at the origin: its direction says where to go, its length
    how far. It is clipped to `max_radius` and carried onto the hyperboloid of the Lorentz model
    by the exponential map

        space(v) = v sinh(s|v|) / (s|v|),   time(v) = cosh(s|v|) / s,   s = sqrt(curvature),

    so the distance from the origin is |v| itself. The distance of two points is
    log1p(u + sqrt(u (u + 2))) / s with u = curvature (|space difference|^2 - time difference^2) / 2,
    which equals acosh(1 + u) / s without its cancellation near 0. All of it is computed in float64
    (float32 where the device has no float64), and the result has the dtype of the input.

    Two conventions meet here: the exponential map at the origin of the Poincare ball of |v| is
    this one of 2|v|. The published clip of 2.3 on the ball is `max_radius=4.6` here.
    Formulas: Nickel and Kiela 2018 (Lorentz model); Guo et al. 2022 (clipping).

    Args:
        curvature: How strongly space is curved, above 0. Near 0 it is Euclidean.
        max_radius: Longest embedding, in distance from the origin; longer ones are clipped.
            `sqrt(curvature) * max_radius` may be at most 20, where float64 ends.

    Raises:
        InvalidInput: A setting is out of its range.

    Example:
        Through the origin, distances add up:

        >>> Hyperbolic(curvature=1.0).pairwise(np.array([[1.0, 0.0]]), np.array([[-2.0, 0.0]]))
        array([[3.]])
    """

    name = "hyperbolic"

    def __init__(self, curvature: float = 0.1, max_radius: float = 4.6) -> None:
        if not 0 < curvature < float("inf"):
            raise InvalidInput(f"curvature must be above 0 and finite, got {curvature}")
        if not 0 < curvature**0.5 * max_radius <= 20:
            raise InvalidInput(
                f"sqrt(curvature) * max_radius must be above 0 and at most 20, got "
                f"{curvature**0.5 * max_radius:g}; lower one of them"
            )
        self.curvature = float(curvature)
        self.max_radius = float(max_radius)
        self.upper = 2 * self.max_radius
        self._scale = self.curvature**0.5

    @property
    def settings(self) -> dict[str, Any]:
        """Name, curvature and max_radius."""
        return {"name": self.name, "curvature": self.curvature, "max_radius": self.max_radius}

    def search_keys(self, references: Array) -> Array:
        """Return (space, time), (R, D + 1): the Lorentz inner product as a plain one.

        Exact as float32 up to a radius of about 5; keep them in float64 beyond.
        """
        space, time = self._lorentz(references)
        return _like(_append(space, time), references)

    def search_queries(self, probes: Array) -> Array:
        """Return (space, -time), (Q, D + 1)."""
        space, time = self._lorentz(probes)
        return _like(_append(space, -time), probes)

    def poincare(self, embeddings: Array) -> Array:
        """Return the same points in the Poincare ball, (N, D), for reading and drawing.

        The ball has radius 1 / sqrt(curvature); a point at distance t from the origin lies at
        tanh(sqrt(curvature) t / 2) / sqrt(curvature).

        Example:
            >>> Hyperbolic(curvature=1.0).poincare(np.array([[0.0, 2.0]])).round(4)
            array([[0.    , 0.7616]])
        """
        space, time = self._lorentz(embeddings)
        return _like(space / (1 + self._scale * time)[:, None], embeddings)

    def poincare_paired(self, first: Array, second: Array) -> Array:
        """Return the (N,) distances between points of the Poincare ball, row by row.

        acosh(1 + 2 c |x - y|^2 / ((1 - c |x|^2) (1 - c |y|^2))) / sqrt(c), the same numbers as
        `paired` on the embeddings they came from, but only while float64 can tell the points
        from the rim: decide with `paired`, read with this.
        """
        x, y = _widest(first), _widest(second)
        c = self.curvature
        rim = (1 - c * _squared_norm(x)) * (1 - c * _squared_norm(y))
        return _like(self._from_excess(2 * c * _squared_norm(x - y) / rim), first)

    def _pairwise(self, probes: Array, references: Array) -> Array:
        ps, pt = self._lorentz(probes)
        rs, rt = self._lorentz(references)
        size = pt[:, None] * rt[None, :]
        excess = _mend_cancellation(
            size - ps @ rs.T - 1 / self.curvature,
            size,
            ps,
            rs,
            lambda i, j: self._difference(ps[i], pt[i], rs[j], rt[j]),
        )
        return _like(self._from_excess(self.curvature * excess), probes)

    def _paired(self, first: Array, second: Array) -> Array:
        a, b = self._lorentz(first), self._lorentz(second)
        return _like(self._from_excess(self.curvature * self._difference(*a, *b)), first)

    def _difference(self, ps: Array, pt: Array, rs: Array, rt: Array) -> Array:
        step = ps - rs
        # time - time from the space parts: (|p|^2 - |r|^2) / (pt + rt) loses no digits
        fall = (step * (ps + rs)).sum(-1) / (pt + rt)
        return (_squared_norm(step) - fall * fall) / 2

    def _from_excess(self, excess: Array) -> Array:
        u = excess.clip(min=0)
        return _namespace(u).log1p(u + _safe_root(u * (u + 2))) / self._scale

    def _lorentz(self, embeddings: Array) -> tuple[Array, Array]:
        """Return the (N, D) space parts and the (N,) time parts of the points."""
        xp = _namespace(embeddings)
        v = _widest(embeddings)
        unclipped = _safe_root(_squared_norm(v))
        v = v * (self.max_radius / unclipped.clip(min=self.max_radius))[:, None]
        angle = self._scale * _safe_root(_squared_norm(v))
        is_small = angle < 1e-4
        divisor = xp.where(is_small, xp.ones_like(angle), angle)
        stretch = xp.where(is_small, 1 + angle * angle / 6, xp.sinh(divisor) / divisor)
        space = v * stretch[:, None]
        return space, (_squared_norm(space) + 1 / self.curvature) ** 0.5


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


def _namespace(x: Array) -> Any:
    """Return numpy or torch, whichever `x` belongs to."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def _full_precision(x: Array) -> AbstractContextManager[Any]:
    """Switch torch's automatic mixed precision off; nothing to do for NumPy."""
    if isinstance(x, np.ndarray):
        return nullcontext()
    context: AbstractContextManager[Any] = _namespace(x).autocast(x.device.type, enabled=False)
    return context


def _cast(x: Array, dtype: str) -> Array:
    xp = _namespace(x)
    return x.astype(dtype) if xp is np else x.to(getattr(xp, dtype))


def _at_least_float32(x: Array) -> Array:
    name = str(x.dtype).removeprefix("torch.")
    if name in ("float32", "float64"):
        return x
    return _cast(x, "float32" if name in ("float16", "bfloat16") else "float64")


def _widest(x: Array) -> Array:
    """Raise to float64, or to float32 on a device that has nothing wider."""
    has_float64 = isinstance(x, np.ndarray) or x.device.type != "mps"
    return _cast(x, "float64" if has_float64 else "float32")


def _like(x: Array, template: Array) -> Array:
    return _cast(x, str(_at_least_float32(template).dtype).removeprefix("torch."))


def _constant(x: Array) -> Array:
    """Cut `x` out of the gradient, where the result does not depend on it."""
    return x if isinstance(x, np.ndarray | np.generic) else x.detach()


def _squared_norm(x: Array) -> Array:
    return (x * x).sum(-1)


def _safe_root(squared: Array) -> Array:
    """Return the square root, with gradient 0 instead of infinity at 0."""
    is_zero = squared <= 0
    return (squared * ~is_zero + is_zero) ** 0.5 * ~is_zero


def _unit(x: Array) -> Array:
    """Scale rows to length 1; an all-zero row stays zero and has a finite gradient.

    The first division keeps the squares from over- and underflowing. After it the squared norm
    of a non-zero row is at least 1, so the clip acts on zero rows alone.
    """
    xp = _namespace(x)
    largest = _constant(xp.amax(abs(x), -1)) if x.shape[-1] else _squared_norm(x)
    x = x / (largest + (largest == 0))[..., None]
    return x / (_squared_norm(x).clip(min=0.5) ** 0.5)[..., None]


def _append(x: Array, column: Array) -> Array:
    xp = _namespace(x)
    column = column[:, None]
    return np.concatenate([x, column], 1) if xp is np else xp.cat([x, column], 1)


def _mend_cancellation(
    gram: Array, size: Array, probes: Array, references: Array, exact: Callable[[Array, Array], Array]
) -> Array:
    """Replace the entries of `gram` that lost their digits to cancellation.

    `gram` (Q, R) is a difference of terms as large as `size`; where little is left of them,
    `exact(i, j)` computes the entries (i[k], j[k]) again from the rows themselves.
    """
    xp = _namespace(gram)
    rows, columns = xp.where(_constant(gram) < _CANCELLED * _constant(size))
    step = max(1, _CHUNK_ELEMENTS // max(1, probes.shape[1]))
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        gram[i, j] = exact(i, j)
    return gram
