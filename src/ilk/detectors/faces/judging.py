"""What can be told of a face without knowing whose it is, and the limits for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.detector import Point, Quality

__all__ = [
    "JUDGED_PIXELS",
    "Limits",
    "judged",
    "sharpness_of",
    "tilted_degrees_of",
    "turned_degrees_of",
]

JUDGED_PIXELS = 112
"""The side of the crop that is judged, whatever the encoder's is: sharpness depends on it."""
_NOSE_DEPTH = 1.1
"""How far the tip of the nose stands out before the eyes, in halves of the distance between them:
about 35 of 32 mm on an average adult. A face's own nose makes the angle a few degrees wrong."""

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a face must be like to be compared."""

    min_size_pixels: float
    min_sharpness: float
    max_turned_degrees: float
    min_brightness: float
    max_brightness: float

    def missed(self, quality: Quality) -> tuple[str, str]:
        """Return the code and the reason of the first limit that is missed; "" if none is."""
        return next(self._misses(quality), ("", ""))

    def _misses(self, quality: Quality) -> Iterator[tuple[str, str]]:
        size, sharpness = quality.size_pixels, quality.sharpness or 0.0
        turned, brightness = quality.turned_degrees or 0.0, quality.brightness or 0.0
        if size < self.min_size_pixels:
            reason = f"the face is {size:.0f} pixels wide, at least {self.min_size_pixels:g}"
            yield "too_small", f"{reason} are needed"
        if brightness < self.min_brightness:
            reason = f"the face is too dark: brightness {brightness:.2f}"
            yield "badly_lit", f"{reason}, at least {self.min_brightness:g} is needed"
        if brightness > self.max_brightness:
            reason = f"the face is too bright: brightness {brightness:.2f}"
            yield "badly_lit", f"{reason}, at most {self.max_brightness:g} is accepted"
        if turned > self.max_turned_degrees:
            reason = f"the face is turned aside by about {turned:.0f} degrees"
            yield "turned_away", f"{reason}, at most {self.max_turned_degrees:g} are accepted"
        if sharpness < self.min_sharpness:
            reason = f"the face is blurred: sharpness {sharpness:.3f}"
            yield "blurred", f"{reason}, at least {self.min_sharpness:g} is needed"


def judged(size_pixels: float, landmarks: Sequence[Point], crop: np.ndarray) -> Quality:
    """Return what can be told of a face.

    Args:
        size_pixels: The shorter side of its box.
        landmarks: Five, in the picture.
        crop: The face turned upright, (112, 112, 3) uint8.
    """
    face = _middle(crop)
    return Quality(
        size_pixels=size_pixels,
        sharpness=sharpness_of(face),
        turned_degrees=turned_degrees_of(landmarks),
        tilted_degrees=tilted_degrees_of(landmarks),
        brightness=float(face.mean() / 255),
    )


def sharpness_of(luminance: np.ndarray) -> float:
    """Return how much of what changes in an (h, w) picture changes from pixel to pixel.

    The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000) over the variance of the picture, so that contrast does not count. It
    is 64 of a chessboard, 20 of noise; a picture without any contrast has 0.

    Example:
        >>> checks = np.indices((9, 9)).sum(0) % 2 * 255.0
        >>> ramp = np.arange(81.0).reshape(9, 9)
        >>> round(sharpness_of(checks)), round(sharpness_of(ramp), 6)
        (64, 0.0)
    """
    spread = float(luminance.var())
    if spread <= 0:
        return 0.0
    inner = luminance[1:-1, 1:-1]
    around = luminance[:-2, 1:-1] + luminance[2:, 1:-1] + luminance[1:-1, :-2] + luminance[1:-1, 2:]
    return float((around - 4 * inner).var() / spread)


def turned_degrees_of(landmarks: Sequence[Point]) -> float:
    """Return how far a face looks to the side, 0 to 90 degrees, from where its nose is.

    Seen from the front the nose is half way between the eyes. Turned by an angle a, the eyes come
    closer by cos(a), and the nose, which stands out before them, moves by sin(a) times how far.
    """
    left, right, nose = (np.array(point, float) for point in landmarks[:3])
    eyes = right - left
    length = float(eyes @ eyes)
    if length <= 0:
        return 90.0
    aside = abs(float((nose - (left + right) / 2) @ eyes)) / length * 2
    return float(np.degrees(np.arctan(aside / _NOSE_DEPTH)))


def tilted_degrees_of(landmarks: Sequence[Point] | np.ndarray) -> float:
    """Return how far a face is turned in the plane of the picture, clockwise, from -180 to 180."""
    (x1, y1), (x2, y2) = landmarks[:2]
    return float(np.degrees(np.arctan2(y2 - y1, x2 - x1)))


def _middle(crop: np.ndarray) -> np.ndarray:
    """Return the luminance from brows to chin, at half the crop's size: (36, 36).

    So small, what counts as detail is what encoders live on, and not grain or rounding.
    """
    luminance = crop[36:108, 20:92].astype(np.float32) @ _LUMINANCE
    return luminance.reshape(36, 2, 36, 2).mean((1, 3))
