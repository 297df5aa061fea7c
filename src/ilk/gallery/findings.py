"""Findings: what stands out in a gallery, in words and with the command that fixes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, final

__all__ = ["KINDS", "Finding", "Health", "Kind"]

Kind = Literal["contradiction", "collision", "outlier", "duplicate", "few", "wolf", "lamb", "goat"]
"""What can stand out; `Health` says what each means."""

KINDS: tuple[Kind, ...] = (
    *("contradiction", "collision", "duplicate", "outlier", "few", "wolf", "lamb", "goat"),
)
"""In the order in which they are told."""


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that stands out."""

    kind: Kind
    labels: tuple[str, ...]
    """The classes that it is about."""
    exemplars: tuple[int, ...] = ()
    """The exemplars that show it."""
    distance: float | None = None
    """Between them; of an outlier, to the closest other exemplar of its class."""
    count: int | None = None
    """How often: see the kind."""
    num_trials: int | None = None
    """Out of how many."""
    reason: str
    """A sentence."""
    command: str
    """What to do: a removal or merge only where it helps exemplars that are left out (see
    `remedies.py`), else what shows the class. Read it before you type it."""


@final
@dataclass(frozen=True, kw_only=True)
class Health:
    """What stands out in a gallery.

    collision: Two classes whose closest exemplars are within the threshold of each other.
    duplicate: Two exemplars that are nearly the same: of one class, one of them adds nothing; of
        two classes, one of them is in the wrong one. Nearly: up to `almost_zero`.
    outlier: An exemplar of a class with at least two others that is far from all of them: more
        than 30 % of the other classes, and at least three, are closer to it; or it is clearly
        farther from its closest other than is usual in its class: at least twice as far, and by
        six robust standard deviations of the logarithm (see `outliers.py`).
    contradiction: An exemplar whose content also is an example of what its class is not, or of what
        is to be ignored.
    few: A class with fewer than three exemplars.
    wolf, lamb, goat: The classes that Doddington et al. (1998) found to make most of the errors.
        Each exemplar is asked about the other classes as if its own were not enrolled, and would
        be given the name of the closest one within the threshold. A wolf is a class whose exemplars
        would be given the names of many others (`count` of them); a lamb is a class whose name many
        others would be given, strangers of the calibration included. Many: at least three, and more
        than chance would give any class once in twenty galleries, if it chose among all classes
        alike. A goat is a class of which at least two exemplars, and at least half (`count` of
        `num_trials`), would not be recognised by the rest of it: nothing of it is within the
        threshold, or another class is closer.
    """

    num_classes: int
    num_exemplars: int
    num_examined: int
    """How many exemplars were asked about the other classes."""
    threshold: float | None
    """None if the gallery is not calibrated; then only some kinds can be found."""
    almost_zero: float
    """Up to this distance two exemplars are nearly the same."""
    findings: tuple[Finding, ...]
    """By kind, the worst of each first; of each kind only so many as were asked for."""
    counts: dict[str, int]
    """How many there are of each kind, those that are not listed included."""
    problems: tuple[str, ...]
    """What is wrong with the store's files."""
    notes: tuple[str, ...]
    """What could not be looked at, and why."""

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """Return the findings of one kind, the worst first."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    @property
    def is_well(self) -> bool:
        """Whether nothing stands out."""
        return not self.problems and not any(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self) | {"is_well": self.is_well}
