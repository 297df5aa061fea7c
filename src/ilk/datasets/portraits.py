"""Portraits: drawn people that a face detector finds, for trying things out without anybody's face.

A class is a person, an item one picture of them: light, background, turn, place and expression
differ. The parts "train" and "test" share no person. Nothing that is measured on them says
anything about photographs of people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops

from ilk.datasets.heads import draw_head
from ilk.datasets.people import Look, look_of, person_of
from ilk.errors import DataError, InvalidInput
from ilk.items import Item, Items

__all__ = ["draw_portrait", "draw_scene", "portraits"]

Box = tuple[float, float, float, float]

_FIRST = {"train": 0, "test": 500}
"""The number of the first person of each part."""
_NUM_PEOPLE = {"train": 60, "test": 40}
_MOST_PEOPLE = 500
_UNIT = 0.19
"""Half the width of an average face, as a share of a portrait's side."""


def portraits(
    part: str | None = None, *, num_people: int | None = None, items_per_class: int = 8
) -> Items:
    """Draw the people of a part.

    Args:
        part: "train" or "test"; None is both.
        num_people: Of each part, at most 500; None is 60 to train with and 40 to test with.
        items_per_class: How many pictures of each.

    Returns:
        Items of (320, 320, 3) uint8 with the label of the person and the part as split.

    Raises:
        DataError: There is no such part.
        InvalidInput: A number is below 1, or there are not so many people.

    Example:
        >>> items = portraits("test", num_people=2, items_per_class=1)
        >>> items.classes, items.items[0].source.shape
        (('person 500', 'person 501'), (320, 320, 3))
    """
    if part not in (None, *_FIRST):
        raise DataError(f"portraits has the parts train and test, got {part!r}")
    if items_per_class < 1:
        raise InvalidInput(f"items_per_class must be at least 1, got {items_per_class}")
    if num_people is not None and not 1 <= num_people <= _MOST_PEOPLE:
        raise InvalidInput(f"num_people must be from 1 to {_MOST_PEOPLE}, got {num_people}")
    drawn = tuple(
        _item(name, first + person, variation)
        for name, first in _FIRST.items()
        if part in (None, name)
        for person in range(num_people or _NUM_PEOPLE[name])
        for variation in range(items_per_class)
    )
    return Items(drawn, origin="portraits" if part is None else f"portraits:{part}")


def draw_portrait(person: int, variation: int, size_pixels: int = 320) -> np.ndarray:
    """Return a picture of one person, (size_pixels, size_pixels, 3) uint8.

    Args:
        person: A number from 0 on; each is somebody else.
        variation: A number from 0 on; each is another picture of the person.
        size_pixels: The side of the picture; the face takes up about a third of it.

    Raises:
        InvalidInput: A number is below 0, or the size below 1.

    Example:
        >>> picture = draw_portrait(7, 0)
        >>> picture.shape, np.array_equal(picture, draw_portrait(7, 0))
        ((320, 320, 3), True)
    """
    _check(person, variation)
    if size_pixels < 1:
        raise InvalidInput(f"size_pixels must be at least 1, got {size_pixels}")
    look = look_of(person, variation)
    random = np.random.default_rng([person, variation, 2])
    canvas = _background(size_pixels, size_pixels, look)
    unit = _UNIT * size_pixels * look.scale
    _paste(canvas, person, look, _middle(size_pixels, look), unit)
    return _grained(canvas, look.noise, random)


