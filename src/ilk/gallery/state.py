"""All that answers, brought up to date before each answer: search, labels, settings, threshold.

A change is followed at the cost of the rows that it touched: they are put into the search, and the
calibration probes are compared with them alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from ilk.calibration import classes_needed
from ilk.errors import DamagedGallery, NotCalibrated, NotEnoughTrials
from ilk.gallery import commands
from ilk.gallery.binding import Binding
from ilk.gallery.calibrator import Calibrator
from ilk.gallery.live import Live, Moved
from ilk.gallery.settings import Settings, num_first
from ilk.gallery.strangers import Probes, probes_of
from ilk.store import Reader, Store
from ilk.templates import Templates
from ilk.thresholds import Threshold
from ilk.words import counted

__all__ = ["State"]

_LOG = logging.getLogger(__name__)

_MOST_NAMED = 20

_CALIBRATION = "calibration_"
"""Prefix of the calibrator's arrays in a snapshot."""

_NOT_CALIBRATED = (
    "the gallery is not calibrated, so nothing can be named; run `ilk gallery calibrate` "
    "(`Gallery.calibrate`) on the artifact's cohort, on strangers of yours, or on the gallery's "
    "own classes"
)

_SAVE_FROM = 1000
"""A snapshot is worth writing when so many rows, and a tenth of all, changed since the last."""


_FEW = 64
"""Up to so many changes and new classes are looked at one by one; beyond, all labels are read."""


