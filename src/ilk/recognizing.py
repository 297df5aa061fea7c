"""What a recognizer does with pictures: look, embed, ask or enroll, and answer for each.

Every function takes a `Desk`: the gallery, its encoder and what finds probes in pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar, final

from ilk.bound_encoder import BoundEncoder, Progress
from ilk.crops import crop_of
from ilk.detecting import Choice, Sighting, chosen, sight
from ilk.detector import Detector
from ilk.embedding import Embedded, EmbeddingCache
from ilk.gallery import Gallery
from ilk.gallery.deciding import not_assessable
from ilk.items import Item, Problem
from ilk.results import Enrollment, Identification, PictureAnswer, Verification

__all__ = [
    "Desk",
    "enroll_items",
    "identify_items",
    "identify_pictures",
    "refused",
    "verify_items",
]

_Answer = TypeVar("_Answer")
_AT_ONCE = 64
"""Pictures that are looked at and answered about together: bounds the memory of their crops."""


@final
@dataclass(frozen=True, eq=False)
class Desk:
    """Who works together on a question."""

    gallery: Gallery
    bound: BoundEncoder
    detector: Detector


def identify_pictures(
    desk: Desk,
    pictures: Sequence[Item],
    num_candidates: int,
    choice: Choice,
    progress: Progress | None,
    *,
    keep: bool,
    keep_crops: bool,
) -> list[PictureAnswer]:
    """Answer about each region of each picture, and keep the unknown ones if wanted."""

    def ask(
        items: Sequence[Item], progress: Progress | None = None
    ) -> list[tuple[Identification, int | None]]:
        return identify_items(desk, items, num_candidates, progress, keep=keep, crops=keep_crops)

    def refuse(sighting: Sighting) -> tuple[Identification, int | None]:
        return not_assessable(sighting.reason, sighting.name), None

    if desk.detector.is_whole:
        answered = ask(pictures, progress)
        return [PictureAnswer(name=a.name, answers=(a,), unknown_ids=(k,)) for a, k in answered]
    results = []
    for sightings, pairs in _over_sightings(desk, pictures, choice, ask, refuse, progress):
        answers = tuple(
            replace(answer, region=sighting.region, code=sighting.code or answer.code)
            for sighting, (answer, _) in zip(sightings, pairs, strict=True)
        )
        name = sightings[0].picture.name
        kept = tuple(k for _, k in pairs)
        results.append(PictureAnswer(name=name, answers=answers, unknown_ids=kept))
    return results


def identify_items(
    desk: Desk,
    items: Sequence[Item],
    num_candidates: int,
    progress: Progress | None = None,
    *,
    keep: bool = False,
    crops: bool = False,
) -> list[tuple[Identification, int | None]]:
    """Answer about each item as it is; keep the unknown ones if wanted, and return their ids."""
    gallery = desk.gallery

    def ask(embedded: Embedded) -> Iterable[tuple[Identification, int | None]]:
        answers = gallery.identify(
            embedded.embeddings, num_candidates=num_candidates, names=_names_of(embedded)
        )
        if not keep:
            return zip(answers, repeat(None))
        is_kept = [answer.decision == "unknown" and crops for answer in answers]
        pairs = zip(embedded.items.items, is_kept, strict=True)
        kept = gallery.keep_unknown(
            answers,
            embedded.embeddings,
            content_hashes=embedded.hashes,
            crops=[crop_of(item) if wanted else None for item, wanted in pairs],
        )
        return zip(answers, kept, strict=True)

    def refuse(item: Item, problem: Problem) -> tuple[Identification, int | None]:
        return replace(not_assessable(problem.reason, item.name), code=problem.code), None

    return desk.bound.ask(items, ask, refuse, progress=progress)


def verify_items(
    desk: Desk, label: str, items: Sequence[Item], target_fmr: float, choice: Choice
) -> list[Verification]:
    """Say for each region of each picture whether it is of a class."""

    def ask(items: Sequence[Item]) -> list[Verification]:
        return desk.bound.ask(
            items,
            lambda embedded: desk.gallery.verify(
                label, embedded.embeddings, target_fmr=target_fmr, names=_names_of(embedded)
            ),
            lambda item, problem: Verification(
                label=label,
                is_accepted=False,
                reason=problem.reason,
                name=item.name,
                code=problem.code,
            ),
        )

    def refuse(sighting: Sighting) -> Verification:
        return Verification(
            label=label, is_accepted=False, reason=sighting.reason, name=sighting.name
        )

    if desk.detector.is_whole:
        return ask(items)
    ask([])  # tells of a label that is not there, whether anything is found or not
    return [
        replace(answer, region=sighting.region, code=sighting.code or answer.code)
        for sightings, answers in _over_sightings(desk, items, choice, ask, refuse)
        for sighting, answer in zip(sightings, answers, strict=True)
    ]


def enroll_items(
    desk: Desk,
    items: Sequence[Item],
    metadata: Sequence[Mapping[str, Any]],
    choice: Choice,
    cache: EmbeddingCache | None,
    options: Mapping[str, Any],
    *,
    keep_crops: bool,
) -> list[Enrollment]:
    """Enroll one part in one change; its metadata say which region of a picture each is."""
    given = {id(item): about for item, about in zip(items, metadata, strict=True)}
    if desk.detector.is_whole:
        about = [given[id(item)] for item in items]
        return _enroll_crops(desk, items, about, cache, options, keep_crops=keep_crops)
    looked = [
        sighting
        for sightings in sight(desk.detector, items)
        for sighting in chosen(sightings, choice, noun=desk.detector.noun)
    ]
    found = [s for s in looked if s.crop is not None]
    enrolled = iter(
        _enroll_crops(
            desk,
            [s.crop for s in found if s.crop is not None],
            [{**given[id(s.picture)], **_where(s)} for s in found],
            cache,
            options,
            keep_crops=keep_crops,
        )
    )
    return [
        refused(s.name, s.picture.label, s.reason, s.code) if s.crop is None else next(enrolled)
        for s in looked
    ]


def refused(name: str, label: str, reason: str, code: str = "unreadable") -> Enrollment:
    """Return the answer about an item that cannot be enrolled."""
    return Enrollment(name=name, label=label, is_enrolled=False, reason=reason, code=code)


def _enroll_crops(
    desk: Desk,
    items: Sequence[Item],
    metadata: Sequence[Mapping[str, Any]],
    cache: EmbeddingCache | None,
    options: Mapping[str, Any],
    *,
    keep_crops: bool,
) -> list[Enrollment]:
    about = {id(item): given for item, given in zip(items, metadata, strict=True)}

    def enroll(embedded: Embedded) -> Sequence[Enrollment]:
        kept = embedded.items.items
        if not kept:
            return []
        return desk.gallery.enroll(
            [item.label for item in kept],
            embedded.embeddings,
            content_hashes=embedded.hashes,
            names=[item.name for item in kept],
            metadata=[about[id(item)] for item in kept],
            crops=[crop_of(item) for item in kept] if keep_crops else None,
            **options,
        )

    def refuse(item: Item, problem: Problem) -> Enrollment:
        return refused(item.name, item.label, problem.reason, problem.code)

    return desk.bound.ask(items, enroll, refuse, cache=cache)


def _over_sightings(
    desk: Desk,
    pictures: Sequence[Item],
    choice: Choice,
    ask: Callable[[Sequence[Item]], Sequence[_Answer]],
    refuse: Callable[[Sighting], _Answer],
    progress: Progress | None = None,
) -> Iterable[tuple[tuple[Sighting, ...], list[_Answer]]]:
    """Yield for each picture its sightings that are meant, and an answer about each of them."""
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        looked = [chosen(s, choice, noun=desk.detector.noun) for s in sight(desk.detector, part)]
        crops = [s.crop for sightings in looked for s in sightings if s.crop is not None]
        answers = iter(ask(crops) if crops else [])
        for sightings in looked:
            yield sightings, [refuse(s) if s.crop is None else next(answers) for s in sightings]
        if progress is not None:
            progress(start + len(part), len(pictures))


def _where(sighting: Sighting) -> dict[str, Any]:
    """Return what an exemplar remembers of its place: enough to find it in its file again."""
    region, picture = sighting.region, sighting.picture
    if region is None:
        return {}
    box = [round(float(v), 1) for v in region.box]
    place: dict[str, Any] = {"box": box, "score": round(float(region.score), 3)}
    if picture.box is not None:
        place["asked"] = [float(v) for v in picture.box]
    if isinstance(picture.source, Path):
        with suppress(OSError):  # it was there a moment ago, and is not needed any more
            place["file"] = replace(picture, box=None).content_hash()
    return {"region": place}


def _names_of(embedded: Embedded) -> list[str]:
    return [item.name for item in embedded.items.items]