def draw_scene(
    people: Sequence[tuple[int, int]],
    *,
    face_pixels: float = 60,
    num_columns: int | None = None,
) -> tuple[np.ndarray, tuple[Box, ...]]:
    """Draw a group picture: people in rows, as numbers of a person and a variation.

    Args:
        people: Who is in it, from the upper left on.
        face_pixels: The width of an average face.
        num_columns: How many stand in a row; None makes about as many rows as columns.

    Returns:
        The (H, W, 3) uint8 picture, and for each of the people the box x1, y1, x2, y2 of the face
        from ear to ear and from the forehead to the chin.

    Raises:
        InvalidInput: Nobody is to be drawn, or a number is out of its range.

    Example:
        >>> picture, boxes = draw_scene([(0, 0), (1, 0)])
        >>> len(boxes), picture.shape
        (2, (169, 338, 3))
    """
    if not people:
        raise InvalidInput("expected people to draw, got none")
    for person, variation in people:
        _check(person, variation)
    if not face_pixels >= 1:
        raise InvalidInput(f"face_pixels must be at least 1, got {face_pixels}")
    columns = num_columns or int(np.ceil(np.sqrt(len(people))))
    if columns < 1:
        raise InvalidInput(f"num_columns must be at least 1, got {num_columns}")
    unit = face_pixels / 2
    place = int(np.ceil(face_pixels / _UNIT / 2 * 1.07))
    rows = -(-len(people) // columns)
    looks = [look_of(person, variation) for person, variation in people]
    canvas = _background(place * columns, place * rows, looks[0])
    boxes = []
    for i, ((person, _), look) in enumerate(zip(people, looks, strict=True)):
        corner = np.array([i % columns, i // columns]) * place
        middle = corner + _middle(place, look)
        _paste(canvas, person, look, middle, unit * look.scale)
        boxes.append(_box(person, look, middle, unit * look.scale))
    noise = np.random.default_rng([*np.ravel(people).tolist(), 3])
    return _grained(canvas, looks[0].noise, noise), tuple(boxes)


def _item(part: str, person: int, variation: int) -> Item:
    label = f"person {person:03}"
    return Item(draw_portrait(person, variation), label, f"{label} picture {variation}", part)


def _check(person: int, variation: int) -> None:
    if person < 0 or variation < 0:
        raise InvalidInput(
            f"expected the numbers of a person and a variation from 0 on, got {person}, {variation}"
        )


def _middle(size_pixels: int, look: Look) -> np.ndarray:
    """Return where in a square the middle of the face is."""
    return size_pixels * (0.5 + _UNIT * np.array(look.shift))


def _background(width: int, height: int, look: Look) -> Image.Image:
    """Return a wall whose colour changes from corner to corner."""
    first, last = np.array(look.backgrounds, np.uint8)
    corners = np.stack([first, (first // 2 + last // 2), (first // 2 + last // 2), last])
    wall = Image.fromarray(corners.reshape(2, 2, 3))
    return wall.resize((width, height), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))


def _paste(canvas: Image.Image, person: int, look: Look, middle: np.ndarray, unit: float) -> None:
    head, inside = draw_head(person_of(person), look, unit)
    x, y = (round(float(value)) for value in middle - inside)
    canvas.paste(head, (x, y), head)


def _box(person: int, look: Look, middle: np.ndarray, unit: float) -> Box:
    """Return the box around the turned oval of the face."""
    who, turn = person_of(person), np.radians(look.tilt_degrees)
    top = 0.75 * who.height
    height = (who.height + top) / 2
    down = (who.height - top) / 2 * unit
    x, y = middle + down * np.array([-np.sin(turn), np.cos(turn)])
    half_x = unit * np.hypot(who.width * np.cos(turn), height * np.sin(turn))
    half_y = unit * np.hypot(who.width * np.sin(turn), height * np.cos(turn))
    return float(x - half_x), float(y - half_y), float(x + half_x), float(y + half_y)


def _grained(canvas: Image.Image, noise: float, random: np.random.Generator) -> np.ndarray:
    grain = random.standard_normal((canvas.height, canvas.width), np.float32) * np.float32(noise)
    layer = Image.fromarray((grain + 128.5).astype(np.uint8))
    return np.array(ImageChops.add(canvas, Image.merge("RGB", (layer,) * 3), offset=-128))
