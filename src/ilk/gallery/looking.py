"""What a gallery holds, how it fares, and the unknown probes that it keeps.

Shapes: Q probes, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ilk.doors import doors
from ilk.gallery import changes, inbox
from ilk.gallery.calibrating import report
from ilk.gallery.calibration_report import CalibrationReport
from ilk.gallery.drift import Drift, drift
from ilk.gallery.enrolling import Guard
from ilk.gallery.facing import Facing, bound
from ilk.gallery.findings import Health
from ilk.gallery.health import examine
from ilk.gallery.reembedding import Progress
from ilk.results import Enrollment, Identification
from ilk.store import ChangeRow, ClassRow, ExemplarRow, UnknownRow

__all__ = ["Looking"]


@doors
class Looking(Facing):
    """Labels, exemplars, history, health, drift, kept unknown probes."""

    def labels(self) -> list[ClassRow]:
        """Return the classes by label."""
        with self.access.reading() as reader:
            return reader.classes()

    def exemplars(self, label: str | None = None) -> list[ExemplarRow]:
        """Return the exemplars of a class, or all, by id.

        Raises:
            NoSuchClass: The gallery has no such class.
        """
        with self.access.reading() as reader:
            if label is None:
                return reader.exemplars()
            return reader.exemplars(changes.class_of(reader, label).id)

    def history(self, *, last: int | None = None) -> list[ChangeRow]:
        """Return the log, or its last rows, by id."""
        with self.access.reading() as reader:
            return reader.changes(last=last)

    def report(self, *, factor: float = 10.0) -> CalibrationReport:
        """Return what the threshold keeps and costs, now and at `factor` times the classes.

        Raises:
            NotCalibrated: There is no threshold.
        """
        return report(self.access, factor)

    def health(
        self,
        *,
        max_exemplars: int = 10_000,
        max_findings: int = 100,
        progress: Progress | None = None,
    ) -> Health:
        """Return what stands out, each finding with the command to type next; see `examine`."""
        return examine(
            self.access,
            max_exemplars=max_exemplars,
            max_findings=max_findings,
            progress=progress,
        )

    def drift(self, *, last: int = 1000) -> Drift:
        """Say whether recent strangers look like those that the gallery was calibrated on.

        Raises:
            NotCalibrated: There is no threshold.
        """
        return drift(self.access, last=last)

    @bound
    def keep_unknown(
        self,
        identifications: Sequence[Identification],
        embeddings: np.ndarray,
        *,
        content_hashes: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        crops: Sequence[bytes | None] | None = None,
    ) -> list[int | None]:
        """Keep the probes that were answered with "unknown" for a person to name.

        Returns:
            The id of each, (Q,); None for those that are not kept: see `inbox.keep_unknown`.

        Raises:
            InvalidInput: The shapes do not fit.
        """
        return inbox.keep_unknown(
            self.access, identifications, embeddings, content_hashes, names, crops
        )

    def unknowns(self) -> list[UnknownRow]:
        """Return the kept unknown probes by id."""
        with self.access.reading() as reader:
            return reader.unknowns()

    def proposals(self) -> list[inbox.Proposal]:
        """Return the kept unknown probes in clusters that may be classes, the largest first.

        Raises:
            NotCalibrated: There is no threshold.
        """
        return inbox.proposals(self.access)

    def name_unknowns(
        self, ids: Iterable[int], label: str, *, guard: Guard = "warn"
    ) -> list[Enrollment]:
        """Enroll kept unknown probes under a label, in one change; answer for each by id.

        Raises:
            InvalidInput: No unknown probe of one of the ids is kept, or the label is none.
        """
        return inbox.name_unknowns(self.access, ids, label, guard)

    def discard_unknowns(self, ids: Iterable[int]) -> int:
        """Let go of kept unknown probes, which `undo` brings back; return the id of the change.

        Raises:
            InvalidInput: No unknown probe of one of the ids is kept.
        """
        return self._change("discard", lambda writer: inbox.discard(writer, ids))
