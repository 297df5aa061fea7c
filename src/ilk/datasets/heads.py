"""Heads of people who do not exist, drawn.

Coordinates of a face: x to the right and y down from its middle, in half widths of an average face.
Shapes: P points of a contour.
"""

from __future__ import annotations

from typing import final

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ilk.datasets.people import Colour, Look, Person, colour_of

__all__ = ["draw_head"]

_DRAWN_LARGER = 2
"""Heads are drawn this many times larger and averaged: that makes smooth edges."""
_LEFT, _ABOVE, _BELOW = 2.3, 2.3, 3.7
"""How far a drawing reaches from the middle of the face, in half widths."""


def draw_head(person: Person, look: Look, unit: float) -> tuple[Image.Image, tuple[float, float]]:
    """Draw somebody down to the chest, on nothing.

    Args:
        person: Who is drawn.
        look: How.
        unit: Pixels of half an average face's width.

    Returns:
        The picture, RGBA, and where in it the middle of the face is, x and y in pixels.
    """
    sketch = _Sketch(unit, look)
    _draw_behind(sketch, person, look)
    _draw_face(sketch, person)
    for side in (-1, 1):
        _draw_eye(sketch, person, look, side)
    _draw_nose(sketch, person)
    _draw_mouth(sketch, person, look)
    if person.glasses:
        _draw_glasses(sketch, person)
    return _lit(sketch.finished(), look), (_LEFT * unit, _ABOVE * unit)


@final
class _Sketch:
    """Shapes in the coordinates of a face, turned and scaled into a picture."""

    def __init__(self, unit: float, look: Look) -> None:
        self._unit = unit
        size = np.ceil(np.array([2 * _LEFT, _ABOVE + _BELOW]) * unit).astype(int)
        width, height = (_DRAWN_LARGER * size).tolist()
        self._image = Image.new("RGBA", (width, height))
        self._middle = np.array([_LEFT, _ABOVE]) * unit * _DRAWN_LARGER
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
        # with colours multiplied by their opacity, edges do not darken
        smooth = self._image.convert("RGBa").reduce(_DRAWN_LARGER)
        return smooth.filter(ImageFilter.BoxBlur(self._unit * 0.018)).convert("RGBA")

    def _placed(self, points: np.ndarray, depth: float) -> list[tuple[float, float]]:
        moved = points + np.array([self._aside * depth, 0.0])
        placed = (moved @ self._turned + self._middle).ravel().tolist()
        return list(zip(placed[::2], placed[1::2], strict=True))


def _draw_behind(sketch: _Sketch, person: Person, look: Look) -> None:
    """Draw the hair behind the face, the clothes, the neck and the ears."""
    top = -person.height
    if person.hair_style == 2:
        sketch.shape(_contour(person.width * 1.3, 1.75, top * 1.16, 4.0), person.hair)
    if person.hair_style == 5:
        sketch.oval(0, top * 1.18, 0.4, 0.34, person.hair)
    sketch.shape(_contour(1.9, 4.2, 1.35, 6.0, middle=1.8), look.clothes)
    sketch.shape(_contour(0.5, 1.95, 0.4, 3.0, middle=0.6), _shade(person.skin, 0.8))
    if person.hair_style:
        wide, low = person.width * 1.12, 0.35 if person.hair_style != 1 else 0.1
        sketch.shape(_contour(wide, low, top * 1.13, 2.3), person.hair)
    for side in (-1, 1):
        sketch.oval(side * person.width, 0.05, 0.13, 0.25, _shade(person.skin, 0.9), depth=-0.4)


