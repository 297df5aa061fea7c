"""Recognizer: a detector and an encoder in front of a gallery. Pictures in, decisions out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from ilk.artifact import Artifact
from ilk.bound_encoder import BoundEncoder, Progress
from ilk.detecting import Choice, crops_of, open_detector
from ilk.detector import Detector
from ilk.doors import doors
from ilk.embedding import Embedded, EmbeddingCache
from ilk.encoder import Encoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, InvalidInput
from ilk.gallery import Gallery
from ilk.gallery.enrolling import CLOSED, Guard
from ilk.gallery.settings import Basis
from ilk.items import Items, Problem
from ilk.questions import Questions
from ilk.recognizing import Desk, enroll_items, refused
from ilk.results import Enrollment
from ilk.store import Role
from ilk.thresholds import Threshold
from ilk.unreadable import OnUnreadable, stop_or_skip

__all__ = ["Recognizer"]

DetectorLike = Detector | Mapping[str, Any] | str | None
"""A detector, its settings or its name; None is what the gallery's artifact expects."""

_AT_ONCE = 256
"""Items that are embedded and enrolled in one change."""


@final
@doors
class Recognizer(Questions):
    """A gallery that takes what its encoder takes: files, pixels, items.

    Example:
        >>> with Recognizer.open("kana.gallery") as recognizer:      # doctest: +SKIP
        ...     recognizer.enroll(ilk.open_source("new characters"))
        ...     print(recognizer.identify(["who is this.png"])[0].label)
    """

    def __init__(
        self,
        gallery: Gallery,
        encoder: Encoder,
        *,
        detector: DetectorLike = None,
        num_threads: int | None = None,
    ) -> None:
        """Join a gallery and an encoder; `open` and `create` do so for an artifact.

        Args:
            gallery: Where classes are enrolled.
            encoder: What embeds.
            detector: What finds probes in pictures. None is what the gallery's artifact expects,
                and the whole picture where there is none.
            num_threads: Of an encoder that the gallery may be moved to.

        Raises:
            WrongEncoder: The gallery is bound to another encoder.
            MissingExtra: The detector needs packages that are not installed.
        """
        artifact = gallery.binding.artifact
        if detector is None and artifact is not None:
            detector = artifact.detector
        if not isinstance(detector, Detector):
            detector = open_detector(detector)
        super().__init__(
            Desk(gallery, BoundEncoder(gallery, encoder, num_threads=num_threads), detector)
        )

    @staticmethod
    def create(
        location: str | Path,
        artifact: Artifact | str | Path,
        *,
        detector: DetectorLike = None,
        num_threads: int | None = None,
        **options: Any,
    ) -> Recognizer:
        """Make an empty gallery; the options are those of `Gallery.create`.

        The artifact may also be the name of a ready one: "faces".
        """
        from ilk.ready import artifact_path

        if not isinstance(artifact, Artifact):
            artifact = artifact_path(artifact)
        return _opened(Gallery.create(location, artifact, **options), detector, num_threads)

    @staticmethod
    def open(
        location: str | Path,
        *,
        detector: DetectorLike = None,
        num_threads: int | None = None,
        **options: Any,
    ) -> Recognizer:
        """Open the gallery at a location; the options are those of `Gallery.open`.

        Raises:
            GalleryError: It cannot be opened, or it was made for embeddings from elsewhere.
        """
        return _opened(Gallery.open(location, **options), detector, num_threads)

    @staticmethod
    def of(
        gallery: Gallery,
        *,
        detector: DetectorLike = None,
        num_threads: int | None = None,
    ) -> Recognizer:
        """Put its own encoder in front of an open gallery.

        Raises:
            GalleryError: It was made for embeddings from elsewhere.
        """
        artifact = gallery.binding.artifact
        if artifact is None:
            raise GalleryError(
                "the gallery holds embeddings from elsewhere and has no encoder; use ilk.Gallery "
                "with embeddings instead"
            )
        encoder = open_encoder(artifact, num_threads=num_threads)
        return Recognizer(gallery, encoder, detector=detector, num_threads=num_threads)

    def close(self) -> None:
        """Let go of the gallery's files."""
        self.gallery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.gallery.__exit__(kind, error, trace)

    def enroll(
        self,
        items: Items,
        *,
        label: str | None = None,
        choice: Choice = "only",
        metadata: Sequence[Mapping[str, Any]] | None = None,
        keep_crops: bool = False,
        expires: date | None = None,
        role: Role = "exemplar",
        guard: Guard = "warn",
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
        call: str = "",
    ) -> list[Enrollment]:
        """Enroll items under their labels; each succeeds or fails by itself.

        It goes on part by part. What `progress` was told of is durable.

        Args:
            items: What to enroll, such as `open_source` gives.
            label: Instead of the labels of the items.
            choice: What of several regions in a picture: refuse it, take the largest, or all.
            metadata: Per item.
            keep_crops: Keep a small picture of each in the gallery, for people and for migration.
            expires: As in `Gallery.enroll`.
            role: As in `Gallery.enroll`.
            guard: As in `Gallery.enroll`.
            cache: Of embeddings.
            progress: Called after each part.
            call: What the history and `Gallery.undo_call` know all parts by.

        Returns:
            One `Enrollment` per item (per region with "all"), in order, then one per problem that
            the items came with.

        Raises:
            InvalidInput: A label is none, or crops are asked for of what are no pictures.
            GalleryError: The store cannot be written; what earlier parts enrolled stays.
        """
        if keep_crops and self.encoder.preprocess.modality != "image":
            raise InvalidInput("crops are pictures, and this encoder takes arrays; keep none")
        if metadata is not None and len(metadata) != len(items):
            raise InvalidInput(f"expected {len(items)} metadata, one per item, got {len(metadata)}")
        options: dict[str, Any] = {"expires": expires, "role": role, "guard": guard}
        options["call"] = call or secrets.token_hex(8)
        answers: list[Enrollment] = []
        for start in range(0, len(items), _AT_ONCE):
            part = items.items[start : start + _AT_ONCE]
            named = [replace(i, label=i.label if label is None else label) for i in part]
            about = metadata[start : start + _AT_ONCE] if metadata else [{}] * len(part)
            answers += enroll_items(
                self._desk, named, about, choice, cache, options, keep_crops=keep_crops
            )
            if progress is not None:
                progress(start + len(part), len(items))
        return answers + [refused(p.name, label or "", p.reason, p.code) for p in items.problems]

    def calibrate(
        self,
        target_fpir: float = 0.01,
        *,
        strangers: Items | None = None,
        basis: Basis | None = None,
        margin: float | None = None,
        confidence: float | None = None,
        on_unreadable: OnUnreadable = "stop",
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
        skipped: Callable[[Problem], None] | None = None,
    ) -> Threshold:
        """Choose which share of strangers may get a name; see `Gallery.calibrate`.

        Args:
            target_fpir: The share.
            strangers: Items of classes that are not enrolled, with their labels, without which
                each counts as a class of its own; every region of a picture counts.
            basis: Whose distances.
            margin: How close a second class makes an answer ambiguous.
            confidence: With which probability the share is kept; None keeps it on average.
            on_unreadable: Whether to stop at strangers that cannot be read, or skip them.
            cache: Of embeddings.
            progress: Called as strangers are embedded.
            skipped: Called with each stranger that was skipped.

        Raises:
            NotCalibrated: The basis cannot carry the target; nothing was changed.
            UnreadableItem: A stranger cannot be read.
        """
        if strangers is None:
            return self.gallery.calibrate(
                target_fpir, basis=basis, margin=margin, confidence=confidence
            )

        def ask(embedded: Embedded) -> Threshold:
            if skipped is not None:
                for problem in (*embedded.items.problems, *_closed(self.gallery, embedded)):
                    skipped(problem)
            return self.gallery.calibrate(
                target_fpir,
                basis=basis,
                strangers=embedded.embeddings,
                groups=[item.label for item in embedded.items.items],
                content_hashes=embedded.hashes,
                margin=margin,
                confidence=confidence,
            )

        crops = crops_of(self.detector, strangers, "all", progress=progress)
        return self._desk.bound.embed(
            stop_or_skip(crops, on_unreadable), ask, cache, progress, on_unreadable
        )


def _closed(gallery: Gallery, embedded: Embedded) -> list[Problem]:
    """Return the strangers that the gallery will not keep, as their content was erased from it."""
    with gallery.access.reading() as reader:
        closed = reader.suppressed(embedded.hashes)
    pairs = zip(embedded.items.items, embedded.hashes, strict=True)
    return [Problem(item.name, CLOSED) for item, content in pairs if content in closed]


def _opened(gallery: Gallery, detector: DetectorLike, num_threads: int | None) -> Recognizer:
    try:
        return Recognizer.of(gallery, detector=detector, num_threads=num_threads)
    except BaseException:
        gallery.close()
        raise
