"""The few best frames of a track, chosen by quality alone and never by what a gallery says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.detector import Region

__all__ = ["Shot", "goodness", "with_shot"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One region of one frame, cut out."""

    number: int
    """Of the frame."""
    seconds: float
    region: Region
    goodness: float
    crop: np.ndarray
    """(h, w, 3) uint8, what the encoder is to see."""
    scene: bytes | None = None
    """The frame that it is in as JPEG, where that is wanted to draw on."""


def goodness(region: Region, enough_pixels: float) -> float:
    """Return how fit a region is to be compared, from its quality facts; larger is better.

    The product of score, cosine of the turn, a factor that falls for very dark and very light
    ones, and the roots of size (up to what the encoder takes) and sharpness; so no unit counts.
    What the detector did not look at counts the same for all.

    Args:
        region: As the detector gives it.
        enough_pixels: The size beyond which the encoder sees no more.

    Example:
        >>> from ilk.detector import Quality
        >>> sizes = (56, 112, 300)
        >>> faces = [Region(box=(0, 0, 1, 1), quality=Quality(size_pixels=s)) for s in sizes]
        >>> [round(goodness(face, 112), 2) for face in faces]
        [7.48, 10.58, 10.58]
    """
    quality = region.quality
    if quality is None:
        return region.score
    factors = region.score * math.sqrt(max(0.0, min(quality.size_pixels, enough_pixels)))
    if quality.sharpness is not None:
        factors *= math.sqrt(max(0.0, quality.sharpness))
    if quality.turned_degrees is not None:
        factors *= max(0.0, math.cos(math.radians(quality.turned_degrees)))
    if quality.brightness is not None:
        factors *= 1 - (2 * min(max(quality.brightness, 0.0), 1.0) - 1) ** 4
    return factors


def with_shot(
    kept: tuple[Shot, ...],
    seconds: float,
    good: float,
    make: Callable[[], Shot],
    *,
    most: int,
    part_seconds: float,
) -> tuple[Shot, ...]:
    """Return the best shots after one more frame, by time.

    Frames that follow each other closely show the same, so time is cut into short parts, and of
    each only the best frame counts.

    Args:
        kept: So far, by time.
        seconds: Of the frame, not before those that are kept.
        good: Its goodness.
        make: Cuts it out; called only if it is kept.
        most: How many are kept.
        part_seconds: How long a part is; 0 makes each frame one.
    """
    if kept and part_seconds and seconds // part_seconds == kept[-1].seconds // part_seconds:
        return (*kept[:-1], make()) if good > kept[-1].goodness else kept
    if len(kept) < most:
        return (*kept, make())
    worst = min(range(len(kept)), key=lambda at: kept[at].goodness)
    if good <= kept[worst].goodness:
        return kept
    return (*kept[:worst], *kept[worst + 1 :], make())
