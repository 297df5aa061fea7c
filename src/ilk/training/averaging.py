"""The moving average of a network's weights, which often generalizes better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from ilk.errors import InvalidInput

__all__ = ["WeightAverage"]


@final
class WeightAverage:
    """An exponential moving average of parameters and of running statistics.

    Batch-norm statistics are averaged like the weights, so that both describe the same network.
    The decay rises as (1 + t) / (10 + t) up to `decay`, so the start is soon forgotten.

    Args:
        network: Whose weights to follow; the average starts at them.
        decay: Share of the average that is kept at each update, above 0 and below 1.

    Raises:
        InvalidInput: The decay is out of its range.

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> _ = network.weight.data.fill_(1.0)
        >>> average = WeightAverage(network, decay=0.5)
        >>> _ = network.weight.data.fill_(3.0)
        >>> average.update(network)  # the first decay is 2 / 11
        >>> with average.swapped_in(network):
        ...     round(network.weight.item(), 4)
        2.6364
        >>> network.weight.item()
        3.0
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        if not 0 < decay < 1:
            raise InvalidInput(f"decay must be above 0 and below 1, got {decay}")
        self._decay = decay
        self._num_updates = 0
        self._values = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's weights."""
        self._num_updates += 1
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        state = network.state_dict()
        floating = [k for k, v in state.items() if v.is_floating_point()]
        torch._foreach_lerp_(
            [self._values[k] for k in floating], [state[k] for k in floating], 1 - decay
        )
        for key in state.keys() - set(floating):
            self._values[key].copy_(state[key])

    @contextmanager
    def swapped_in(self, network: nn.Module) -> Iterator[None]:
        """Give the network the averaged weights for a while."""
        own = {k: v.detach().clone() for k, v in network.state_dict().items()}
        network.load_state_dict(self._values)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def to(self, device: torch.device) -> None:
        """Move the average to where the network is."""
        self._values = {k: v.to(device) for k, v in self._values.items()}

    def state(self) -> dict[str, Tensor]:
        """Return all that `load` needs to go on."""
        return {**self._values, "num_updates": torch.tensor(self._num_updates)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        values = dict(state)
        self._num_updates = int(values.pop("num_updates"))
        self._values = {k: v.to(self._values[k].device) for k, v in values.items()}
