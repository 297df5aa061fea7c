"""From a map of features to one row per input.

Shapes: N inputs, F features, H and W height and width of the map.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import final

import torch
from torch import Tensor, nn

from ilk.errors import ConfigError

__all__ = ["POOLINGS", "Pooling"]

POOLINGS = ("avg", "max", "avg+max", "gem")
"""The names that `Pooling` takes."""


@final
class Pooling(nn.Module):
    """Pools (N, F, H, W) to (N, F).

    "avg+max" is the sum of both. "gem" is the generalized mean (mean of x^p)^(1/p) of Radenovic,
    Tolias and Chum (2018), with a learnt p that starts at 3: between the average (p = 1) and the
    maximum (p = inf) of features that are clipped below at 1e-6.

    Raises:
        ConfigError: There is no pooling of that name.

    Example:
        >>> features = torch.tensor([[[[1.0, 3.0]]]])
        >>> [round(Pooling(name)(features).item(), 4) for name in POOLINGS]
        [2.0, 3.0, 5.0, 2.4101]
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in POOLINGS:
            near = get_close_matches(name, POOLINGS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"pooling must be one of {', '.join(POOLINGS)}, got {name!r}{hint}")
        self._name = name
        self.power = nn.Parameter(torch.tensor(3.0)) if name == "gem" else None

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, F)."""
        if self.power is not None:
            # Powers of bfloat16 lose what pooling is about.
            raised = features.float().clamp(min=1e-6) ** self.power
            return raised.mean((2, 3)) ** (1 / self.power)
        if self._name == "avg":
            return features.mean((2, 3))
        if self._name == "max":
            return features.amax((2, 3))
        return features.mean((2, 3)) + features.amax((2, 3))
