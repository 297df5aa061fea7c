"""From pictures to what is in them: look, choose, cut out.

A sighting is one region of one picture, or the word that there is none. What is cut out becomes an
item of its own, in memory, of which embedding and enrolling know nothing special.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from ilk.detector import Detector, Region
from ilk.errors import InvalidInput, UnreadableItem
from ilk.images import read_image
from ilk.items import Item, Items, Problem
from ilk.plugins import load
from ilk.words import plural_of

__all__ = ["WHOLE_IMAGE", "Choice", "Sighting", "chosen", "crops_of", "open_detector", "sight"]

Choice = Literal["only", "largest", "all"]
"""Of several regions: refuse the picture, take the one with the largest box, or take each."""

WHOLE_IMAGE: Mapping[str, Any] = {"name": "whole_image"}
"""The settings of the detector that takes every picture as it is."""

_AT_ONCE = 64
"""Pictures that are looked at before any is handed on: bounds the memory."""


@final
@dataclass(frozen=True, eq=False)
class Sighting:
    """One region of a picture, or why there is none."""

    picture: Item
    name: str
    """Of the picture; with "#2" for the second of several regions."""
    region: Region | None
    crop: Item | None
    """What to embed: the pixels that the encoder is to see; None if it is not assessable."""
    code: str = ""
    """Why not, for machines: "no_face", "too_small", "unreadable"; "" if there is a crop."""
    reason: str = ""
    """Why not, in words."""


def open_detector(settings: Mapping[str, Any] | str | None = None) -> Detector:
    """Return the detector of these settings: its name, or `name` and options.

    Raises:
        PluginError: No detector has that name.
        MissingExtra: It needs packages that are not installed.
        InvalidInput: An option is unknown or out of its range.

    Example:
        >>> open_detector().is_whole, open_detector("boxes").is_whole
        (True, False)
    """
    given = {"name": settings} if isinstance(settings, str) else dict(settings or WHOLE_IMAGE)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise InvalidInput(f"expected the settings of a detector with its name, got {settings!r}")
    make = load("detectors", name)
    try:
        return make(**given)
    except TypeError as error:
        raise InvalidInput(
            f"detector {name!r} got an option that it does not have: {error}"
        ) from None


def sight(
    detector: Detector,
    pictures: Sequence[Item],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Sighting, ...]]:
    """Yield for each picture, in order, its sightings: at least one.

    Pictures are read and looked at by threads, some ahead; a single one in this thread.

    Args:
        detector: What looks.
        pictures: Files or pixels; the box of one says where to look in it.
        progress: Called with (pictures done, pictures in all).
    """
    if len(pictures) == 1:  # not worth a thread
        yield _look(detector, pictures[0])
        if progress is not None:
            progress(1, 1)
        return
    pool = ThreadPoolExecutor(os.cpu_count() or 1, "ilk-detect")
    try:
        for start in range(0, len(pictures), _AT_ONCE):
            part = pictures[start : start + _AT_ONCE]
            for done, found in enumerate(pool.map(lambda item: _look(detector, item), part), 1):
                yield found
                if progress is not None:
                    progress(start + done, len(pictures))
    finally:
        pool.shutdown(cancel_futures=True)


def chosen(
    sightings: Sequence[Sighting], choice: Choice, *, noun: str = "region"
) -> tuple[Sighting, ...]:
    """Return the sightings of one picture that are meant.

    With "only" a picture of several regions has one sighting without a crop: which of them is meant
    is for a person to say. What is too small to be compared (somebody far behind, a pattern taken
    for a face) is not meant and does not count, where there is anything larger.
    """
    regions = [s for s in sightings if s.region is not None]
    if choice == "all" or len(regions) < 2:
        return tuple(sightings)
    if choice == "only":
        regions = [s for s in regions if s.code != "too_small"] or regions
        if len(regions) == 1:
            return (regions[0],)
    if choice == "largest":
        return (max(regions, key=lambda s: s.region.area if s.region is not None else 0.0),)
    reason = (
        f"the picture shows {len(regions)} {plural_of(noun)}, and nothing says which is meant: "
        f"give a picture of one, a table with the box of the {noun}, or use --largest"
    )
    picture = sightings[0].picture
    return (Sighting(picture, picture.name, None, None, f"several_{noun}s", reason),)


def crops_of(
    detector: Detector,
    items: Items,
    choice: Choice = "only",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Items:
    """Return what is cut out of items, in order; what cannot be is added to the problems.

    Items of a detector that takes whole pictures come back as they are.
    """
    if detector.is_whole:
        return items
    crops: list[Item] = []
    problems = list(items.problems)
    for sightings in sight(detector, items.items, progress=progress):
        for sighting in chosen(sightings, choice, noun=detector.noun):
            if sighting.crop is not None:
                crops.append(sighting.crop)
            else:
                problems.append(Problem(sighting.picture.name, sighting.reason))
    return replace(items, items=tuple(crops), problems=tuple(problems))


def _look(detector: Detector, item: Item) -> tuple[Sighting, ...]:
    try:
        image = read_image(item.source, name=item.name)
        found = [
            (region, detector.crop(image, region) if region.is_assessable else None)
            for region in detector.detect(image, box=item.box)
        ]
    except UnreadableItem as error:
        reason = str(error).removeprefix(f"{item.name}: ")
        return (Sighting(item, item.name, None, None, "unreadable", reason),)
    if not found:
        where = "where the box says" if item.box is not None else "in the picture"
        why = f"no {detector.noun} was found {where}"
        return (Sighting(item, item.name, None, None, f"no_{detector.noun}", why),)
    sightings = []
    for number, (region, pixels) in enumerate(found, 1):
        name = item.name if len(found) == 1 else f"{item.name} #{number}"
        crop = None
        if pixels is not None:
            crop = replace(item, source=pixels, name=name, box=None, stated_hash=None)
        sightings.append(Sighting(item, name, region, crop, region.code, region.reason))
    return tuple(sightings)
