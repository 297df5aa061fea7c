"""How learning rates move: linear warm-up, then down a cosine. A function of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

__all__ = ["CosineSchedule"]


@final
@dataclass(frozen=True, kw_only=True)
class CosineSchedule:
    """What share of its peak a learning rate has at each step.

    Example:
        >>> schedule = CosineSchedule(num_steps=100, warm_up=0.1, final=0.0)
        >>> [round(schedule.share(step), 3) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """

    num_steps: int
    """Of the whole run."""
    warm_up: float
    """Share of the steps in which the learning rate rises."""
    final: float
    """Share of the peak that is left at the end."""

    def share(self, step: int, *, start: int = 0) -> float:
        """Return the share of the peak at `step`, counted from 0.

        Args:
            step: At the last step or after it the share is about `final`.
            start: The step at which these parameters begin to move: before it the share is 0, and
                their warm-up begins there. The cosine is that of the whole run.
        """
        if step < start:
            return 0.0
        rise = max(1, round(self.warm_up * self.num_steps))
        if step < start + rise:
            return (step - start + 1) / rise * self._cosine(step, rise)
        return self._cosine(step, rise)

    def _cosine(self, step: int, rise: int) -> float:
        progress = min(1.0, max(0.0, (step - rise) / max(1, self.num_steps - rise)))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
