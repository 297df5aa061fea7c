"""One migration: from an empty draft to the generation in use.

Shapes: Q probes, D and E embedding size before and after.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.closest import closest_classes
from ilk.errors import GalleryError, NotCalibrated
from ilk.gallery.access import Access, copying, open_store
from ilk.gallery.admission import admit, check_shape
from ilk.gallery.binding import Binding
from ilk.gallery.changes import undone_of
from ilk.gallery.deciding import Deciding
from ilk.gallery.generations import draft, publish
from ilk.gallery.location import Generation
from ilk.gallery.migration_report import (
    DecisionPair,
    MigrationReport,
    listed,
    notes_on_detectors,
)
from ilk.gallery.reembedding import Lost, Reembedded
from ilk.gallery.state import State
from ilk.results import Identification
from ilk.store import Store, UnknownRow
from ilk.thresholds import Threshold
from ilk.words import counted

__all__ = ["MIGRATE", "ComparedProbes", "Moving", "is_same", "unchanged"]

MIGRATE = "migrate"
"""The action of the change that a migration ends with."""

_SEARCHER = "exact"


@final
@dataclass(frozen=True, eq=False)
class ComparedProbes:
    """Probes whose answers before and after are compared."""

    names: Sequence[str]
    before: np.ndarray
    """(Q, D) by the old encoder."""
    after: np.ndarray
    """(Q, E) by the new one."""


@final
class Moving:
    """The steps of one migration; the caller sees to their order and to the locks."""

    def __init__(
        self, access: Access, binding: Binding, made: Reembedded, *, allow_missing: bool
    ) -> None:
        self.store = copying(access.store)
        self._access, self._binding, self._made = access, binding, made
        self._allow_missing = allow_missing
        self._before, self._generation = access.binding, access.generation
        self._draft = Generation(0, access.generation.folder)

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """Make a draft for the time of a `with` block; nothing of it is left afterwards."""
        self._draft = draft(self._access.location, self._generation.number + 1)
        try:
            if self._binding.artifact is not None:
                self._binding.artifact.copy_to(self._draft.artifact)
            elif self._binding.cohort is not None:
                self._draft.cohort.write_bytes(self._binding.cohort.to_bytes())
            yield
        finally:
            shutil.rmtree(self._draft.folder, ignore_errors=True)

    def copy(self) -> None:
        """Bring the draft up to date with the store, as far as that was embedded again."""
        facts = dict(self.store.facts) | self._binding.facts
        self.store.copy_to(self._draft.store, facts, self._made.of)

    def report(self, probes: ComparedProbes | None) -> MigrationReport:
        """Compare the draft with the generation in use."""
        names = probes.names if probes else ()
        with self.store.reading() as reader:
            counts, lost = self._made.counts(reader), self._made.lost(reader)
        with self._access.fresh() as state:
            threshold_before, _ = _threshold_of(state)
            before = _answers(state, probes.names, probes.before) if probes else []
            num_classes = state.live.num_classes
        with closing(open_store(self._draft)) as store:
            state = self._state(store)
            threshold_after, why = _threshold_of(state)
            after = _answers(state, probes.names, probes.after) if probes else []
        return MigrationReport(
            encoder_before=self._before.encoder_fingerprint,
            encoder_after=self._binding.encoder_fingerprint,
            generation_before=self._generation.number,
            generation_after=self._draft.number,
            num_classes=num_classes,
            num_from_sources=counts["exemplar", "source"],
            num_from_crops=counts["exemplar", "crop"],
            lost=tuple(lost),
            num_strangers=counts["stranger", "source"],
            threshold_before=threshold_before,
            threshold_after=threshold_after,
            not_calibrated=why,
            decisions=tuple(map(DecisionPair.of, names, before, after)),
            notes=notes_on_detectors(self._before, self._binding, counts["exemplar", "crop"]),
        )

    def require_kept(self, report: MigrationReport) -> None:
        """Refuse to lose exemplars or the threshold, unless the user agreed.

        That whose enrollment was undone stays behind without that: it is told as lost, and no undo
        brings it back.

        Raises:
            GalleryError: They would be lost.
        """
        lost = self._missed(report.lost)
        if self._allow_missing:
            return
        if lost:
            raise GalleryError(
                f"{counted(len(lost), 'exemplar')} cannot be embedded again: {listed(lost)}; give "
                "the folder of the sources (--sources), or leave them behind (--allow-missing); "
                "nothing was changed"
            )
        if report.threshold_before is not None and report.threshold_after is None:
            strangers = report.lost_of("stranger")
            which = f": {listed(strangers, 1)}" if strangers else ""
            which = f" ({counted(len(strangers), 'stranger')} lost{which})" if strangers else ""
            raise GalleryError(
                f"the gallery would have no threshold any more: {report.not_calibrated}{which}; "
                "calibrate on another basis first, give the folder of the strangers (--sources), "
                "or leave them behind (--allow-missing); nothing was changed"
            )

    def finish(self, report: MigrationReport) -> None:
        """Put the draft in use. Call it while nobody can write.

        Raises:
            GalleryError: Exemplars that came after the report would be lost.
        """
        lost = self._missed(self._made.lost_since(report.lost))
        if lost and not self._allow_missing:
            raise GalleryError(
                f"{counted(len(lost), 'exemplar')} came during the migration and cannot be "
                f"embedded again: {listed(lost)}; nothing was migrated, try again"
            )
        with closing(open_store(self._draft)) as store:
            with store.reading() as reader:
                distances = self._of_unknowns(store, reader.unknowns())
            with store.changing(MIGRATE, actor=self._access.actor) as writer:
                for row, distance in distances.items():
                    writer.update("unknown", [row], "distance", distance)
                origin = self._before.facts | {"generation": self._generation.number}
                writer.set("migrated_from", origin)
        self._access.location.use(publish(self._access.location, self._draft))

    def _missed(self, lost: Sequence[Lost]) -> list[Lost]:
        """Return the exemplars that somebody will miss: not those whose enrollment was undone."""
        with self.store.reading() as reader:
            log = reader.changes()
        undone = undone_of(log)
        never = {
            row
            for change in log
            for effect in change.effects
            if change.id in undone and (effect.table, effect.after) == ("exemplar", True)
            for first, last in effect.rows
            for row in range(first, last + 1)
        }
        return [
            row for row in lost if row.table == "exemplar" and (row.is_live or row.id not in never)
        ]

    def _of_unknowns(self, store: Store, unknowns: Sequence[UnknownRow]) -> dict[int, float | None]:
        """Return how far kept unknown probes are from their closest class now; None: no class."""
        if not unknowns:
            return {}
        live = self._state(store).live
        rows = np.stack([unknown.embedding for unknown in unknowns])
        found = closest_classes(live.searcher, live.members, rows, 1).distances[:, 0].tolist()
        return {
            unknown.id: distance if math.isfinite(distance) else None
            for unknown, distance in zip(unknowns, found, strict=True)
        }

    def _state(self, store: Store) -> State:
        return State(store, self._binding, self._draft.snapshot, _SEARCHER)


def is_same(before: Binding, after: Binding) -> bool:
    """Whether both are of one artifact: network, preprocessing, distance, cohort and all."""
    if before.artifact is None or after.artifact is None:
        return False
    return before.artifact.manifest.to_bytes() == after.artifact.manifest.to_bytes()


def unchanged(access: Access, state: State) -> MigrationReport:
    """Return the report of a migration that has nothing to do."""
    threshold, why = _threshold_of(state)
    number = access.generation.number
    return MigrationReport(
        encoder_before=access.binding.encoder_fingerprint,
        encoder_after=access.binding.encoder_fingerprint,
        generation_before=number,
        generation_after=number,
        num_classes=state.live.num_classes,
        num_from_sources=0,
        num_from_crops=0,
        lost=(),
        num_strangers=0,
        threshold_before=threshold,
        threshold_after=threshold,
        not_calibrated=why,
        decisions=(),
        notes=("the gallery is under this artifact already, so there is nothing to migrate",),
    )


def _threshold_of(state: State) -> tuple[Threshold | None, str]:
    try:
        return state.threshold, ""
    except NotCalibrated as error:
        return None, str(error)


def _answers(state: State, names: Sequence[str], probes: np.ndarray) -> list[Identification | None]:
    """Answer about probes; None for each where nothing can be named."""
    binding = state.binding
    rows, reasons = admit(check_shape(probes, binding.embedding_size), binding.distance)
    try:
        return [*Deciding(state).identify(rows, reasons, list(names), 1)]
    except NotCalibrated:
        return [None] * len(names)
