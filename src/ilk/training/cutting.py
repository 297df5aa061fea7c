"""The first step where a detector is set: from pictures to crops, once, and from the cache after.

Items of other splits, such as "test", are neither read nor looked at.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import final

import numpy as np

from ilk import plugins
from ilk.config import Run
from ilk.crop_cache import CropCache, KeptCrop, Refusal
from ilk.detecting import Sighting, chosen, sight
from ilk.detector import Detector
from ilk.errors import DataError
from ilk.items import Item, Items, Problem
from ilk.preprocess import Size
from ilk.split import takes_part
from ilk.training.construct import construct, with_defaults

__all__ = ["cut_out", "make_detector"]

_AT_ONCE = 256
"""Pictures that are looked up before any is looked at."""
_NUM_NAMED = 5


@final
@dataclass(frozen=True, eq=False)
class _Found:
    """What became of one picture: a crop, or a refusal."""

    item: Item
    crop: Item | None
    refusal: Refusal | None
    is_new: bool
    """Whether it had to be looked at."""


def make_detector(run: Run, size_pixels: Size | None) -> tuple[Run, Detector]:
    """Return the run with every option of its detector written down, and the detector.

    Args:
        run: An option `size_pixels` that it does not set follows the encoder.
        size_pixels: What the encoder takes; None where it takes arrays.

    Raises:
        ConfigError: An option is unknown or out of its range.
        PluginError: There is no detector of that name.
        MissingExtra: It needs packages that are not installed.
    """
    factory = plugins.load("detectors", run.detector.name)
    options = with_defaults(factory, run.detector.options)
    if "size_pixels" in options and "size_pixels" not in run.detector.options and size_pixels:
        options["size_pixels"] = size_pixels
    detector: Detector = construct(factory, options, path="detector.options")
    return replace(run, detector=replace(run.detector, options=options)), detector


def cut_out(
    run: Run,
    detector: Detector,
    items: Items,
    *,
    tell: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> Items:
    """Return the items with a crop in place of each picture that training uses.

    Crops and refusals are kept on disk: what was looked at before is not looked at again. An item
    of a crop points to the kept file, and its content hash is that of the pixels, as if the crop
    had just been made.

    Args:
        run: Says what of several regions is meant, and what to do about unusable pictures.
        detector: Looks.
        items: Those of other splits come back as they are.
        tell: Takes a line about what is going to happen and one about what came of it.
        progress: Called with (pictures done, pictures in all).

    Raises:
        DataError: There are unusable pictures, and those shall stop; all have been looked at then.
    """
    if detector.is_whole:
        return items
    cache = CropCache(_looking(run, detector))
    pictures = [item for item in items.items if takes_part(item)]
    tell(f"looking for one {detector.noun} in each of {len(pictures):,} pictures")
    found: list[_Found] = []
    for one in _look_at(run, detector, pictures, cache):
        found.append(one)
        if progress is not None:
            progress(len(found), len(pictures))
    tell(f"{_summary(found)}; kept in {cache.folder}")
    refused = [(one.item, one.refusal) for one in found if one.refusal is not None]
    if refused and run.data.on_unreadable == "stop":
        raise DataError(_unusable(refused, len(pictures), items.origin, detector.noun))
    made = iter(found)
    kept = (next(made).crop if takes_part(item) else item for item in items.items)
    return replace(
        items,
        items=tuple(item for item in kept if item is not None),
        problems=(*items.problems, *(Problem(item.name, r.reason) for item, r in refused)),
    )


def _look_at(
    run: Run, detector: Detector, pictures: Sequence[Item], cache: CropCache
) -> Iterator[_Found]:
    """Yield what became of each picture, in order; only those that are not known are looked at."""
    with ThreadPoolExecutor(os.cpu_count() or 1, "ilk-recall") as pool:
        for start in range(0, len(pictures), _AT_ONCE):
            part = pictures[start : start + _AT_ONCE]
            recalled = list(pool.map(lambda item: _recall(item, cache), part))
            missing = [item for item, (_, known) in zip(part, recalled, strict=True) if not known]
            sightings = sight(detector, missing)
            for item, (content, known) in zip(part, recalled, strict=True):
                if known is not None:
                    yield _known(item, known)
                    continue
                (sighting,) = chosen(next(sightings), run.detector.choice, noun=detector.noun)
                yield _new(item, sighting, content, cache)


def _recall(item: Item, cache: CropCache) -> tuple[str, KeptCrop | Refusal | None]:
    """Return the content hash of a picture, "" if it cannot be read, and what is known of it."""
    try:
        content = item.content_hash()
    except OSError:
        return "", None
    return content, cache.get(content)


def _known(item: Item, known: KeptCrop | Refusal) -> _Found:
    if isinstance(known, Refusal):
        return _Found(item, None, known, is_new=False)
    crop = replace(item, source=known.path, box=None, stated_hash=known.content_hash)
    return _Found(item, crop, None, is_new=False)


def _new(item: Item, sighting: Sighting, content: str, cache: CropCache) -> _Found:
    """Keep what was seen; a file that cannot be read may be readable the next time."""
    if sighting.crop is None:
        refusal = Refusal(sighting.code, sighting.reason)
        if content and refusal.code != "unreadable":
            cache.put_refusal(content, refusal)
        return _Found(item, None, refusal, is_new=True)
    pixels = sighting.crop.source
    kept = cache.put_crop(content, pixels) if content and isinstance(pixels, np.ndarray) else None
    if kept is None:  # nowhere to keep it: in memory then
        return _Found(item, replace(sighting.crop, name=item.name), None, is_new=True)
    return replace(_known(item, kept), is_new=True)


def _looking(run: Run, detector: Detector) -> str:
    """Return in a text who looks and how; what looks may change with its version."""
    found = [p for p in plugins.installed("detectors") if p.name == run.detector.name]
    try:
        made_by = [f"{p.target} {version(p.distribution)}" for p in found]
    except PackageNotFoundError:
        made_by = [p.target for p in found]
    return json.dumps([detector.settings, run.detector.choice, made_by], sort_keys=True)


def _summary(found: Sequence[_Found]) -> str:
    """Return "cut out 90 of 100, 80 of them known from before; not used: 10 no_face"."""
    num_known = sum(not one.is_new for one in found)
    codes = Counter(one.refusal.code for one in found if one.refusal is not None)
    named = ", ".join(f"{count:,} {code}" for code, count in codes.most_common())
    return (
        f"cut out {len(found) - codes.total():,} of {len(found):,}"
        + (f", {num_known:,} of them known from before" if num_known else "")
        + (f"; not used: {named}" if named else "")
    )


def _unusable(
    refused: Sequence[tuple[Item, Refusal]], num_pictures: int, origin: str, noun: str
) -> str:
    named = "; ".join(f"{item.name} ({r.code}: {r.reason})" for item, r in refused[:_NUM_NAMED])
    more = f"; and {len(refused) - _NUM_NAMED:,} more" if len(refused) > _NUM_NAMED else ""
    has_several = any(refusal.code == f"several_{noun}s" for _, refusal in refused)
    largest = f"take the largest {noun} with --set detector.choice=largest, " if has_several else ""
    return (
        f"{len(refused):,} of {num_pictures:,} pictures of {origin} cannot be trained on: "
        f"{named}{more}. Replace them, {largest}or train without them: "
        "--set data.on_unreadable=skip"
    )
