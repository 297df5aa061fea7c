"""What a migration does to a gallery, told before it takes effect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ilk.detecting import WHOLE_IMAGE, open_detector
from ilk.errors import GalleryError, IlkError
from ilk.gallery.binding import Binding
from ilk.gallery.reembedding import Lost
from ilk.results import Identification
from ilk.thresholds import Threshold
from ilk.words import counted

__all__ = ["DecisionPair", "MigrationReport", "listed", "notes_on_detectors"]


@final
@dataclass(frozen=True)
class DecisionPair:
    """The answers about one probe, by the old encoder and by the new."""

    name: str
    before: str
    """The label, or the decision where no class is named."""
    after: str

    @staticmethod
    def of(name: str, before: Identification | None, after: Identification | None) -> DecisionPair:
        """Return the pair of two answers about one probe; None without a threshold."""
        return DecisionPair(name, _told(before), _told(after))

    @property
    def is_changed(self) -> bool:
        """Whether the two encoders answer differently."""
        return self.before != self.after


@final
@dataclass(frozen=True, kw_only=True)
class MigrationReport:
    """What changes with the encoder; `is_switched` says whether it took effect."""

    encoder_before: str
    """Fingerprint."""
    encoder_after: str
    generation_before: int
    generation_after: int
    num_classes: int
    num_from_sources: int
    """Exemplars that were embedded from the file that they were enrolled from."""
    num_from_crops: int
    """Exemplars that were embedded from the crop that was kept of them."""
    lost: tuple[Lost, ...]
    """What the new generation is without: exemplars, strangers, unknown probes."""
    num_strangers: int
    """Strangers that calibrate the new generation, of those that the user brought."""
    threshold_before: Threshold | None
    threshold_after: Threshold | None
    not_calibrated: str
    """Why there is no threshold after, or ""."""
    decisions: tuple[DecisionPair, ...]
    """One per probe that was given."""
    notes: tuple[str, ...] = ()
    """What else to know: that the new artifact expects another detector."""
    is_switched: bool = False

    @property
    def changed(self) -> tuple[DecisionPair, ...]:
        """The probes that are answered differently."""
        return tuple(pair for pair in self.decisions if pair.is_changed)

    def lost_of(self, table: str) -> tuple[Lost, ...]:
        """Return the rows of one table that are lost."""
        return tuple(lost for lost in self.lost if lost.table == table)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, fit for JSON."""
        return asdict(self)

    def write(self, path: str | Path) -> None:
        """Write it as JSON.

        Raises:
            GalleryError: The file cannot be written.
        """
        try:
            Path(path).write_text(json.dumps(self.as_dict(), indent=1) + "\n", "utf-8")
        except OSError as error:
            raise GalleryError(f"the report cannot be written to {path} ({error})") from error


def listed(lost: Sequence[Lost], most: int = 3) -> str:
    """Name the first of some lost rows with the reason, for a message."""
    named = [f"{row.told} ({row.reason})" for row in lost[:most]]
    more = len(lost) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")


def notes_on_detectors(before: Binding, after: Binding, num_from_crops: int) -> tuple[str, ...]:
    """Say if the new artifact expects its pictures from another detector, and what that means.

    Args:
        before: Of the generation in use.
        after: Of the new one.
        num_from_crops: How many exemplars come from kept crops.
    """
    if before.artifact is None or after.artifact is None:
        return ()
    former, expected = (_settled(b.artifact.detector) for b in (before, after) if b.artifact)
    if former == expected:
        return ()
    note = (
        f"the new artifact expects its pictures from {_told_detector(expected, former)}, the "
        f"present one from {_told_detector(former, expected)}"
    )
    if num_from_crops and former.get("name") != WHOLE_IMAGE["name"]:
        note += (
            f"; {counted(num_from_crops, 'exemplar')} from kept crops, which were cut out for the "
            "latter, may be farther from their class than they should be: give the folder of their "
            "sources to have them cut out anew"
        )
    return (note,)


def _settled(detector: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return all settings of a detector, those included that are not stated."""
    try:
        return open_detector(detector).settings
    except IlkError:  # it is not on this machine
        return detector


def _told_detector(detector: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return a detector in words, with what it has otherwise than another."""
    name = str(detector.get("name"))
    if name != other.get("name"):
        return name
    differing = {key: value for key, value in detector.items() if value != other.get(key)}
    return f"{name} ({', '.join(f'{key} {value}' for key, value in differing.items())})"


def _told(answer: Identification | None) -> str:
    if answer is None:
        return "not calibrated"
    return answer.label if answer.label is not None else answer.decision
