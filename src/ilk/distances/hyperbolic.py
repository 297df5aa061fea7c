"""Hyperbolic: geodesics of the Lorentz model, with the Poincare ball as a view."""

from __future__ import annotations

from typing import Any, final

from ilk.distances.arrays import (
    Array,
    append,
    like,
    mend_cancellation,
    namespace,
    row_length,
    safe_root,
    squared_norm,
    widest,
)
from ilk.distances.distance import Distance
from ilk.errors import InvalidInput

__all__ = ["Hyperbolic"]


_EPS = 2.0**-52
"""The step of float64 at 1: distances are computed in it."""

_NEXT_TO_ORIGIN = 1e-100
"""Products of radii up to which a product of two of them may underflow."""


@final
class Hyperbolic(Distance):
    """The geodesic distance in hyperbolic space of curvature `-curvature`, in [0, 2 max_radius].

    An embedding is a tangent vector at the origin: its direction says where to go, its length
    how far. It is clipped to `max_radius` and carried onto the hyperboloid of the Lorentz model
    by the exponential map

        space(v) = v sinh(s|v|) / (s|v|),   time(v) = cosh(s|v|) / s,   s = sqrt(curvature),

    so the distance from the origin is |v| itself. The distance of two points is

        log1p(u + sqrt(u (u + 2))) / s,   u = curvature (|space step|^2 - (time step)^2) / 2,

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
        if not all(isinstance(value, int | float) for value in (curvature, max_radius)):
            raise InvalidInput(
                f"curvature and max_radius must be numbers, got {curvature!r} and {max_radius!r}"
            )
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
        return like(append(space, time), references)

    def search_queries(self, probes: Array) -> Array:
        """Return (space, -time), (Q, D + 1)."""
        space, time = self._lorentz(probes)
        return like(append(space, -time), probes)

    def poincare(self, embeddings: Array) -> Array:
        """Return the same points in the Poincare ball, (N, D), for reading and drawing.

        The ball has radius 1 / sqrt(curvature); a point at distance t from the origin lies at
        tanh(sqrt(curvature) t / 2) / sqrt(curvature).

        Example:
            >>> Hyperbolic(curvature=1.0).poincare(np.array([[0.0, 2.0]])).round(4)
            array([[0.    , 0.7616]])
        """
        space, time = self._lorentz(embeddings)
        return like(space / (1 + self._scale * time)[:, None], embeddings)

    def poincare_paired(self, first: Array, second: Array) -> Array:
        """Return the (N,) distances between points of the Poincare ball, row by row.

        acosh(1 + 2 c |x - y|^2 / ((1 - c |x|^2) (1 - c |y|^2))) / sqrt(c), the same numbers as
        `paired` on the embeddings they came from, but only while float64 can tell the points
        from the rim: decide with `paired`, read with this.
        """
        x, y = widest(first), widest(second)
        c = self.curvature
        rim = (1 - c * squared_norm(x)) * (1 - c * squared_norm(y))
        return like(self._from_excess(2 * c * squared_norm(x - y) / rim), first)

    def _pairwise(self, probes: Array, references: Array) -> Array:
        ps, pt = self._lorentz(probes)
        rs, rt = self._lorentz(references)
        size = pt[:, None] * rt[None, :]
        excess = mend_cancellation(
            size - ps @ rs.T - 1 / self.curvature,
            size,
            ps,
            rs,
            lambda i, j: self._difference(ps[i], pt[i], rs[j], rt[j]),
        )
        return like(self._from_excess(self.curvature * excess), probes)

    def _paired(self, first: Array, second: Array) -> Array:
        a, b = self._lorentz(first), self._lorentz(second)
        return like(self._from_excess(self.curvature * self._difference(*a, *b)), first)

    def _difference(self, ps: Array, pt: Array, rs: Array, rt: Array) -> Array:
        """Return (cosh(s d) - 1) / curvature of points row by row, as a sum that loses no digits.

        One part is the difference of the radii, the other the angle between the directions. A
        point at the origin has no direction, and one next to it none that squares of it could
        hold: there the difference of the points has the digits, and the gradient. What rounding
        can make of one point at two places of a batch is no difference.
        """
        xp = namespace(ps)
        step = ps - rs
        fall = (step * (ps + rs)).sum(-1) / (pt + rt)  # of the times, from the space parts
        at_origin = (squared_norm(step) - fall * fall) / 2
        p, r = safe_root(squared_norm(ps)), safe_root(squared_norm(rs))
        is_origin = p * r <= _NEXT_TO_ORIGIN
        turn = squared_norm(r[:, None] * ps - p[:, None] * rs) / (2 * (p * r + is_origin))
        turn = xp.where(turn <= 32 * _EPS * _EPS * p * r, 0 * turn, turn)
        of_p, of_r = xp.asinh(self._scale * p), xp.asinh(self._scale * r)
        climb = xp.where(abs(of_p - of_r) <= 8 * _EPS * of_p, 0 * of_p, of_p - of_r)
        rise = xp.sinh(climb / 2)
        return xp.where(is_origin, at_origin, turn + 2 * rise * rise / self.curvature)

    def _from_excess(self, excess: Array) -> Array:
        u = excess.clip(min=0)
        return namespace(u).log1p(u + safe_root(u * (u + 2))) / self._scale

    def _lorentz(self, embeddings: Array) -> tuple[Array, Array]:
        """Return the (N, D) space parts and the (N,) time parts of the points."""
        xp = namespace(embeddings)
        v = widest(embeddings)
        unclipped = row_length(v)
        v = v * (self.max_radius / unclipped.clip(min=self.max_radius))[:, None]
        angle = self._scale * safe_root(squared_norm(v))
        is_small = angle < 1e-4
        divisor = xp.where(is_small, xp.ones_like(angle), angle)
        stretch = xp.where(is_small, 1 + angle * angle / 6, xp.sinh(divisor) / divisor)
        space = v * stretch[:, None]
        return space, (squared_norm(space) + 1 / self.curvature) ** 0.5
