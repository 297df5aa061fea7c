"""Recognizer: an encoder in front of a gallery. Pictures in, decisions out."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from ilk.artifact import Artifact
from ilk.bound_encoder import BoundEncoder, Progress, Source, as_item
from ilk.embedding import Embedded, EmbeddingCache
from ilk.encoder import Encoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, InvalidInput
from ilk.gallery import Gallery
from ilk.gallery.deciding import not_assessable
from ilk.gallery.enrolling import Guard
from ilk.gallery.settings import Basis
from ilk.items import Items
from ilk.recognizing import enroll_items, identify_items, names_of, refused
from ilk.results import Enrollment, Identification, Verification
from ilk.store import Role
from ilk.thresholds import Threshold
from ilk.unreadable import OnUnreadable

__all__ = ["Recognizer"]

_AT_ONCE = 256
"""Items that are embedded and enrolled in one change."""


@final
class Recognizer:
    """A gallery that takes what its encoder takes: files, pixels, items.

    Example:
        >>> with Recognizer.open("kana.gallery") as recognizer:      # doctest: +SKIP
        ...     recognizer.enroll(ilk.open_source("new characters"))
        ...     print(recognizer.identify(["who is this.png"])[0].label)
    """

    def __init__(
        self, gallery: Gallery, encoder: Encoder, *, num_threads: int | None = None
    ) -> None:
        """Join a gallery and an encoder; `open` and `create` do so for an artifact.

        Raises:
            WrongEncoder: The gallery is bound to another encoder.
        """
        self.gallery = gallery
        self._bound = BoundEncoder(gallery, encoder, num_threads=num_threads)

    @property
    def encoder(self) -> Encoder:
        """What embeds."""
        return self._bound.encoder

    @staticmethod
    def create(
        location: str | Path,
        artifact: Artifact | str | Path,
        *,
        num_threads: int | None = None,
        **options: Any,
    ) -> Recognizer:
        """Make an empty gallery; the options are those of `Gallery.create`."""
        return _opened(Gallery.create(location, artifact, **options), num_threads)

    @staticmethod
    def open(location: str | Path, *, num_threads: int | None = None, **options: Any) -> Recognizer:
        """Open the gallery at a location; the options are those of `Gallery.open`.

        Raises:
            GalleryError: It cannot be opened, or it was made for embeddings from elsewhere.
        """
        return _opened(Gallery.open(location, **options), num_threads)

    @staticmethod
    def of(gallery: Gallery, *, num_threads: int | None = None) -> Recognizer:
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
        return Recognizer(gallery, encoder, num_threads=num_threads)

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
            metadata: Per item.
            keep_crops: Keep a small picture of each in the gallery, for people and for migration.
            expires: As in `Gallery.enroll`.
            role: As in `Gallery.enroll`.
            guard: As in `Gallery.enroll`.
            cache: Of embeddings.
            progress: Called after each part.
            call: What the history and `Gallery.undo_call` know all parts by.

        Returns:
            One `Enrollment` per item, in order, then one per problem that the items came with.

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
                self.gallery, self._bound, named, about, cache, options, keep_crops=keep_crops
            )
            if progress is not None:
                progress(len(answers), len(items))
        return answers + [refused(p.name, label or "", p.reason) for p in items.problems]

    def identify(
        self,
        sources: Iterable[Source],
        *,
        num_candidates: int = 5,
        progress: Progress | None = None,
    ) -> list[Identification]:
        """Answer about each source; one that cannot be read is "not assessable".

        Raises:
            NotCalibrated: The gallery has no threshold.
        """
        answers = identify_items(
            self.gallery,
            self._bound,
            sources,
            num_candidates,
            progress,
            keep=False,
            keep_crops=False,
        )
        return [answer for answer, _ in answers]

    def identify_and_keep(
        self,
        sources: Iterable[Source],
        *,
        num_candidates: int = 5,
        keep_crops: bool = False,
        progress: Progress | None = None,
    ) -> list[tuple[Identification, int | None]]:
        """Answer like `identify`, and keep the unknown probes for a person to name.

        Returns the answer about each, and the id under which it is kept, None if it is not. With
        `keep_crops` a small picture is kept, too.
        """
        return identify_items(
            self.gallery,
            self._bound,
            sources,
            num_candidates,
            progress,
            keep=True,
            keep_crops=keep_crops,
        )

    def identify_set(
        self, sources: Iterable[Source], *, num_candidates: int = 5, name: str = ""
    ) -> Identification:
        """Give one answer about several pictures of one thing; unreadable ones are left out.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """

        def ask(embedded: Embedded) -> Identification:
            if not len(embedded):
                problems = [f"{p.name}: {p.reason}" for p in embedded.items.problems]
                return not_assessable(problems[0] if problems else "the set has no pictures", name)
            return self.gallery.identify_set(
                embedded.embeddings, num_candidates=num_candidates, name=name
            )

        return self._bound.embed(Items(tuple(map(as_item, sources))), ask)

    def verify(
        self, label: str, sources: Iterable[Source], *, target_fmr: float = 0.01
    ) -> list[Verification]:
        """Say for each source whether it is of a class.

        Raises:
            NoSuchClass: The gallery has no such class.
            NotCalibrated: The calibration strangers cannot carry the rate.
        """
        return self._bound.ask(
            [as_item(source) for source in sources],
            lambda embedded: self.gallery.verify(
                label, embedded.embeddings, target_fmr=target_fmr, names=names_of(embedded)
            ),
            lambda item, reason: Verification(
                label=label, is_accepted=False, reason=reason, name=item.name
            ),
        )

    def calibrate(
        self,
        target_fpir: float = 0.01,
        *,
        strangers: Items | None = None,
        basis: Basis | None = None,
        margin: float | None = None,
        on_unreadable: OnUnreadable = "stop",
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
    ) -> Threshold:
        """Choose which share of strangers may get a name; see `Gallery.calibrate`.

        Args:
            target_fpir: The share.
            strangers: Items of classes that are not enrolled, with their labels.
            basis: Whose distances.
            margin: How close a second class makes an answer ambiguous.
            on_unreadable: Whether to stop at strangers that cannot be read, or go on without.
            cache: Of embeddings.
            progress: Called as strangers are embedded.

        Raises:
            NotCalibrated: The basis cannot carry the target; nothing was changed.
            UnreadableItem: A stranger cannot be read.
        """
        if strangers is None:
            return self.gallery.calibrate(target_fpir, basis=basis, margin=margin)

        def ask(embedded: Embedded) -> Threshold:
            return self.gallery.calibrate(
                target_fpir,
                basis=basis,
                strangers=embedded.embeddings,
                groups=[item.label for item in embedded.items.items],
                content_hashes=embedded.hashes,
                margin=margin,
            )

        return self._bound.embed(strangers, ask, cache, progress, on_unreadable)


def _opened(gallery: Gallery, num_threads: int | None) -> Recognizer:
    try:
        return Recognizer.of(gallery, num_threads=num_threads)
    except BaseException:
        gallery.close()
        raise
