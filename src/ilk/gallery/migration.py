"""Migration: the same gallery under another encoder, and the way back.

The next generation is filled while the present one answers and changes. What happened meanwhile is
caught up while nobody can write; then one rename puts it in use. Until then, and after a crash at
any moment, the old generation is in use and whole.

Shapes: Q probes, D and E embedding size before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ilk.artifact import Artifact
from ilk.detector import Detector
from ilk.errors import GalleryError
from ilk.gallery.access import Access, copying, open_store
from ilk.gallery.binding import Binding
from ilk.gallery.forgetting import forget_in_cohorts
from ilk.gallery.generations import alone, drop
from ilk.gallery.location import Location
from ilk.gallery.migration_report import MigrationReport
from ilk.gallery.moving import MIGRATE, ComparedProbes, Moving, is_same, unchanged
from ilk.gallery.reembedding import Embed, Progress, Reembedded
from ilk.gallery.sources import SourceFolder
from ilk.store import Reader

__all__ = ["ComparedProbes", "drop_previous", "migrate", "rollback"]

_ROUNDS = 5
"""How often what came meanwhile is embedded before everybody has to wait for the rest."""


def migrate(
    access: Access,
    artifact: Artifact | Binding | str | Path,
    embed: Embed,
    *,
    sources: str | Path | None = None,
    detector: Detector | None = None,
    probes: ComparedProbes | None = None,
    allow_missing: bool = False,
    switch: bool = True,
    confirm: Callable[[MigrationReport], bool] | None = None,
    progress: Progress | None = None,
) -> MigrationReport:
    """Move a gallery to another encoder and report what that changes.

    Ids, labels, metadata, history and undo go on; `rollback` leads back. What the new encoder
    cannot embed again stays behind. If the gallery is under this artifact already, nothing is done.

    Args:
        access: Of the gallery.
        artifact: Of the new encoder.
        embed: The new encoder.
        sources: The folder that the exemplars' names are relative to; a file counts if its bytes
            are those that were enrolled, or if what was enrolled is cut out of it. None: only kept
            crops.
        detector: What cut out what is enrolled; None if files were taken as they are.
        probes: Whose answers before and after to compare.
        allow_missing: Go on without the exemplars that have neither source nor crop.
        switch: Whether to put the new generation in use; if not, nothing but the report is left.
        confirm: Called with the report before the switch; False keeps the old generation.
        progress: Called with (rows done, rows in all).

    Raises:
        GalleryError: Exemplars would be lost, or the threshold, and `allow_missing` is not set; or
            another migration is running. Nothing was changed.
        ArtifactError: The artifact cannot be loaded.
    """
    binding = Binding.of(artifact)
    with access.fresh() as state:
        if is_same(access.binding, binding):
            return unchanged(access, state)
    folder = SourceFolder(sources, detector) if sources is not None else None
    with alone(access.location):
        with access.fresh():
            made = Reembedded(access.store, binding, embed, folder)
            moving = Moving(access, binding, made, allow_missing=allow_missing)
        with moving.drafting():
            for _ in range(_ROUNDS):
                if not made.follow(progress):
                    break
            moving.copy()
            report = moving.report(probes)
            if not switch:
                return report
            moving.require_kept(report)
            if confirm is not None and not confirm(report):
                return report
            with access.held():
                made.follow()
                moving.copy()
                moving.finish(report)
        forget_in_cohorts(access)
        return replace(report, is_switched=True)


def rollback(location: str | Path, *, discard: bool = False) -> int:
    """Put the generation before the last migration back in use; return its number.

    The generation that was in use is deleted. What was erased in it stays erased and closed.

    Args:
        location: Of the gallery.
        discard: Give up what was changed since the migration.

    Raises:
        GalleryError: There is no earlier generation, or it would lose changes; nothing was changed.
    """
    place = Location(location)
    with alone(place):
        current = place.current()
        earlier = [g for g in place.generations() if g.number < current.number]
        if not earlier:
            raise GalleryError(
                f"{location} has no earlier generation to go back to; it was never migrated, or "
                "the earlier ones were dropped"
            )
        with closing(open_store(current)) as store, store.changing("hold") as writer:
            if not discard:
                _require_unchanged(writer)
            with closing(open_store(earlier[-1])) as previous:
                copying(previous).adopt_suppressed(current.store)
            place.use(earlier[-1])
        drop(current)
    return earlier[-1].number


def drop_previous(location: str | Path) -> list[int]:
    """Delete the generations that are not in use; return their numbers.

    Raises:
        GalleryError: One cannot be deleted, or a migration is running.
    """
    place = Location(location)
    with alone(place):
        current = place.current()
        dropped = [g for g in place.generations() if g.number != current.number]
        for generation in dropped:
            drop(generation)
    return [generation.number for generation in dropped]


def _require_unchanged(reader: Reader) -> None:
    """Refuse if anything but erasures came after the migration: those reached every generation."""
    log = reader.changes()
    moved = max((change.id for change in log if change.action == MIGRATE), default=0)
    since = [c for c in log if c.id > moved and c.action != "erase"]
    if since:
        named = ", ".join(f"{c.id} ({c.action})" for c in since[:5])
        more = f" and {len(since) - 5} more" if len(since) > 5 else ""
        raise GalleryError(
            f"the gallery was changed since it was migrated, by change {named}{more}; going back "
            "loses that: ask to discard it, or stay"
        )
