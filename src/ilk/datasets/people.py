"""People who do not exist, and how they look in one picture or another: numbers and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

__all__ = ["Colour", "Look", "Person", "colour_of", "look_of", "person_of"]

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_SKINS = ((246, 214, 190), (232, 186, 152), (208, 158, 120), (170, 118, 84), (128, 84, 60))
_HAIRS = ((24, 20, 18), (58, 38, 26), (112, 72, 40), (190, 150, 90), (150, 60, 30), (150, 148, 146))
_IRISES = ((60, 38, 24), (90, 62, 30), (70, 96, 60), (70, 100, 130))


@final
@dataclass(frozen=True, kw_only=True)
class Person:
    """What stays the same in all pictures of one person."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    height: float
    width: float
    jaw: float
    """The exponent of the lower half of the contour: 2 is an ellipse, more is squarer."""
    hair_style: int
    """0 is bald, 1 short, 2 long, 3 with a fringe, 4 parted, 5 with a bun."""
    eye_distance: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_slant: float
    brow_gap: float
    brow_weight: float
    brow_slant: float
    nose_y: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_height: float
    beard: int
    """0 is none, 1 a moustache, 2 a full beard."""
    glasses: int
    """0 is none, 1 round ones, 2 square ones."""
    frame: Colour


@final
@dataclass(frozen=True, kw_only=True)
class Look:
    """What differs between two pictures of one person."""

    tilt_degrees: float
    turn: float
    """How far the face looks aside, in half widths that its features move."""
    eye_opening: float
    mouth_opening: float
    smile: float
    light: tuple[float, float]
    """Where the light comes from; its length is how much darker the other side is."""
    gain: tuple[float, float, float]
    """Of red, green and blue."""
    clothes: Colour
    scale: float
    shift: tuple[float, float]
    backgrounds: tuple[Colour, Colour]
    noise: float


def person_of(number: int) -> Person:
    """Return the person of this number, the same whenever asked."""
    random = np.random.default_rng([number, 0])
    u = random.uniform
    skin = np.array(_SKINS[random.integers(len(_SKINS))]) * u(0.98, 1.08) + u(-7, 7, 3)
    hair = np.array(_HAIRS[random.integers(len(_HAIRS))]) * u(0.8, 1.2)
    return Person(
        skin=colour_of(skin),
        hair=colour_of(hair),
        iris=_IRISES[random.integers(len(_IRISES))],
        lips=colour_of(skin * (u(0.68, 0.86), u(0.42, 0.58), u(0.45, 0.62))),
        height=u(1.2, 1.5),
        width=u(0.9, 1.08),
        jaw=u(1.8, 2.7),
        hair_style=int(random.integers(6)),
        eye_distance=u(0.37, 0.48),
        eye_y=u(-0.24, -0.08),
        eye_width=u(0.18, 0.26),
        eye_height=u(0.4, 0.62),
        eye_slant=u(-0.18, 0.18),
        brow_gap=u(0.14, 0.26),
        brow_weight=u(0.035, 0.08),
        brow_slant=u(-0.3, 0.3),
        nose_y=u(0.24, 0.38),
        nose_width=u(0.13, 0.27),
        mouth_y=u(0.62, 0.78),
        mouth_width=u(0.28, 0.48),
        lip_height=u(0.05, 0.14),
        beard=int(random.choice(3, p=(0.7, 0.12, 0.18))),
        glasses=int(random.choice(3, p=(0.7, 0.15, 0.15))),
        frame=colour_of(u(10, 90, 3)),
    )


def look_of(person: int, variation: int) -> Look:
    """Return how a person looks in one picture, the same whenever asked."""
    random = np.random.default_rng([person, variation, 1])
    u = random.uniform
    backgrounds = u(80, 200, (2, 1)) + u(-30, 30, (2, 3))
    direction, strength = u(0, 2 * np.pi), u(0.0, 0.3)
    gains = u(0.74, 0.98) * u(0.95, 1.05, 3)
    return Look(
        tilt_degrees=u(-10, 10),
        turn=u(-0.08, 0.08),
        eye_opening=u(0.75, 1.1),
        mouth_opening=max(0.0, u(-0.12, 0.12)),
        smile=u(-0.02, 0.08),
        light=(strength * float(np.cos(direction)), strength * float(np.sin(direction))),
        gain=(float(gains[0]), float(gains[1]), float(gains[2])),
        clothes=colour_of(u(40, 190) + u(-50, 50, 3)),
        scale=u(0.82, 1.15),
        shift=(u(-0.2, 0.2), u(-0.2, 0.2)),
        backgrounds=(colour_of(backgrounds[0]), colour_of(backgrounds[1])),
        noise=u(1, 3.5),
    )


def colour_of(values: Sequence[float] | np.ndarray) -> Colour:
    """Return whole numbers in [0, 255]."""
    red, green, blue = (int(min(255, max(0, value))) for value in values)
    return red, green, blue
