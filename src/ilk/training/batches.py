"""Which positions come in which batch: a function of the step, so that a run can go on anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

from ilk.training.sampling import BalancedBatchSampler

__all__ = ["Rounds", "in_order"]


@final
class Rounds:
    """The training batches from the current step to the next validation.

    Each time it is iterated it starts at `current_step()` and ends at the next multiple of
    `validate_every`, or at `num_steps`. The batch of a step is the same wherever a run started.
    """

    def __init__(
        self,
        sampler: BalancedBatchSampler,
        *,
        current_step: Callable[[], int],
        num_steps: int,
        validate_every: int,
    ) -> None:
        self._sampler = sampler
        self._current_step = current_step
        self._num_steps = num_steps
        self._validate_every = validate_every

    def __iter__(self) -> Iterator[list[int]]:
        step = self._current_step()
        end = min(self._num_steps, (step // self._validate_every + 1) * self._validate_every)
        while step < end:
            for batch in self._rest_of_epoch(step):
                yield batch
                step += 1
                if step == end:
                    return

    def _rest_of_epoch(self, step: int) -> Iterator[list[int]]:
        epoch, num_batches_done = divmod(step, len(self._sampler))
        self._sampler.set_epoch(epoch)
        state = self._sampler.state_dict(num_batches_done=num_batches_done)
        self._sampler.load_state_dict(state)
        return iter(self._sampler)


@final
class _InOrder:
    def __init__(self, positions: range, size: int) -> None:
        self._positions = positions
        self._size = size

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self._positions), self._size):
            yield list(self._positions[start : start + self._size])


def in_order(num_items: int, size: int, *, rank: int = 0, world_size: int = 1) -> _InOrder:
    """Return the positions of this process's items in order, in batches of `size` at most.

    Example:
        >>> list(in_order(7, 2, rank=1, world_size=2))
        [[1, 3], [5]]
    """
    return _InOrder(range(rank, num_items, world_size), size)
