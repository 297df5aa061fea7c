"""An encoder kept to the gallery that it embeds for: never the embeddings of one to another's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, final

import numpy as np

from ilk.detecting import Sighting, chosen, sight
from ilk.detector import Detector, overlap
from ilk.embedding import Embedded, EmbeddingCache, embed_items
from ilk.encoder import Encoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import UnreadableItem, WrongEncoder
from ilk.gallery import Gallery
from ilk.images import Box, read_image
from ilk.items import Item, Items, Problem
from ilk.unreadable import OnUnreadable

__all__ = ["BoundEncoder", "Progress", "Source", "as_item", "embed_contents"]

_Answer = TypeVar("_Answer")
_Result = TypeVar("_Result")
Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""

Source = Path | str | np.ndarray | Item
"""A file, pixels, or an item with its box."""

_SAME = 0.5
"""The overlap from which a region is the one that a box means."""


@final
class BoundEncoder:
    """The encoder of a gallery, which changes when somebody migrates that."""

    def __init__(
        self, gallery: Gallery, encoder: Encoder, *, num_threads: int | None = None
    ) -> None:
        """Join them.

        Raises:
            WrongEncoder: The gallery is bound to another encoder.
        """
        self.encoder = encoder
        self._gallery, self._num_threads = gallery, num_threads
        with gallery.access.only_for(encoder.fingerprint):
            pass

    def ask(
        self,
        items: Sequence[Item],
        work: Callable[[Embedded], Iterable[_Answer]],
        refuse: Callable[[Item, Problem], _Answer],
        *,
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
    ) -> list[_Answer]:
        """Return an answer per item, in order: of `work`, or of `refuse` if it cannot be read."""

        def ask(embedded: Embedded) -> list[_Answer]:
            answers, problems = iter(work(embedded)), iter(embedded.items.problems)
            kept = deque(embedded.items.items)
            result = []
            for item in items:
                if kept and kept[0] is item:
                    kept.popleft()
                    result.append(next(answers))
                else:
                    result.append(refuse(item, next(problems)))
            return result

        return self.embed(Items(tuple(items)), ask, cache, progress)

    def embed(
        self,
        items: Items,
        work: Callable[[Embedded], _Result],
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
        on_unreadable: OnUnreadable = "skip",
    ) -> _Result:
        """Do `work` on embeddings by the encoder that the gallery is bound to at that time.

        A migration may have given it another one since the last call.
        """
        while True:
            encoder = self.encoder
            embedded = embed_items(
                encoder, items, on_unreadable=on_unreadable, cache=cache, progress=progress
            )
            try:
                with self._gallery.access.only_for(encoder.fingerprint):
                    return work(embedded)
            except WrongEncoder:
                binding = self._gallery.binding
                if binding.artifact is None or binding.encoder_fingerprint == encoder.fingerprint:
                    raise
                self.encoder = open_encoder(binding.artifact, num_threads=self._num_threads)


def embed_contents(
    encoder: Encoder,
    contents: Sequence[bytes | Path | Item],
    *,
    detector: Detector | None = None,
    is_cut: bool = True,
) -> list[np.ndarray | str]:
    """Return the (D,) embedding of each content, or why there is none.

    Args:
        encoder: What embeds.
        contents: Encoded pictures, files, or items whose box says which part counts.
        detector: What finds in files the one probe that each is of; None takes all of a file.
        is_cut: Whether encoded pictures were cut out by a detector already.
    """
    items: dict[int, Item] = {}
    reasons: dict[int, str] = {}
    for i, content in enumerate(contents):
        try:
            source = read_image(content) if isinstance(content, bytes) else content
        except UnreadableItem as error:
            reasons[i] = str(error)
            continue
        item = source if isinstance(source, Item) else Item(source, "", "")
        items[i] = replace(item, name=str(i))
    if detector is not None and not detector.is_whole:
        looked = [i for i in items if not (is_cut and isinstance(contents[i], bytes))]
        for i, one in zip(looked, _cut(detector, [items[i] for i in looked]), strict=True):
            if one.crop is not None:
                items[i] = one.crop
            else:
                del items[i]
                reasons[i] = one.reason
    embedded = embed_items(encoder, Items(tuple(items.values())), on_unreadable="skip")
    reasons |= {int(problem.name): problem.reason for problem in embedded.items.problems}
    rows = {int(item.name): row for item, row in _rows(embedded)}
    return [rows[i] if i in rows else reasons[i] for i in range(len(contents))]


def _cut(detector: Detector, items: Sequence[Item]) -> Iterator[Sighting]:
    """Yield what is meant in each item: the only region, or the one where its box is.

    What is found without being told where is preferred, for that is how probes are looked at.
    """
    unaided = sight(detector, [replace(item, box=None) for item in items])
    for item, sightings in zip(items, unaided, strict=True):
        if item.box is None:
            (one,) = chosen(sightings, "only", noun=detector.noun)
        else:
            one = max(sightings, key=partial(_overlap, item.box))
            if _overlap(item.box, one) < _SAME:
                (told,) = sight(detector, [item])
                (one,) = chosen(told, "only", noun=detector.noun)
        yield replace(one, crop=replace(one.crop, name=item.name)) if one.crop else one


def _overlap(box: Box, sighting: Sighting) -> float:
    return overlap(box, sighting.region.box) if sighting.region is not None else 0.0


def _rows(embedded: Embedded) -> Iterable[tuple[Item, np.ndarray]]:
    return zip(embedded.items.items, embedded.embeddings, strict=True)


def as_item(source: Source) -> Item:
    """Return a source as an item without a label."""
    if isinstance(source, Item):
        return source
    if isinstance(source, np.ndarray):
        return Item(source, "", "an array")
    return Item(Path(source), "", str(source))
