"""What a gallery was told to do: settings kept in its store, changed and undone like the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, final, get_args

from ilk.errors import InvalidInput
from ilk.templates import Templates

__all__ = ["Basis", "Settings", "num_first"]

Basis = Literal["cohort", "strangers", "leave-one-out"]
"""Whose distances the threshold is chosen on: the artifact's held-out classes, strangers that the
user brought, or the gallery's own exemplars, each asked about the other classes."""


def num_first(basis: Basis | None) -> int:
    """Return how many classes a promise counts below all distances; see `StrangerDistances`.

    The one that is yet to come; and where enrolled classes stand in for strangers, the one that a
    stranger is closest to: see `Calibrator`.
    """
    return 2 if basis == "leave-one-out" else 1


@final
@dataclass(frozen=True)
class Settings:
    """How a gallery decides."""

    templates: str = "every"
    """What a class is matched by; `Templates.parse` reads it."""
    basis: Basis | None = None
    """None: not calibrated."""
    target_fpir: float = 0.01
    """The share of strangers that may get a name."""
    confidence: float | None = None
    """With which probability over the draw of the strangers it is kept; None: on average."""
    margin: float = 0.05
    """Two classes within the threshold are ambiguous if the second is further than the first by at
    most this share of the threshold."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidInput: A setting is out of its range.
        """
        Templates.parse(self.templates)
        if self.basis is not None and self.basis not in get_args(Basis):
            raise InvalidInput(
                f"basis must be one of {', '.join(get_args(Basis))}, got {self.basis!r}"
            )
        if not 0 < self.target_fpir < 1:
            raise InvalidInput(f"target_fpir must be above 0 and below 1, got {self.target_fpir}")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise InvalidInput(f"confidence must be above 0 and below 1, got {self.confidence}")
        if self.confidence is not None and self.basis == "leave-one-out":
            raise InvalidInput(
                "a confidence needs independent strangers, and enrolled classes that stand in for "
                "them are not; bring strangers, or leave the confidence out"
            )
        if not 0 <= self.margin < float("inf"):
            raise InvalidInput(f"margin must be at least 0 and finite, got {self.margin}")

    @staticmethod
    def from_store(values: Mapping[str, Any]) -> Settings:
        """Read them from a store's settings; those of others are left alone."""
        known = Settings.__dataclass_fields__
        return Settings(**{key: value for key, value in values.items() if key in known})

    def as_dict(self) -> dict[str, Any]:
        """Return them by name, fit for JSON."""
        return asdict(self)
