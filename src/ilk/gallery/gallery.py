"""Gallery: enroll, identify, verify, and every change in between.

Shapes: N items, Q probes, D embedding size.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, final

import numpy as np

from ilk.artifact import Artifact
from ilk.gallery import changes, inbox
from ilk.gallery.access import Access, create_store
from ilk.gallery.admission import admit, check_shape
from ilk.gallery.binding import Binding
from ilk.gallery.bundle import enroll_bundle, export, import_bundle
from ilk.gallery.calibrating import calibrate, report, settings_for, strangers_of
from ilk.gallery.calibration_report import CalibrationReport
from ilk.gallery.deciding import Deciding
from ilk.gallery.drift import Drift, drift
from ilk.gallery.enrolling import Candidates, Guard, enroll
from ilk.gallery.erasing import erase
from ilk.gallery.findings import Health
from ilk.gallery.guarding import guard_reasons
from ilk.gallery.health import examine
from ilk.gallery.location import Location
from ilk.gallery.settings import Basis, Settings
from ilk.gallery.undoing import undo_call
from ilk.gallery.verifying import verify
from ilk.results import Enrollment, Identification, Verification
from ilk.store import ChangeRow, ClassRow, Erased, ExemplarRow, Role, UnknownRow, Writer
from ilk.thresholds import Threshold

__all__ = ["Gallery"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _bound(
    method: Callable[Concatenate[Gallery, _P], _R],
) -> Callable[Concatenate[Gallery, _P], _R]:
    """Refuse embeddings to a gallery that was moved to another encoder since its last call."""

    @wraps(method)
    def kept(self: Gallery, /, *args: _P.args, **options: _P.kwargs) -> _R:
        with self.access.only_for(self.access.binding.encoder_fingerprint):
            return method(self, *args, **options)

    return kept


@final
class Gallery:
    """The enrolled classes under one encoder, one distance and one promised error rate.

    It takes embeddings; `ilk.Recognizer` takes pictures. When a call returns, what it changed is
    durable; every answer sees every change that anybody's call has returned from. Threads may share
    one gallery, processes may open the same location. When somebody moved it to another encoder,
    the first call that brings embeddings is refused with `WrongEncoder`; from then on, or when
    `binding` was looked at, those of the new encoder are expected.

    Example:
        >>> from ilk.distances import Euclidean
        >>> bound = Binding(distance=Euclidean(), embedding_size=1, encoder_fingerprint="a ruler")
        >>> gallery = Gallery.create(tmp_path / "lengths", bound)
        >>> _ = gallery.enroll(["pea", "pea", "melon"], np.array([[0.7], [0.8], [25.0]]))
        >>> threshold = gallery.calibrate(0.01, strangers=np.linspace(40, 90, 99)[:, None])
        >>> [answer.label for answer in gallery.identify(np.array([[0.75], [70.0]]))]
        ['pea', None]
    """

    def __init__(self, access: Access) -> None:
        """Use `create` or `open`."""
        self.access = access

    @staticmethod
    def create(
        location: str | Path,
        artifact: Artifact | Binding | str | Path,
        *,
        templates: str = "every",
        margin: float = 0.05,
        actor: str | None = None,
        searcher: str = "pq",
    ) -> Gallery:
        """Make an empty gallery for the embeddings of an encoder, calibrated on its cohort.

        Args:
            location: A folder that is not there yet, or is empty.
            artifact: Of the encoder; it is copied into the gallery. Or a `Binding` for embeddings
                from elsewhere.
            templates: What a class is matched by: "every" exemplar, the "mean", or "medoids:k".
            margin: How close the second class must be to make an answer ambiguous, as a share of
                the threshold.
            actor: Who is named in the history; None is the user of this process.
            searcher: A plugin of `ilk.searchers`.

        Raises:
            GalleryError: Something is at the location already.
            ArtifactError: The artifact cannot be loaded.
            InvalidInput: A setting is out of its range.
        """
        binding = Binding.of(artifact)
        has_cohort = binding.cohort is not None and len(binding.cohort) > 0
        basis: Basis | None = "cohort" if has_cohort else None
        settings = Settings(templates=templates, margin=margin, basis=basis)
        place = Location(location)
        generation = place.prepare()
        create_store(generation, binding, settings, actor=_actor(actor)).close()
        place.use(generation)
        return Gallery(Access(place, _actor(actor), searcher))

    @staticmethod
    def open(location: str | Path, *, actor: str | None = None, searcher: str = "pq") -> Gallery:
        """Open the gallery at a location.

        Raises:
            ForeignGallery: There is none.
            DamagedGallery: A file of it is broken.
            NewerGallery: It was written by a newer version of ilk.
        """
        return Gallery(Access(Location(location), _actor(actor), searcher))

    @staticmethod
    def import_(
        bundle: str | Path,
        location: str | Path,
        artifact: Artifact | Binding | str | Path | None = None,
        *,
        actor: str | None = None,
        searcher: str = "pq",
    ) -> Gallery:
        """Make a gallery of a file that `export` wrote; see `ilk.gallery.bundle.import_bundle`."""
        import_bundle(bundle, location, artifact, actor=_actor(actor))
        return Gallery.open(location, actor=actor, searcher=searcher)

    def export(
        self,
        path: str | Path,
        *,
        with_artifact: bool = False,
        with_history: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write all that is enrolled to one file; see `ilk.gallery.bundle.export`."""
        options = {"with_artifact": with_artifact, "with_history": with_history}
        export(self.access, path, overwrite=overwrite, **options)

    def enroll_bundle(self, bundle: str | Path) -> list[Enrollment]:
        """Enroll what is in a file that `export` wrote, made with the same encoder."""
        return enroll_bundle(self.access, bundle)

    def close(self) -> None:
        """Keep the search state for the next opening, if that is worth it, and let go of files."""
        self.access.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.access.close(keep=kind is None or issubclass(kind, Exception))

    @property
    def binding(self) -> Binding:
        """Encoder fingerprint, distance and embedding size that the gallery is bound to."""
        with self.access.fresh():
            return self.access.binding

    @property
    def settings(self) -> Settings:
        """How it decides."""
        with self.access.fresh() as state:
            return state.settings

    @property
    def threshold(self) -> Threshold:
        """The threshold for the gallery as it is now.

        Raises:
            NotCalibrated: There is none.
        """
        with self.access.fresh() as state:
            return state.threshold

    @_bound
    def enroll(
        self,
        labels: str | Sequence[str],
        embeddings: np.ndarray,
        *,
        content_hashes: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        crops: Sequence[bytes | None] | None = None,
        expires: date | None = None,
        role: Role = "exemplar",
        guard: Guard = "warn",
        call: str = "",
    ) -> list[Enrollment]:
        """Enroll examples; each succeeds or fails by itself, all that succeed in one change.

        Args:
            labels: One for all, or one per embedding. Classes that are not there are made.
            embeddings: (N, D) from the gallery's encoder.
            content_hashes: SHA-256 of what was embedded, (N,): the same content is enrolled once.
                None takes the embedding itself for the content.
            names: What reports call each, (N,).
            metadata: Anything that JSON can hold, per item, (N,).
            crops: An encoded picture of what was embedded, for people and for migration, (N,).
            expires: The day from which `erase_expired` takes them out for good.
            role: "exemplar"; "not" says what the class is not, "ignore" what no class is: a class
                is ruled out for a probe to which such an example is at most as far.
            guard: What happens to an exemplar closer to another class than to its own or far from
                its own: "warn" says so in the result, "refuse" leaves it out, "off" does not look.
            call: Changes of one call or command share it.

        Returns:
            One `Enrollment` per item, in order, with the reason of each refusal.

        Raises:
            InvalidInput: Shapes do not fit, or a label is none.
            GalleryError: The store cannot be written; nothing was enrolled.
        """
        asked = Candidates.of(
            labels,
            embeddings,
            self.binding,
            role=role,
            expires=expires,
            names=names,
            content_hashes=content_hashes,
            metadata=metadata,
            crops=crops,
        )
        if guard != "off":
            with self.access.fresh() as state:
                asked = asked.with_guard(guard_reasons(state, asked), guard)
        return self.access.change("enroll", lambda writer: enroll(writer, asked), call=call)

    @_bound
    def identify(
        self, probes: np.ndarray, *, num_candidates: int = 5, names: Sequence[str] | None = None
    ) -> list[Identification]:
        """Name the class of each of the (Q, D) probes, or say why not.

        A class is as far from a probe as its closest template. The closest class is the answer if
        the threshold accepts its distance and no second class is as good as equally close.

        Raises:
            NotCalibrated: There is no threshold.
            InvalidInput: The shape does not fit.
        """
        rows, reasons = self._admit(probes)
        with self.access.fresh() as state:
            called = list(names) if names is not None else [""] * len(rows)
            return Deciding(state).identify(rows, reasons, called, num_candidates)

    @_bound
    def identify_set(
        self, probes: np.ndarray, *, num_candidates: int = 5, name: str = ""
    ) -> Identification:
        """Give one answer about several pictures of one thing, (Q, D).

        Pictures that cannot be assessed are left out. The promised rate holds for the set.

        Raises:
            NotCalibrated: There is no threshold.
            InvalidInput: The shape does not fit.
        """
        rows, reasons = self._admit(probes)
        with self.access.fresh() as state:
            return Deciding(state).identify_set(rows, reasons, name, num_candidates)

    @_bound
    def verify(
        self,
        label: str,
        probes: np.ndarray,
        *,
        target_fmr: float = 0.01,
        names: Sequence[str] | None = None,
    ) -> list[Verification]:
        """Say for each of the (Q, D) probes whether it is of a class.

        At most a share `target_fmr` of strangers is accepted as this class.

        Raises:
            NoSuchClass: The gallery has no such class.
            NotCalibrated: The calibration strangers cannot carry the rate.
        """
        rows, reasons = self._admit(probes)
        with self.access.fresh() as state:
            with state.store.reading() as reader:
                class_id = changes.class_of(reader, label).id
            called = list(names) if names is not None else [""] * len(rows)
            return verify(state, class_id, rows, reasons, called, target_fmr)

    @_bound
    def calibrate(
        self,
        target_fpir: float = 0.01,
        *,
        basis: Basis | None = None,
        strangers: np.ndarray | None = None,
        groups: Sequence[str] | None = None,
        content_hashes: Sequence[str] | None = None,
        margin: float | None = None,
    ) -> Threshold:
        """Choose which share of strangers may get a name, and on whose distances.

        Args:
            target_fpir: The share, above 0 and below 1.
            basis: "cohort", "strangers" or "leave-one-out"; None keeps the present one, or takes
                "strangers" if some are given.
            strangers: (n, D) embeddings of things that are not enrolled, kept for as long as the
                gallery is calibrated on them; they replace those of before.
            groups: The class of each stranger, (n,); None takes each for a class of its own.
            content_hashes: SHA-256 of what was embedded, (n,).
            margin: As in `create`; None keeps it.

        Returns:
            The threshold, with the trials behind it. It follows the gallery from now on.

        Raises:
            NotCalibrated: The basis cannot carry the target; nothing was changed.
        """
        brought = None
        if strangers is not None:
            brought = strangers_of(self.access, strangers, groups, content_hashes)
        has_strangers = brought is not None
        asked = settings_for(self.access, target_fpir, basis, margin, has_strangers=has_strangers)
        return calibrate(self.access, asked, brought)

    def remove(self, label: str) -> int:
        """Take a class out, which `undo` brings back; return the id of the change."""
        return self._change("remove", lambda writer: changes.remove(writer, label))

    def remove_exemplars(self, ids: Iterable[int]) -> int:
        """Take exemplars out, which `undo` brings back; return the id of the change."""
        return self._change("remove", lambda writer: changes.remove_exemplars(writer, ids))

    def rename(self, label: str, new: str) -> int:
        """Give a class a label that no class has; return the id of the change."""
        return self._change("rename", lambda writer: changes.rename(writer, label, new))

    def merge(self, label: str, into: str) -> int:
        """Make the exemplars of one class another's; return the id of the change."""
        return self._change("merge", lambda writer: changes.merge(writer, label, into))

    def split(self, label: str, ids: Sequence[int], new: str) -> int:
        """Make some exemplars of a class a new class; return the id of the change."""
        return self._change("split", lambda writer: changes.split(writer, label, ids, new))

    def reassign(self, ids: Iterable[int], label: str) -> int:
        """Move exemplars to another class; return the id of the change."""
        return self._change("reassign", lambda writer: changes.reassign(writer, ids, label))

    def undo(self, change_id: int | None = None) -> ChangeRow:
        """Turn a change around, by default the last that is not undone; return it.

        Raises:
            UndoConflict: A later change stands in the way.
            GalleryError: There is nothing to undo, or this cannot be undone.
        """

        def turn(writer: Writer) -> ChangeRow:
            chosen = changes.last_undoable(writer).id if change_id is None else change_id
            return changes.undo(writer, chosen)

        return self.access.change("undo", turn)

    def undo_call(self, call: str | None = None) -> list[ChangeRow]:
        """Turn all changes of a call around, by default of the last that is not undone.

        Raises:
            UndoConflict: A later change stands in the way; the message says what was done.
            GalleryError: There is nothing to undo, or one of them cannot be undone.
        """
        return undo_call(self.access, call)

    def report(self, *, factor: float = 10.0) -> CalibrationReport:
        """Return what the threshold keeps and costs, now and at `factor` times the classes.

        Raises:
            NotCalibrated: There is no threshold.
        """
        return report(self.access, factor)

    def erase(self, label: str | None = None, *, exemplars: Iterable[int] = ()) -> Erased:
        """Delete a class, or exemplars, for good, from every file; return a receipt.

        What was erased cannot be enrolled again from the same bytes, and cannot be undone.

        Raises:
            NoSuchClass: The gallery never had such a class.
        """
        return erase(self.access, label, list(exemplars))

    def erase_expired(self, today: date | None = None) -> Erased | None:
        """Erase the exemplars whose retention date has come; None if there are none."""
        day = (today or datetime.now(UTC).date()).isoformat()
        with self.access.reading() as reader:
            rows = reader.exemplars(is_live=None)
        over = [row.id for row in rows if row.expires is not None and row.expires <= day]
        return erase(self.access, None, over) if over else None

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

    def health(self, *, max_exemplars: int = 10_000, max_findings: int = 100) -> Health:
        """Return what stands out, each finding with the command that fixes it; see `examine`."""
        return examine(self.access, max_exemplars=max_exemplars, max_findings=max_findings)

    @_bound
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

    def drift(self, *, last: int = 1000) -> Drift:
        """Say whether recent strangers look like those that the gallery was calibrated on.

        Raises:
            NotCalibrated: There is no threshold.
        """
        return drift(self.access, last=last)

    def _change(self, action: str, work: Callable[[Writer], None]) -> int:
        def numbered(writer: Writer) -> int:
            work(writer)
            return writer.change_id

        return self.access.change(action, numbered)

    def _admit(self, probes: np.ndarray) -> tuple[np.ndarray, list[str]]:
        rows = check_shape(probes, self.binding.embedding_size)
        return admit(rows, self.binding.distance)


def _actor(actor: str | None) -> str:
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name
        return ""