@final
class State:
    """What one process knows of a gallery. Not safe for threads: its owner holds a lock."""

    settings: Settings
    live: Live

    def __init__(self, store: Store, binding: Binding, snapshot: Path, searcher: str) -> None:
        self.store, self.binding = store, binding
        self._snapshot, self._searcher = snapshot, searcher
        self.labels: dict[int, str] = {}
        """Of the live classes, by id."""
        self.probes: Probes | None = None
        self.calibrator: Calibrator | None = None
        self.counts = np.zeros(0, bool)
        """(n,): which of the calibration probes still are strangers."""
        self._threshold: Threshold | None = None
        self._version: Any = None
        self._num_unsaved = 0
        with store.reading() as reader:
            try:
                self._start(reader, use_snapshot=True)
            except DamagedGallery:  # a row that is in the snapshot: read all, and leave it out
                self._start(reader, use_snapshot=False)

    @property
    def sequence(self) -> int:
        """Of the last change that is known."""
        return self.live.sequence

    def refresh(self) -> None:
        """Take over what anybody committed since; microseconds if nothing was."""
        version = self.store.version()
        if version != self._version:
            with self.store.reading() as reader:
                try:
                    self._follow(reader)
                except DamagedGallery:  # since it was read
                    self._start(reader, use_snapshot=False)
            self._version = version

    @property
    def threshold(self) -> Threshold:
        """The threshold for the gallery as it is now.

        Raises:
            NotCalibrated: No basis was chosen, or it cannot carry the target.
        """
        if self._threshold is None:
            try:
                self._threshold = self.strangers().threshold(
                    self.settings.target_fpir,
                    gallery_size=self.live.num_classes,
                    fingerprint=self.binding.fingerprint,
                    confidence=self.settings.confidence,
                )
            except NotEnoughTrials as error:
                raise NotCalibrated(
                    f"the basis {self.settings.basis!r} cannot carry the target: {error}"
                ) from error
        return self._threshold

    def strangers(self) -> Calibrator:
        """Return the calibration strangers as the gallery is now.

        Raises:
            NotCalibrated: No basis was chosen.
        """
        if self.calibrator is None:
            raise NotCalibrated(_NOT_CALIBRATED)
        return self.calibrator

    def shortage(self, labels: Iterable[str], content_hashes: Iterable[str] = ()) -> str:
        """Return what is missing once these classes and files are enrolled, "" for nothing.

        Strangers who are enrolled no longer count. It is about what can be answered today.
        """
        probes, wanted = self.probes, self.settings
        if probes is None or wanted.basis == "leave-one-out":
            return ""
        needed = classes_needed(wanted.target_fpir, confidence=wanted.confidence)
        now = probes.num_classes(self.counts)
        left = probes.num_classes(self.counts & probes.counts(labels, set(content_hashes)))
        if left >= needed or now < needed:
            return ""
        return (
            f"it takes strangers out of calibration: of {now:,} classes {left:,} would be left, "
            f"and a rate of {wanted.target_fpir:g} needs {needed:,}; nothing could be answered "
            f"until {needed - left:,} more are brought with `ilk gallery calibrate --strangers`"
        )

    def save(self) -> None:
        """Write a snapshot if enough has changed, or if there is none any more.

        Others may write meanwhile: what they change is followed from here when it is read. If they
        erase, it is not kept, for it could have what was erased.

        Raises:
            GalleryError: The store cannot be written, so nothing is kept beside it.
        """
        num_rows = len(self.live.searcher)
        num_unsaved = self._num_unsaved if self._snapshot.exists() else num_rows
        if num_unsaved < max(_SAVE_FROM, num_rows // 10):
            return
        with self.store.changing("hold") as writer:
            token = writer.token(self.sequence)
        state = self.calibrator.state() if self.calibrator is not None else {}
        arrays = {_CALIBRATION + name: array for name, array in state.items()}
        header = self._expect() | {"basis": self.settings.basis, "token": token}
        if self.live.save(self._snapshot, header, arrays, self._unless_erased):
            self._num_unsaved = 0

    @contextmanager
    def _unless_erased(self) -> Iterator[bool]:
        """Say whether nothing was erased since, while nobody can write."""
        with self.store.changing("hold") as writer:
            yield all(receipt.change_id <= self.sequence for receipt in writer.receipts())

    def _expect(self) -> dict[str, Any]:
        return {
            "uuid": self.store.facts["uuid"],
            "templates": self.settings.templates,
            "fingerprint": self.binding.fingerprint,
        }

    def _start(self, reader: Reader, *, use_snapshot: bool) -> None:
        self.settings = Settings.from_store(reader.settings())
        templates = Templates.parse(self.settings.templates)
        self.live = Live(
            self.binding.distance, self.binding.embedding_size, templates, self._searcher
        )
        arrays = self.live.load(self._snapshot, self._expect(), reader) if use_snapshot else {}
        moved = self.live.follow(reader)
        self._tell_damaged(reader, moved.damaged)
        self._num_unsaved = moved.num_rows
        self.labels = {row.id: row.label for row in reader.classes()}
        self.probes = self.calibrator = None
        known = {k[len(_CALIBRATION) :]: v for k, v in arrays.items() if _CALIBRATION in k}
        self._calibrate(reader, moved, known)

    def _follow(self, reader: Reader) -> None:
        classes_before, since = set(self.live.sizes), self.sequence
        moved = self.live.follow(reader)
        self._tell_damaged(reader, moved.damaged)
        self._num_unsaved += moved.num_rows
        self._threshold = None
        if moved.settings_changed:
            settings = Settings.from_store(reader.settings())
            if settings.templates != self.settings.templates:
                self._start(reader, use_snapshot=False)
                return
            self.settings = settings
            self._name(reader, since)
        for class_id in self.live.sizes.keys() - self.labels.keys():
            row = reader.get_class(class_id)
            self.labels[class_id] = row.label if row is not None else ""
        self._calibrate(reader, moved, {})
        has_new_content = bool(moved.num_rows and self.probes and self.probes.content_hashes)
        if moved.settings_changed or has_new_content or self.live.sizes.keys() != classes_before:
            self._exclude(reader)

    def _tell_damaged(self, reader: Reader, ids: list[int]) -> None:
        rows = reader.exemplars(ids=ids)
        if rows:
            _LOG.warning(
                "%s of the gallery: the embedding is not what was written; left out of every "
                "comparison: %s; take them out and enroll them again: `%s`",
                counted(len(rows), "damaged exemplar"),
                ", ".join(f"{r.id} ({r.name or r.label!r})" for r in rows[:_MOST_NAMED]),
                commands.remove(str(self._snapshot.parent.parent), [row.id for row in rows]),
            )

    def _name(self, reader: Reader, since: int) -> None:
        """Take over labels: those of new classes, if nothing else happened to classes since."""
        new = _new_classes(reader, since)
        if new is None:
            self.labels = {row.id: row.label for row in reader.classes()}
            return
        for class_id in new:
            row = reader.get_class(class_id)
            if row is not None and row.is_live:
                self.labels[class_id] = row.label

    def _calibrate(self, reader: Reader, moved: Moved, known: dict[str, np.ndarray]) -> None:
        """Bring the calibrator up to date: make it, or compare its probes with what moved."""
        basis = self.settings.basis
        self._threshold = None
        if basis is None:
            self.probes = self.calibrator = None
            return
        searcher, members = self.live.searcher, self.live.members
        is_fixed = basis == "cohort" or (basis == "strangers" and not moved.settings_changed)
        if self.calibrator is not None and self.calibrator.basis == basis and is_fixed:
            self.calibrator.follow(searcher, members, moved.dropped, moved.put, moved.embeddings)
            return
        probes = probes_of(basis, self.binding, reader, members)
        if self.calibrator is not None and probes.is_like(self.probes):
            self.probes = probes
            self.calibrator.follow(searcher, members, moved.dropped, moved.put, moved.embeddings)
            return
        before, came_from = self.calibrator, probes.came_from(self.probes)
        self.probes = probes
        self.calibrator = Calibrator(
            probes.embeddings,
            probes.groups,
            basis=basis,
            distance=self.binding.distance,
            own_class=probes.own_class if basis == "leave-one-out" else None,
            num_first=num_first(basis),
        )
        if known and self.calibrator.adopt(known):
            self.calibrator.follow(searcher, members, moved.dropped, moved.put, moved.embeddings)
        elif before is not None and (came_from >= 0).any():
            before.follow(searcher, members, moved.dropped, moved.put, moved.embeddings)
            before.pass_on(self.calibrator, came_from, searcher, members)
        else:
            self.calibrator.recompute(searcher, members)
        self._exclude(reader)

    def _exclude(self, reader: Reader) -> None:
        """Leave out the calibration probes whose class or content is enrolled by now."""
        if self.calibrator is None or self.probes is None:
            return
        content = set(reader.find_content(self.probes.content_hashes))
        labels = [self.labels[class_id] for class_id in self.live.sizes]
        self.counts = self.probes.counts(labels, content)
        self.calibrator.keep(self.counts)
        self._threshold = None


def _new_classes(reader: Reader, since: int) -> list[int] | None:
    """Return the classes that came to life since; None if they are many or more happened."""
    if reader.sequence() - since > _FEW:
        return None
    ids: list[int] = []
    for change in reader.changes(since=since):
        if change.is_erased or change.action == "erase":
            return None
        for effect in change.effects:
            if effect.table == "class":
                if (effect.field, effect.after) != ("is_live", True):
                    return None
                ids += [i for first, last in effect.rows for i in range(first, last + 1)]
        if len(ids) > _FEW:
            return None
    return ids
