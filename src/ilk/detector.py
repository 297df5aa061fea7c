"""Detector (Protocol): a picture in, the regions of it that are probes out.

Shapes: H and W height and width of a picture in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import numpy as np

from ilk.images import Box

__all__ = ["Detector", "Point", "Quality", "Region", "area_of", "overlap"]

Point = tuple[float, float]
"""x and y in pixels of the picture as it is seen; the middle of the first pixel is 0, 0."""


@final
@dataclass(frozen=True, kw_only=True)
class Quality:
    """What can be told of a region without knowing what it shows; None is what was not looked at.

    A detector compares these with its limits, and says in `Region.code` which of them was missed.
    """

    size_pixels: float
    """The shorter side of the region's box."""
    sharpness: float | None = None
    """How much detail there is at the encoder's size; 0 is none. Comparable within a detector."""
    turned_degrees: float | None = None
    """How far it looks to the side, from the landmarks: 0 is into the camera, 90 in profile."""
    tilted_degrees: float | None = None
    """How far it is turned in the plane of the picture: 0 is upright, positive is clockwise."""
    brightness: float | None = None
    """The mean luminance, in [0, 1]."""


@final
@dataclass(frozen=True, kw_only=True)
class Region:
    """Where in a picture a probe is."""

    box: Box
    """x1, y1, x2, y2; may reach beyond the picture."""
    landmarks: tuple[Point, ...] = ()
    """Of a face five: the eye on the left of the picture, the other eye, nose, mouth corners."""
    score: float = 1.0
    """How sure the detector is, in [0, 1]."""
    quality: Quality | None = None
    code: str = ""
    """Why it is not assessable, for machines: "too_small", "blurred", ...; "" if it is."""
    reason: str = ""
    """The same in words, with the number and the limit; "" if it is assessable."""

    @property
    def is_assessable(self) -> bool:
        """Whether it is good enough to be compared."""
        return not self.code

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return area_of(self.box)


def overlap(first: Box, second: Box) -> float:
    """Return the area that two boxes share, as a share of what they cover; 0 for empty ones.

    Example:
        >>> overlap((0, 0, 2, 1), (1, 0, 3, 1))
        0.3333333333333333
    """
    (a1, b1, a2, b2), (c1, d1, c2, d2) = first, second
    shared = area_of((max(a1, c1), max(b1, d1), min(a2, c2), min(b2, d2)))
    covered = area_of(first) + area_of(second) - shared
    return shared / covered if covered > 0 else 0.0


def area_of(box: Box) -> float:
    """Return the area of a box, 0 for an empty one."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


@runtime_checkable
class Detector(Protocol):
    """Finds regions, and cuts out what the encoder is to see. Safe to call from several threads."""

    @property
    def settings(self) -> dict[str, Any]:
        """Its `name` and options, fit for JSON: all that is needed to make it again."""

    @property
    def noun(self) -> str:
        """What one region shows: "face". Reason codes are made of it: "no_face"."""

    @property
    def is_whole(self) -> bool:
        """Whether a picture is one region as it is, and need not be looked at."""

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        """Return the regions of an (H, W, 3) uint8 picture, in reading order; none is ().

        Args:
            image: As `read_image` gives it.
            box: What a person or table said about where to look; the regions are of the whole
                picture all the same, in its pixels. With a box at most one region is returned.
        """

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        """Return the (h, w, 3) uint8 pixels that the encoder is to see of a region."""
