"""Margins of an angle: logits that ask an embedding to be closer to its own class than it is.

The angle itself is never computed: the slope of the arc cosine is infinite at 0 and 180 degrees.

Shapes: N items, C classes.
"""

from __future__ import annotations

from torch import Tensor

from ilk.distances import Cosine, Distance
from ilk.distances.arrays import safe_root
from ilk.errors import InvalidInput

__all__ = ["own_distances", "require_cosine", "turned_cosines", "with_own_cosines"]


def require_cosine(distance: Distance, loss: str) -> None:
    """Refuse a distance that is not that of an angle.

    Raises:
        InvalidInput: It is not `Cosine`; the message names the loss.
    """
    if not isinstance(distance, Cosine):
        raise InvalidInput(
            f"the margin of {loss} is an angle, so its distance must be cosine, got "
            f"{distance.name}; use cosine, or another loss such as normalized_softmax"
        )


def own_distances(distances: Tensor, labels: Tensor) -> Tensor:
    """Return the (N,) distances of items to their own class, of (N, C) to all."""
    return distances.gather(1, labels[:, None])[:, 0]


def turned_cosines(distances: Tensor, angles: Tensor) -> Tensor:
    """Return cos(t + angle), t being the angle of each cosine distance; gradients are finite.

    It is cos(t) cos(angle) - sin(t) sin(angle), where sin(t) is the root of d (2 - d), with slope
    0 instead of infinity at its ends. For t + angle outside of 0 to 180 degrees the cosine turns
    back; what counts there is for the caller to say.

    Args:
        distances: (N,), from 0 to 2.
        angles: (N,) or one, in radians.

    Example:
        A right angle and 30 degrees more; the cosine of 120 degrees:

        >>> import torch
        >>> turned_cosines(torch.tensor([1.0]), torch.deg2rad(torch.tensor(30.0)))
        tensor([-0.5000])
    """
    sines = safe_root(distances * (2 - distances))
    return (1 - distances) * angles.cos() - sines * angles.sin()


def with_own_cosines(distances: Tensor, labels: Tensor, own: Tensor) -> Tensor:
    """Return the (N, C) cosines behind `distances`, those of items to their own class replaced.

    Args:
        distances: (N, C) cosine distances.
        labels: (N,).
        own: (N,), what stands for the cosine between each item and its own class.
    """
    return (1 - distances).scatter(1, labels[:, None], own[:, None].to(distances.dtype))
