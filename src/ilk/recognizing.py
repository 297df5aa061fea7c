"""What a recognizer does with items: embed them, ask or enroll, and answer for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from ilk.bound_encoder import BoundEncoder, Progress, Source, as_item
from ilk.crops import crop_of
from ilk.embedding import Embedded, EmbeddingCache
from ilk.gallery import Gallery
from ilk.gallery.deciding import not_assessable
from ilk.items import Item
from ilk.results import Enrollment, Identification

__all__ = ["enroll_items", "identify_items", "names_of", "refused"]


def identify_items(
    gallery: Gallery,
    bound: BoundEncoder,
    sources: Iterable[Source],
    num_candidates: int,
    progress: Progress | None,
    *,
    keep: bool,
    keep_crops: bool,
) -> list[tuple[Identification, int | None]]:
    """Answer about each source, and keep the unknown ones if wanted; return their ids too."""

    def ask(embedded: Embedded) -> Iterable[tuple[Identification, int | None]]:
        answers = gallery.identify(
            embedded.embeddings, num_candidates=num_candidates, names=names_of(embedded)
        )
        if not keep:
            return zip(answers, repeat(None))
        is_kept = [answer.decision == "unknown" and keep_crops for answer in answers]
        pairs = zip(embedded.items.items, is_kept, strict=True)
        kept = gallery.keep_unknown(
            answers,
            embedded.embeddings,
            content_hashes=embedded.hashes,
            crops=[crop_of(item) if wanted else None for item, wanted in pairs],
        )
        return zip(answers, kept, strict=True)

    return bound.ask(
        [as_item(source) for source in sources],
        ask,
        lambda item, reason: (not_assessable(reason, item.name), None),
        progress=progress,
    )


def enroll_items(
    gallery: Gallery,
    bound: BoundEncoder,
    items: Sequence[Item],
    metadata: Sequence[Mapping[str, Any]],
    cache: EmbeddingCache | None,
    options: Mapping[str, Any],
    *,
    keep_crops: bool,
) -> list[Enrollment]:
    """Enroll one part in one change."""
    about = {id(item): given for item, given in zip(items, metadata, strict=True)}

    def enroll(embedded: Embedded) -> Sequence[Enrollment]:
        kept = embedded.items.items
        if not kept:
            return []
        return gallery.enroll(
            [item.label for item in kept],
            embedded.embeddings,
            content_hashes=embedded.hashes,
            names=[item.name for item in kept],
            metadata=[about[id(item)] for item in kept],
            crops=[crop_of(item) for item in kept] if keep_crops else None,
            **options,
        )

    return bound.ask(items, enroll, lambda i, why: refused(i.name, i.label, why), cache=cache)


def names_of(embedded: Embedded) -> list[str]:
    """Return what the embedded items are called."""
    return [item.name for item in embedded.items.items]


def refused(name: str, label: str, reason: str) -> Enrollment:
    """Return the answer about an item that cannot be enrolled."""
    return Enrollment(name=name, label=label, is_enrolled=False, reason=reason)
