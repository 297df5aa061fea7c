"""Gallery: enroll, identify, verify, and every change in between.

Shapes: N items, Q probes, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from ilk.artifact import Artifact
from ilk.doors import doors
from ilk.gallery.access import Access, actor_name, create_store
from ilk.gallery.asking import Asking
from ilk.gallery.binding import Binding
from ilk.gallery.bundle import enroll_bundle, export, import_bundle
from ilk.gallery.calibrating import calibrate, settings_for, strangers_of
from ilk.gallery.editing import Editing
from ilk.gallery.enrolling import Candidates, Guard, enroll
from ilk.gallery.erasing import erase_expired
from ilk.gallery.facing import bound
from ilk.gallery.guarding import guard_reasons
from ilk.gallery.location import Location
from ilk.gallery.looking import Looking
from ilk.gallery.settings import Basis, Settings
from ilk.labels import clean_label
from ilk.results import Enrollment
from ilk.store import Role
from ilk.thresholds import Threshold

__all__ = ["Gallery"]


@final
@doors
class Gallery(Asking, Editing, Looking):
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
        access.on_new_day = erase_expired

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
        create_store(generation, binding, settings, actor=actor_name(actor)).close()
        place.use(generation)
        return Gallery(Access(place, actor_name(actor), searcher))

    @staticmethod
    def open(location: str | Path, *, actor: str | None = None, searcher: str = "pq") -> Gallery:
        """Open the gallery at a location.

        Raises:
            ForeignGallery: There is none.
            DamagedGallery: A file of it is broken.
            NewerGallery: It was written by a newer version of ilk.
        """
        return Gallery(Access(Location(location), actor_name(actor), searcher))

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
        import_bundle(bundle, location, artifact, actor=actor_name(actor))
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

    def shortage(self, labels: Iterable[str]) -> str:
        """Say what the calibration would lack once classes are enrolled; "" if nothing.

        Strangers who are enrolled no longer count. Where too few classes of them are left for the
        rate, every answer is refused with `NotCalibrated` until more are brought.
        """
        with self.access.fresh() as state:
            return state.shortage([clean_label(label) for label in labels])

    @bound
    def enroll(
        self,
        labels: str | Sequence[object],
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
            labels: One for all, or one per embedding. Classes that are not there are made. A number
                or a date becomes the text that a person would write.
            embeddings: (N, D) from the gallery's encoder.
            content_hashes: SHA-256 of what was embedded, (N,): the same content is enrolled once.
                None takes the embedding itself for the content.
            names: What reports call each, (N,).
            metadata: Anything that JSON can hold, per item, (N,).
            crops: An encoded picture of what was embedded, for people and for migration, (N,).
            expires: The day from which they may not be kept: they are erased when it comes.
            role: "exemplar"; "not" says what the class is not, "ignore" what no class is: a class
                is ruled out for a probe to which such an example is at most as far.
            guard: What happens to an exemplar closer to another class than to its own, far from
                its own, or of a stranger whom the calibration cannot spare: "warn" says so in the
                result, "refuse" leaves it out, "off" does not look.
            call: Changes of one call or command share it.

        Returns:
            One `Enrollment` per item, in order, with the reason of each refusal.

        Raises:
            InvalidInput: Shapes do not fit, or the one label for all is none.
            GalleryError: The store cannot be written; nothing was enrolled.
        """
        asked = Candidates.of(
            labels,
            embeddings,
            self.access.binding,
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

    @bound
    def calibrate(
        self,
        target_fpir: float = 0.01,
        *,
        basis: Basis | None = None,
        strangers: np.ndarray | None = None,
        groups: Sequence[str] | None = None,
        content_hashes: Sequence[str] | None = None,
        margin: float | None = None,
        confidence: float | None = None,
    ) -> Threshold:
        """Choose which share of strangers may get a name, and on whose distances.

        A stranger is a new class: promised is the rate for a random probe of a random class that is
        not enrolled, and it takes 1 / target - 1 classes of strangers to promise it (2 / target - 1
        where the gallery's own classes stand in for strangers).

        Args:
            target_fpir: The share, above 0 and below 1.
            basis: "cohort", "strangers" or "leave-one-out"; None keeps the present one, or takes
                "strangers" if some are given.
            strangers: (n, D) embeddings of things that are not enrolled, kept for as long as the
                gallery is calibrated on them; they replace those of before.
            groups: The class of each stranger, (n,); None, or "" for one, takes each for a class of
                its own, and the same content for the same class.
            content_hashes: SHA-256 of what was embedded, (n,). A stranger no longer counts when its
                class or its content is enrolled.
            margin: As in `create`; None keeps it.
            confidence: None keeps the rate on average over draws of the strangers; otherwise the
                probability, over the draw of independent stranger classes, that it is kept.

        Returns:
            The threshold, with the classes behind it. It follows the gallery from now on.

        Raises:
            NotCalibrated: The basis cannot carry the target; nothing was changed.
        """
        brought = None
        if strangers is not None:
            if groups is not None:  # "" is of none
                groups = [clean_label(group) if group != "" else "" for group in groups]
            brought = strangers_of(self.access, strangers, groups, content_hashes)
        asked = settings_for(
            self.access,
            target_fpir,
            basis,
            margin,
            confidence=confidence,
            has_strangers=brought is not None,
        )
        return calibrate(self.access, asked, brought)