def _draw_face(sketch: _Sketch, person: Person) -> None:
    height, width = person.height, person.width
    face = _contour(width, height, -height, person.jaw)
    if person.beard == 2:
        sketch.shape(face, _mixed(_beard_of(person), person.skin, 0.25))
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
    sketch.line(lid + np.array([x, y]), (36, 24, 22), 0.035, depth=0.9)
    middle = y - width * 0.5 - person.brow_gap
    ends = np.array([(-1.35, 0.05), (-0.4, -0.035), (0.4, -0.035), (1.35, 0.05)]) * (width, 1)
    ends[:, 1] += -side * person.brow_slant * ends[:, 0]
    brow = _mixed(_beard_of(person), (30, 22, 18), 0.4)
    sketch.line(ends + np.array([x, middle]), brow, person.brow_weight, depth=0.9)


def _draw_nose(sketch: _Sketch, person: Person) -> None:
    y, width = person.nose_y, person.nose_width
    bridge = np.array([(-0.07, person.eye_y), (0.07, person.eye_y), (width, y), (-width, y)])
    sketch.shape(bridge, _shade(person.skin, 0.9), depth=1.2)
    sketch.oval(0, y, width, width * 0.55, _shade(person.skin, 0.82), depth=1.5)
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
        edge = _mixed(_beard_of(person), person.skin, 0.45)
        hair = np.stack([along * width * 1.15, bow - height - 0.09 + 0.05 * along**2], 1)
        sketch.line(hair, edge, 0.1, depth=1.1)
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
        sketch.line(rim * (0.32, 0.27) + middle, person.frame, 0.035, depth=1.0)
    bridge = np.array([(0.32 - person.eye_distance, 0.0), (person.eye_distance - 0.32, 0.0)])
    sketch.line(bridge + np.array([0, person.eye_y]), person.frame, 0.035, depth=1.0)


def _lit(head: Image.Image, look: Look) -> Image.Image:
    """Return the head under the light of a look, which changes evenly from corner to corner."""
    across, down = (1 + share * np.array([-1, 1]) for share in look.light)
    corners = (down[:, None, None] * across[None, :, None]) * np.array(look.gain) * 255
    light = Image.fromarray(np.minimum(corners, 255).astype(np.uint8)).resize(
        head.size, Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5)
    )
    lit = ImageChops.multiply(head.convert("RGB"), light)
    lit.putalpha(head.getchannel("A"))
    return lit


def _beard_of(person: Person) -> Colour:
    """Return the colour of brows and beard: that of the hair, but darker than the skin."""
    return colour_of([min(h, 0.62 * s) for h, s in zip(person.hair, person.skin, strict=True)])


def _oval(x: float, y: float, width: float, height: float) -> np.ndarray:
    arc = np.linspace(0, 2 * np.pi, 33)[:-1]
    return np.stack([x + width * np.cos(arc), y + height * np.sin(arc)], 1)


def _contour(
    width: float, bottom: float, top: float, exponent: float, *, middle: float = 0.0
) -> np.ndarray:
    """Return a closed line that is widest at the height `middle`.

    Above it is an ellipse; below it is squarer for larger exponents.
    """
    arc = np.linspace(0, 2 * np.pi, 65)[:-1]
    x, y = np.cos(arc), np.sin(arc)
    below = y > 0
    x, y = np.where(below, _power(x, 2 / exponent), x), np.where(below, _power(y, 2 / exponent), y)
    return np.stack([width * x, middle + y * np.where(below, bottom - middle, middle - top)], 1)


def _cap(person: Person, reach: float) -> np.ndarray:
    """Return the hair that lies on the forehead down to `reach` of the height."""
    arc = np.linspace(np.pi, 2 * np.pi, 25)
    outer = np.stack([person.width * np.cos(arc), person.height * np.sin(arc)], 1) * 1.06
    inner = outer[::-1] * (0.9, 1)
    inner[:, 1] = np.maximum(inner[:, 1], -person.height * reach)
    return np.concatenate([outer, inner])


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    return np.sign(values) * np.abs(values) ** exponent


def _shade(colour: Colour, share: float) -> Colour:
    return colour_of([value * share for value in colour])


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """Return `colour` with a share of another."""
    return colour_of([(1 - share) * a + share * b for a, b in zip(colour, other, strict=True)])
