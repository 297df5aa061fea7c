"""Recognizer: an encoder in front of a gallery. Pictures in, decisions out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from ilk.artifact import Artifact
from ilk.crops import crop_of
from ilk.embedding import Embedded, EmbeddingCache, embed_items
from ilk.encoder import Encoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, WrongEncoder
from ilk.gallery import Gallery
from ilk.gallery.deciding import not_assessable
from ilk.gallery.enrolling import Guard
from ilk.gallery.settings import Basis
from ilk.items import Item, Items
from ilk.results import Enrollment, Identification, Verification
from ilk.store import Role
from ilk.thresholds import Threshold

__all__ = ["Recognizer"]

Progress = Callable[[int, int], None]
Source = Path | str | np.ndarray | Item
"""A file, pixels, or an item with its box."""

_AT_ONCE = 256
"""Items that are embedded and enrolled in one change: what a crash can lose is what no call has
returned."""


@final
class Recognizer:
    """A gallery that takes what its encoder takes: files, pixels, items.

    Example:
        >>> with Recognizer.open("kana.gallery") as recognizer:      # doctest: +SKIP
        ...     recognizer.enroll(ilk.open_source("new characters"))
        ...     print(recognizer.identify(["who is this.png"])[0].label)
    """

    def __init__(self, gallery: Gallery, encoder: Encoder) -> None:
        """Join a gallery and an encoder; `open` and `create` do so for an artifact.

        Raises:
            WrongEncoder: The gallery is bound to another encoder.
        """
        if encoder.fingerprint != gallery.binding.encoder_fingerprint:
            raise WrongEncoder(
                f"the gallery is bound to encoder "
                f"{gallery.binding.encoder_fingerprint[:12]}..., got "
                f"{encoder.fingerprint[:12]}...; use the gallery's own artifact, or move "
                "the gallery with `ilk gallery migrate`"
            )
        self.gallery, self.encoder = gallery, encoder

    @staticmethod
    def create(
        location: str | Path,
        artifact: Artifact | str | Path,
        *,
        num_threads: int | None = None,
        **options: Any,
    ) -> Recognizer:
        """Make an empty gallery; the options are those of `Gallery.create`."""
        return _with_encoder(Gallery.create(location, artifact, **options), num_threads)

    @staticmethod
    def open(location: str | Path, *, num_threads: int | None = None, **options: Any) -> Recognizer:
        """Open the gallery at a location; the options are those of `Gallery.open`.

        Raises:
            GalleryError: It cannot be opened, or it was made for embeddings from elsewhere.
        """
        return _with_encoder(Gallery.open(location, **options), num_threads)

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
        self.close()

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
    ) -> list[Enrollment]:
        """Enroll items under their labels; each succeeds or fails by itself.

        Args:
            items: What to enroll, such as `open_source` gives. Items that could not be read are
                answered for too.
            label: Instead of the labels of the items.
            metadata: Per item.
            keep_crops: Keep a small picture of each in the gallery, for people and for migration.
            expires: The day from which they may not be kept.
            role: As in `Gallery.enroll`.
            guard: As in `Gallery.enroll`.
            cache: Of embeddings.
            progress: Called with (items done, items in all).

        Returns:
            One `Enrollment` per item, in order, then one per problem that the items came with.
        """
        call = secrets.token_hex(8)
        answers: list[Enrollment] = []
        for start in range(0, len(items), _AT_ONCE):
            at = range(start, min(start + _AT_ONCE, len(items)))
            part = items.take(at).items
            named = [item if label is None else replace(item, label=label) for item in part]
            embedded = self._embed(named, cache)
            kept = embedded.items.items
            position = {id(item): i for i, item in zip(at, named, strict=True)}
            enrolled = self.gallery.enroll(
                [item.label for item in kept],
                embedded.embeddings,
                content_hashes=embedded.hashes,
                names=[item.name for item in kept],
                metadata=metadata and [metadata[position[id(item)]] for item in kept],
                crops=[crop_of(item) for item in kept] if keep_crops else None,
                expires=expires,
                role=role,
                guard=guard,
                call=call,
            )
            answered = {id(item): answer for item, answer in zip(kept, enrolled, strict=True)}
            reasons = {problem.name: problem.reason for problem in embedded.items.problems}
            answers += [
                answered.get(id(i)) or _refused(i.name, i.label, reasons.get(i.name, ""))
                for i in named
            ]
            if progress is not None:
                progress(at.stop, len(items))
        return answers + [_refused(p.name, label or "", p.reason) for p in items.problems]

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
        items = [as_item(source) for source in sources]
        return self.answers(items, self._embed(items, None, progress), num_candidates)

    def identify_set(
        self, sources: Iterable[Source], *, num_candidates: int = 5, name: str = ""
    ) -> Identification:
        """Give one answer about several pictures of one thing.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """
        embedded = self._embed([as_item(source) for source in sources], None)
        if not len(embedded):
            reasons = [problem.reason for problem in embedded.items.problems]
            return not_assessable(reasons[0] if reasons else "the set is empty", name)
        return self.gallery.identify_set(
            embedded.embeddings, num_candidates=num_candidates, name=name
        )

    def verify(
        self, label: str, sources: Iterable[Source], *, target_fmr: float = 0.01
    ) -> list[Verification]:
        """Say for each source whether it is of a class.

        Raises:
            NoSuchClass: The gallery has no such class.
            NotCalibrated: The calibration strangers cannot carry the rate.
        """
        items = [as_item(source) for source in sources]
        embedded = self._embed(items, None)
        kept = embedded.items.items
        answers = self.gallery.verify(
            label, embedded.embeddings, target_fmr=target_fmr, names=[item.name for item in kept]
        )
        answered = {id(item): answer for item, answer in zip(kept, answers, strict=True)}
        reasons = {problem.name: problem.reason for problem in embedded.items.problems}
        return [
            answered.get(id(item))
            or Verification(
                label=label, is_accepted=False, reason=reasons.get(item.name, ""), name=item.name
            )
            for item in items
        ]

    def calibrate(
        self,
        target_fpir: float = 0.01,
        *,
        strangers: Items | None = None,
        basis: Basis | None = None,
        margin: float | None = None,
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
    ) -> Threshold:
        """Choose which share of strangers may get a name; see `Gallery.calibrate`.

        Args:
            target_fpir: The share.
            strangers: Items of classes that are not enrolled, with their labels.
            basis: Whose distances.
            margin: How close a second class makes an answer ambiguous.
            cache: Of embeddings.
            progress: Called with (items done, items in all).
        """
        if strangers is None:
            return self.gallery.calibrate(target_fpir, basis=basis, margin=margin)
        embedded = self._embed(strangers.items, cache, progress)
        return self.gallery.calibrate(
            target_fpir,
            basis=basis,
            strangers=embedded.embeddings,
            groups=[item.label for item in embedded.items.items],
            content_hashes=embedded.hashes,
            margin=margin,
        )

    def answers(
        self, items: Sequence[Item], embedded: Embedded, num_candidates: int
    ) -> list[Identification]:
        """Answer about items, those that could not be embedded included."""
        kept = embedded.items.items
        answers = self.gallery.identify(
            embedded.embeddings, num_candidates=num_candidates, names=[i.name for i in kept]
        )
        answered = {id(item): answer for item, answer in zip(kept, answers, strict=True)}
        reasons = {problem.name: problem.reason for problem in embedded.items.problems}
        return [
            answered.get(id(item)) or not_assessable(reasons.get(item.name, ""), item.name)
            for item in items
        ]

    def _embed(
        self,
        items: Sequence[Item],
        cache: EmbeddingCache | None,
        progress: Progress | None = None,
    ) -> Embedded:
        return embed_items(
            self.encoder,
            Items(tuple(items)),
            on_unreadable="skip",
            cache=cache,
            progress=progress,
        )


def as_item(source: Source) -> Item:
    """Return a source as an item without a label."""
    if isinstance(source, Item):
        return source
    if isinstance(source, np.ndarray):
        return Item(source, "", "an array")
    return Item(Path(source), "", str(source))


def _with_encoder(gallery: Gallery, num_threads: int | None) -> Recognizer:
    artifact = gallery.binding.artifact
    if artifact is None:
        gallery.close()
        raise GalleryError(
            "the gallery holds embeddings from elsewhere and has no encoder; use ilk.Gallery with "
            "embeddings instead"
        )
    return Recognizer(gallery, open_encoder(artifact, num_threads=num_threads))


def _refused(name: str, label: str, reason: str) -> Enrollment:
    return Enrollment(name=name, label=label, is_enrolled=False, reason=reason)
