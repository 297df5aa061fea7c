"""What a gallery answers: frozen objects with the evidence behind them."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Literal, final

from ilk.detector import Region
from ilk.thresholds import Threshold

__all__ = [
    "Candidate",
    "Decision",
    "Enrollment",
    "Identification",
    "PictureAnswer",
    "Verification",
]

Decision = Literal["identified", "ambiguous", "unknown", "not_assessable"]
"""One class; two too close to choose; none within the threshold; nothing to compare."""


@final
@dataclass(frozen=True)
class Candidate:
    """One class near a probe."""

    label: str
    distance: float
    """Of the class: of its closest template."""
    exemplars: tuple[int, ...]
    """Ids of the exemplars behind that template."""


@final
@dataclass(frozen=True, kw_only=True)
class Identification:
    """The answer about one probe, or about several probes of one thing."""

    decision: Decision
    label: str | None
    """The name, if the decision is "identified"; else None."""
    reason: str
    """The decision in words."""
    candidates: tuple[Candidate, ...] = ()
    """The closest classes, closest first, whatever the decision."""
    threshold: Threshold | None = None
    """What was accepted, and where that comes from; None where nothing was compared."""
    p_value: float | None = None
    """The conformal p-value of "this is a stranger": small speaks against it."""
    name: str = ""
    """What the probe is called: the picture that it is in, with "#2" for the second of several."""
    region: Region | None = None
    """Where in the picture it is; None if that was not looked for, or nothing was found."""
    code: str = ""
    """Why it is not assessable, for machines: "no_face", "too_small", ...; else ""."""

    @property
    def distance(self) -> float | None:
        """Of the closest class."""
        return self.candidates[0].distance if self.candidates else None


@final
@dataclass(frozen=True, kw_only=True)
class PictureAnswer:
    """The answers about all that was found in one picture.

    Each of m probes that were compared may be a stranger with a name at the promised rate, so a
    picture of strangers shows a wrong name m times as often, at most.

    Example:
        >>> from ilk.thresholds import Threshold
        >>> promised = Threshold(value=0.3, distance={"name": "cosine"}, target_fpir=0.01,
        ...     num_trials=500, basis="strangers", gallery_size=20)
        >>> face = Identification(decision="unknown", label=None, reason="", threshold=promised)
        >>> PictureAnswer(name="party.jpg", answers=(face,) * 12).most_false_names
        0.12
    """

    name: str
    answers: tuple[Identification, ...]
    """One per region, in reading order; one that is not assessable if nothing was found."""
    unknown_ids: tuple[int | None, ...] = ()
    """Under which each is kept for a person to name; None if it is not."""

    @property
    def num_compared(self) -> int:
        """How many probes were compared with the gallery."""
        return sum(answer.threshold is not None for answer in self.answers)

    @property
    def most_false_names(self) -> float | None:
        """The most that the chance of any name is, if all in the picture are strangers.

        The sum of the rates (Bonferroni), whatever the probes have in common; None if nothing was
        compared.
        """
        rates = [a.threshold.target_fpir for a in self.answers if a.threshold is not None]
        return min(1.0, fsum(rates)) if rates else None


@final
@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer to "is this probe of that class?"."""

    label: str
    is_accepted: bool
    reason: str
    distance: float | None = None
    """Of the class; None if the probe was not assessable."""
    exemplars: tuple[int, ...] = ()
    threshold: Threshold | None = None
    p_value: float | None = None
    name: str = ""
    region: Region | None = None
    code: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Enrollment:
    """What became of one item that was to be enrolled."""

    name: str
    label: str
    is_enrolled: bool
    exemplar_id: int | None = None
    """Of the new exemplar, or of the one that holds the same bytes already."""
    reason: str = ""
    """Why not, or a warning of the guard."""
    code: str = ""
    """Why the picture cannot be used, for machines: "several_faces", ...; "conflict" if the same
    content is there under another label or in a role that contradicts; else ""."""
