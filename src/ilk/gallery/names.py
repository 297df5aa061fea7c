"""What findings call classes and their gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["FEW", "Names"]

FEW = 3
"""Fewer exemplars than this are few."""


@final
@dataclass(frozen=True)
class Names:
    """What to call classes and their gallery."""

    labels: dict[int, str]
    """By class id."""
    sizes: dict[int, int]
    """Exemplars of each class that has some."""
    location: str

    def larger(self, first: int, second: int) -> tuple[int, int]:
        """Return two class ids, the one with more exemplars (the older of equals) first."""
        key = {c: (-self.sizes.get(c, 0), c) for c in (first, second)}
        return (first, second) if key[first] < key[second] else (second, first)
