"""Drawn heads: people who differ in many ways, each of them never twice the same.

Coordinates of a face: x to the right and y down from its middle, in half widths of an average face.
Shapes: P points of a contour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["Look", "Person", "draw_head", "look_of", "person_of"]

Colour = tuple[int, int, int]

_SKINS = ((246, 214, 190), (232, 186, 152), (208, 158, 120), (170, 118, 84), (128, 84, 60))
_HAIRS = ((24, 20, 18), (58, 38, 26), (112, 72, 40), (190, 150, 90), (150, 60, 30), (150, 148, 146))
_IRISES = ((60, 38, 24), (90, 62, 30), (70, 96, 60), (70, 100, 130))
_DRAWN_LARGER = 2
"""Heads are drawn this many times larger and averaged: that makes smooth edges."""


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
    skin = np.array(_SKINS[random.integers(len(_SKINS))]) * u(0.92, 1.04) + u(-7, 7, 3)
    hair = np.array(_HAIRS[random.integers(len(_HAIRS))]) * u(0.8, 1.2)
    return Person(
        skin=_colour(skin),
        hair=_colour(hair),
        iris=_IRISES[random.integers(len(_IRISES))],
        lips=_colour(skin * (u(0.68, 0.86), u(0.42, 0.58), u(0.45, 0.62))),
        height=u(1.2, 1.5),
        width=u(0.9, 1.08),
        jaw=u(1.8, 3.0),
        hair_style=int(random.integers(6)),
        eye_distance=u(0.37, 0.48),
        eye_y=u(-0.24, -0.08),
        eye_width=u(0.18, 0.26),
        eye_height=u(0.4, 0.62),
        eye_slant=u(-0.18, 0.18),
        brow_gap=u(0.14, 0.26),
        brow_weight=u(0.02, 0.075),
        brow_slant=u(-0.3, 0.3),
        nose_y=u(0.24, 0.38),
        nose_width=u(0.13, 0.27),
        mouth_y=u(0.62, 0.78),
        mouth_width=u(0.28, 0.48),
        lip_height=u(0.05, 0.14),
        beard=int(random.choice(3, p=(0.7, 0.12, 0.18))),
        glasses=int(random.choice(3, p=(0.7, 0.15, 0.15))),
        frame=_colour(u(10, 90, 3)),
    )


def look_of(person: int, variation: int) -> Look:
    """Return how a person looks in one picture, the same whenever asked."""
    random = np.random.default_rng([person, variation, 1])
    u = random.uniform
    backgrounds = u(70, 215, (2, 3))
    direction, strength = u(0, 2 * np.pi), u(0.0, 0.3)
    gains = u(0.8, 1.12) * u(0.95, 1.05, 3)
    return Look(
        tilt_degrees=u(-10, 10),
        turn=u(-0.08, 0.08),
        eye_opening=u(0.75, 1.1),
        mouth_opening=max(0.0, u(-0.12, 0.12)),
        smile=u(-0.02, 0.08),
        light=(strength * float(np.cos(direction)), strength * float(np.sin(direction))),
        gain=(float(gains[0]), float(gains[1]), float(gains[2])),
        clothes=_colour(u(20, 220, 3)),
        scale=u(0.82, 1.15),
        shift=(u(-0.2, 0.2), u(-0.2, 0.2)),
        backgrounds=(_colour(backgrounds[0]), _colour(backgrounds[1])),
        noise=u(1, 5),
    )


def draw_head(person: Person, look: Look, size_pixels: int, unit: float) -> Image.Image:
    """Return an RGBA square with the head in its middle, on nothing.

    Args:
        person: Who is drawn.
        look: How.
        size_pixels: The side of the square.
        unit: Pixels of half an average face's width.
    """
    sketch = _Sketch(size_pixels, unit, look)
    _draw_behind(sketch, person, look)
    _draw_face(sketch, person)
    for side in (-1, 1):
        _draw_eye(sketch, person, look, side)
    _draw_nose(sketch, person)
    _draw_mouth(sketch, person, look)
    if person.glasses:
        _draw_glasses(sketch, person)
    return _lit(sketch.finished(), look, size_pixels / unit)


@final
class _Sketch:
    """Shapes in the coordinates of a face, turned and scaled into a picture."""

    def __init__(self, size_pixels: int, unit: float, look: Look) -> None:
        self._size, self._unit = size_pixels, unit
        side = size_pixels * _DRAWN_LARGER
        # what is not covered has the colour of the clothes, which edges fade into
        self._image = Image.new("RGBA", (side, side), (*look.clothes, 0))
        self._draw = ImageDraw.Draw(self._image)
        turn = np.radians(look.tilt_degrees)
        cosine, sine = np.cos(turn), np.sin(turn)
        self._turned = np.array([[cosine, sine], [-sine, cosine]]) * unit * _DRAWN_LARGER
        self._aside = look.turn

    def shape(self, points: np.ndarray, colour: Colour, *, depth: float = 0.0) -> None:
        """Fill a contour (P, 2); `depth` is how far it moves when the face looks aside."""
        self._draw.polygon(self._placed(points, depth), fill=(*colour, 255))

    def line(
        self, points: np.ndarray, colour: Colour, weight: float, *, depth: float = 0.0
    ) -> None:
        """Draw a line through points (P, 2), as wide as `weight`."""
        width = max(1, round(weight * self._unit * _DRAWN_LARGER))
        self._draw.line(self._placed(points, depth), (*colour, 255), width, joint="curve")

    def oval(
        self, x: float, y: float, width: float, height: float, colour: Colour, *, depth: float = 0.0
    ) -> None:
        """Fill an ellipse of these half axes."""
        self.shape(_oval(x, y, width, height), colour, depth=depth)

    def finished(self) -> Image.Image:
        """Return the picture at its size, a little soft as a photograph is."""
        smooth = self._image.reduce(_DRAWN_LARGER)
        return smooth.filter(ImageFilter.GaussianBlur(self._unit * 0.018))

    def _placed(self, points: np.ndarray, depth: float) -> list[tuple[float, float]]:
        moved = points + (self._aside * depth, 0.0)
        middle = self._size * _DRAWN_LARGER / 2
        return [(float(x), float(y)) for x, y in moved @ self._turned + middle]


def _draw_behind(sketch: _Sketch, person: Person, look: Look) -> None:
    """Draw the hair behind the face, the clothes, the neck and the ears."""
    top = -person.height
    if person.hair_style == 2:
        sketch.shape(_contour(person.width * 1.3, 1.9, top * 1.16, 4.0), person.hair)
    if person.hair_style == 5:
        sketch.oval(0, top * 1.18, 0.4, 0.34, person.hair)
    sketch.shape(_contour(1.9, 3.2, 1.55, 2.2), look.clothes)
    sketch.shape(_contour(0.5, 1.95, 0.5, 3.0), _shade(person.skin, 0.8))
    if person.hair_style:
        wide, low = person.width * 1.12, 0.35 if person.hair_style != 1 else 0.1
        sketch.shape(_contour(wide, low, top * 1.13, 2.3), person.hair)
    for side in (-1, 1):
        sketch.oval(side * person.width, 0.05, 0.13, 0.25, _shade(person.skin, 0.9), depth=-0.4)


def _draw_face(sketch: _Sketch, person: Person) -> None:
    height, width = person.height, person.width
    face = _contour(width, height, -height, person.jaw)
    if person.beard == 2:
        sketch.shape(face, _mixed(person.hair, person.skin, 0.25))
        sketch.oval(0, -0.18, width * 0.93, height * 0.8, person.skin, depth=0.3)
        sketch.oval(0, 0.3, width * 0.62, 0.34, person.skin, depth=0.5)
    else:
        sketch.shape(face, person.skin)
    if person.hair_style == 3:
        sketch.shape(_cap(person, 0.55), person.hair)
    elif person.hair_style == 4:
        side = np.array([(-0.3, -1.08), (0.75, -0.86), (0.97, -0.35), (0.6, -0.62), (-0.2, -0.86)])
        parted = side * (width, height)
        sketch.shape(parted, person.hair)
        sketch.shape(parted[[0, 4]].tolist() @ np.eye(2), person.hair)
        sketch.shape(_cap(person, 0.85), person.hair)
    elif person.hair_style:
        sketch.shape(_cap(person, 0.78), person.hair)


def _draw_eye(sketch: _Sketch, person: Person, look: Look, side: int) -> None:
    x, y, width = side * person.eye_distance, person.eye_y, person.eye_width
    height = width * person.eye_height * look.eye_opening
    slant = -side * person.eye_slant
    turned = np.array([[1, slant], [0, 1]])
    shadow = _oval(0, -0.02, width * 1.35, width * 0.8) @ turned + (x, y)
    sketch.shape(shadow, _shade(person.skin, 0.86), depth=0.9)
    sketch.shape(_oval(0, 0, width, height) @ turned + (x, y), (240, 238, 234), depth=0.9)
    iris = min(height, width * 0.5)
    sketch.oval(x, y, width * 0.48, iris, person.iris, depth=1.0)
    sketch.oval(x, y, width * 0.22, min(iris, width * 0.22), (8, 6, 6), depth=1.0)
    sketch.oval(x - 0.04, y - iris * 0.4, 0.025, 0.025, (250, 250, 250), depth=1.0)
    arc = np.linspace(np.pi * 1.03, np.pi * 1.97, 9)
    lid = np.stack([np.cos(arc) * width * 1.08, np.sin(arc) * height * 1.15], 1) @ turned
    sketch.line(lid + (x, y), (36, 24, 22), 0.035, depth=0.9)
    middle = y - width * 0.5 - person.brow_gap
    ends = np.array([(-1.35, 0.05), (-0.4, -0.035), (0.4, -0.035), (1.35, 0.05)]) * (width, 1)
    ends[:, 1] += -side * person.brow_slant * ends[:, 0]
    brow = _mixed(person.hair, (30, 22, 18), 0.4)
    sketch.line(ends + (x, middle), brow, person.brow_weight, depth=0.9)


def _draw_nose(sketch: _Sketch, person: Person) -> None:
    y, width = person.nose_y, person.nose_width
    bridge = np.array([(-0.07, person.eye_y), (0.07, person.eye_y), (width, y), (-width, y)])
    sketch.shape(bridge, _shade(person.skin, 0.94), depth=1.2)
    sketch.oval(0, y, width, width * 0.55, _shade(person.skin, 0.88), depth=1.5)
    sketch.oval(0, y - width * 0.25, width * 0.45, width * 0.45, person.skin, depth=1.6)
    for side in (-1, 1):
        x = side * width * 0.52
        sketch.oval(x, y + width * 0.3, width * 0.2, 0.03, _shade(person.skin, 0.42), depth=1.5)


def _draw_mouth(sketch: _Sketch, person: Person, look: Look) -> None:
    y, width, height = person.mouth_y, person.mouth_width, person.lip_height
    along = np.linspace(-1, 1, 13)
    bow = -look.smile * (along**2) * 1.5 + y
    bulge = 1 - along**2
    upper = np.stack([along * width, bow - height * bulge], 1)
    lower = np.stack([along * width, bow + (height * 1.25 + look.mouth_opening) * bulge], 1)
    if person.beard:
        edge = _mixed(person.hair, person.skin, 0.15)
        hair = np.stack([along * width * 1.15, bow - height - 0.09 + 0.05 * along**2], 1)
        sketch.line(hair, edge, 0.13, depth=1.1)
    sketch.shape(np.concatenate([upper, lower[::-1]]), person.lips, depth=1.1)
    middle = np.stack([along * width * 0.94, bow], 1)
    sketch.line(middle, _shade(person.lips, 0.5), 0.035, depth=1.1)
    if look.mouth_opening > 0.02:
        inner = np.stack([along * width * 0.8, bow + look.mouth_opening * bulge], 1)
        gap = np.concatenate([middle * (0.85, 1), inner[::-1]])
        sketch.shape(gap, (70, 22, 24), depth=1.1)


def _draw_glasses(sketch: _Sketch, person: Person) -> None:
    arc = np.linspace(0, 2 * np.pi, 25)
    power = 1.0 if person.glasses == 1 else 0.45
    rim = np.stack([_power(np.cos(arc), power), _power(np.sin(arc), power)], 1)
    for side in (-1, 1):
        middle = (side * person.eye_distance, person.eye_y + 0.02)
        sketch.line(rim * (0.32, 0.27) + middle, person.frame, 0.045, depth=1.0)
    bridge = np.array([(0.32 - person.eye_distance, 0.0), (person.eye_distance - 0.32, 0.0)])
    sketch.line(bridge + (0, person.eye_y), person.frame, 0.045, depth=1.0)


def _lit(head: Image.Image, look: Look, units: float) -> Image.Image:
    """Return the head under the light of a look."""
    pixels = np.asarray(head).astype(np.float32)
    ticks = (np.arange(head.width, dtype=np.float32) / head.width - 0.5) * units / 2
    slope = 1 + look.light[0] * ticks[None, :] + look.light[1] * ticks[:, None]
    pixels[..., :3] *= np.clip(slope, 0.3, 1.6)[..., None] * np.array(look.gain, np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _oval(x: float, y: float, width: float, height: float) -> np.ndarray:
    arc = np.linspace(0, 2 * np.pi, 33)[:-1]
    return np.stack([x + width * np.cos(arc), y + height * np.sin(arc)], 1)


def _contour(width: float, bottom: float, top: float, exponent: float) -> np.ndarray:
    """Return a closed line: an ellipse above the middle, squarer below it for larger exponents.

    `top` may lie below 0: then the widest part is at the top.
    """
    arc = np.linspace(0, 2 * np.pi, 65)[:-1]
    x, y = np.cos(arc), np.sin(arc)
    below = y > 0
    x = np.where(below, _power(x, 2 / exponent), x)
    y = np.where(below, _power(y, 2 / exponent), y)
    middle = max(top, 0.0)
    return np.stack([width * x, np.where(below, middle + (bottom - middle) * y, 0)], 1) + np.stack(
        [np.zeros_like(x), np.where(below, 0, middle + (middle - top if top < 0 else 0.25) * y)], 1
    )


def _cap(person: Person, reach: float) -> np.ndarray:
    """Return the hair that lies on the forehead down to `reach` of the height."""
    arc = np.linspace(np.pi, 2 * np.pi, 25)
    outer = np.stack([person.width * np.cos(arc), person.height * np.sin(arc)], 1) * 1.06
    inner = outer[::-1] * (0.9, 1)
    inner[:, 1] = np.maximum(inner[:, 1], -person.height * reach)
    return np.concatenate([outer, inner])


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    return np.sign(values) * np.abs(values) ** exponent


def _colour(values: Sequence[float] | np.ndarray) -> Colour:
    red, green, blue = (int(min(255, max(0, value))) for value in values)
    return red, green, blue


def _shade(colour: Colour, share: float) -> Colour:
    return _colour([value * share for value in colour])


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """Return `colour` with a share of another."""
    return _colour([(1 - share) * a + share * b for a, b in zip(colour, other, strict=True)])
