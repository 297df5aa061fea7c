"""What is told about tracks: one event each, as data, as a line for people, in a log."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, final

from ilk.documents import document, number
from ilk.watching.decision import TrackDecision
from ilk.watching.tracker import Track
from ilk.words import counted

__all__ = ["Event", "EventLog", "clock", "now"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Event:
    """What became of a track.

    There is one decision per track. It is told when it is made, "decided", if that is before the
    track ends; and with the whole track, "ended".
    """

    kind: Literal["decided", "ended"]
    source: str
    track: Track
    num_assessable: int
    """In how many frames it was good enough to be compared."""
    decision: TrackDecision
    unknown_id: int | None = None
    """Under which the best frame is kept for a person to name; None if it is not."""
    time: str = ""
    """When it was told, ISO 8601 in UTC."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it as the JSON document that docs/json.md describes."""
        answer, best = self.decision.answer, self.decision.best
        threshold = answer.threshold
        return document(
            "watch.event",
            event=self.kind,
            time=self.time,
            source=self.source,
            track=self.track.id,
            first_seconds=round(self.track.first_seconds, 3),
            last_seconds=round(self.track.last_seconds, 3),
            num_frames=self.track.num_frames,
            num_assessable=self.num_assessable,
            decision=answer.decision,
            label=answer.label,
            reason=answer.reason,
            code=answer.code,
            distance=number(answer.distance),
            p_value=number(answer.p_value),
            closest_label=answer.candidates[0].label if answer.candidates else None,
            threshold=None if threshold is None else number(threshold.value),
            target_fpir=None if threshold is None else threshold.target_fpir,
            rule=self.decision.rule,
            rule_reason=self.decision.why,
            num_probes=self.decision.num_probes,
            best_frame=None if best is None else best.number,
            best_seconds=None if best is None else round(best.seconds, 3),
            box=None if best is None else [round(float(v), 1) for v in best.region.box],
            unknown_id=self.unknown_id,
        )

    def line(self) -> str:
        """Return it in a line for people."""
        answer, best = self.decision.answer, self.decision.best
        said = answer.label if answer.label is not None else answer.decision.replace("_", " ")
        if answer.decision == "ambiguous":
            said += ": " + " or ".join(candidate.label for candidate in answer.candidates[:2])
        facts = [answer.reason] if answer.threshold is None else []
        if answer.distance is not None:
            closest = "" if answer.label is not None else f" to {answer.candidates[0].label}"
            facts.append(f"distance {answer.distance:.4f}{closest}")
        if answer.p_value is not None:
            facts.append(f"p {answer.p_value:.3g}")
        facts.append(counted(self.track.num_frames, "frame"))
        if best is not None:
            facts.append(f"best at {clock(best.seconds)}, frame {best.number}")
        if self.unknown_id is not None:
            facts.append(f"kept as {self.unknown_id}")
        until = "..." if self.kind == "decided" else clock(self.track.last_seconds)
        when = f"{clock(self.track.first_seconds)} - {until}".ljust(17)
        return f"{when}  track {self.track.id}: {said} ({'; '.join(facts)})"


@final
class EventLog:
    """A file to which events are added, a JSON object a line, each on the disk before the next.

    Example:
        >>> with EventLog(tmp_path / "events.jsonl") as log:
        ...     log.write({"track": 1})
        >>> (tmp_path / "events.jsonl").read_text().splitlines()
        ['{"track": 1}']
    """

    def __init__(self, path: Path) -> None:
        """Open it, or begin one.

        Raises:
            OSError: It cannot be written.
        """
        self._file = path.open("ab+")
        size = self._file.seek(0, os.SEEK_END)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":  # a line that a power cut left unfinished
                self._file.write(b"\n")

    def write(self, event: dict[str, Any]) -> None:
        """Add one event.

        Raises:
            OSError: It cannot be written.
        """
        line = json.dumps(event, allow_nan=False, ensure_ascii=False)
        # half of a surrogate pair, from a file name that is no UTF-8, becomes JSON's escape of it
        self._file.write(line.encode(errors="backslashreplace") + b"\n")
        self._file.flush()
        if self._file.seekable():
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self._file.close()


def clock(seconds: float) -> str:
    """Return a time of a video as a person reads it.

    Example:
        >>> clock(7.04), clock(3725.25)
        ('0:07.0', '1:02:05.2')
    """
    tenths = math.floor(10 * seconds + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    after = f"{rest // 10:02}.{rest % 10}"
    return f"{hours}:{minutes:02}:{after}" if hours else f"{minutes}:{after}"


def now() -> str:
    """Return the time as events tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
