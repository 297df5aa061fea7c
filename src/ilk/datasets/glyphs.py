"""Glyphs: characters of many scripts, drawn by many faces, each a little differently.

A class is a character, an item is one face's drawing of it under a seeded distortion. The parts
"train" and "test" share no script, and no two classes look the same: of the Latin A, the Greek
Alpha and the Cyrillic A only the first is kept. Made in seconds, without any download.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from ilk.datasets.fonts import Face, Shape, open_faces
from ilk.errors import DataError, InvalidInput
from ilk.items import Item, Items

__all__ = ["SCRIPTS", "glyphs"]


class Script(NamedTuple):
    """Where a script's characters are and what it serves for."""

    name: str
    part: str
    ranges: tuple[tuple[int, int], ...]
    """First and last code points."""


SCRIPTS = (
    Script(
        "Latin",
        "train",
        ((0x30, 0x39), (0x41, 0x24F), (0x250, 0x2AF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F)),
    ),
    Script("Greek", "train", ((0x370, 0x3FF), (0x1F00, 0x1FFF))),
    Script("Canadian Aboriginal", "train", ((0x1401, 0x167F),)),
    Script("Symbols", "train", ((0x2190, 0x21FF), (0x2200, 0x22FF), (0x2A00, 0x2AFF))),
    Script("Cyrillic", "test", ((0x400, 0x52F),)),
    Script("Armenian", "test", ((0x531, 0x587),)),
    Script("Georgian", "test", ((0x10A0, 0x10FF),)),
    Script("Hebrew", "test", ((0x5D0, 0x5EA),)),
    Script("Arabic", "test", ((0x621, 0x64A), (0x660, 0x669), (0x671, 0x6FC))),
    Script("Tifinagh", "test", ((0x2D30, 0x2D7F),)),
    Script("N'Ko", "test", ((0x7C0, 0x7FF),)),
    Script("Lao", "test", ((0xE81, 0xEDF),)),
    Script("Ogham", "test", ((0x1681, 0x169A),)),
    Script("Old Italic", "test", ((0x10300, 0x1031F),)),
)
"""In this order: a character that looks like one of an earlier script is left out."""

_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lo", "Nd", "Sm", "So"})
"""Letters, digits and symbols; no marks that need something to stand on."""

_SHAPE_PIXELS = 24
_SAME_SHAPE = 0.2
"""Two shapes are the same if the squares of what differs are below this share of the squares of
the fainter one, and one is not wider than `_SAME_ASPECT` times the other. That takes in the small
letter of a capital, a dot more or less, and here and there another letter, such as F beside E: a
class too few does no harm."""
_SAME_ASPECT = 1.4

_SIZE_PIXELS = 64
_INK_PIXELS = 42
_MESH = 4
"""Cells per axis of the grid that bends a drawing."""

_CELL = _SIZE_PIXELS // _MESH
_BOXES = tuple(
    (x, y, x + _CELL, y + _CELL)
    for y in range(0, _SIZE_PIXELS, _CELL)
    for x in range(0, _SIZE_PIXELS, _CELL)
)


def glyphs(part: str | None = None, *, seed: int = 0, items_per_class: int = 12) -> Items:
    """Draw the characters of a part.

    Args:
        part: "train" or "test"; None is both.
        seed: Decides the order of the faces and the distortions. The classes do not depend on it.
        items_per_class: How often each character is drawn. Its faces take turns, so with fewer
            faces than items a face draws it again, differently.

    Returns:
        Items of (64, 64) uint8, black on white, with the label Script/name of the character, the
        part as split and the face as group.

    Raises:
        DataError: There is no such part.
        InvalidInput: `items_per_class` is below 1.
        MissingExtra: matplotlib, whose fonts draw them, is not installed.

    Example:
        >>> items = glyphs("test", items_per_class=1)
        >>> items.items[0].label, items.items[0].source.shape
        ('Cyrillic/capital letter dje', (64, 64))
    """
    if part not in (None, "train", "test"):
        raise DataError(f"glyphs has the parts train and test, got {part!r}")
    if items_per_class < 1:
        raise InvalidInput(f"items_per_class must be at least 1, got {items_per_class}")
    drawn = tuple(
        item
        for script, character in _distinct_characters()
        if part in (None, script.part)
        for item in _draw_class(script, character, seed, items_per_class)
    )
    return Items(drawn, origin="glyphs" if part is None else f"glyphs:{part}")


def _draw_class(script: Script, character: str, seed: int, num_items: int) -> Iterator[Item]:
    random = np.random.default_rng([seed, ord(character)])
    faces = [face for face in open_faces() if character in face.characters]
    order = random.permutation(len(faces))
    label = f"{script.name}/{_short_name(script, character)}"
    for i in range(num_items):
        face = faces[order[i % len(faces)]]
        name = f"U+{ord(character):04X} {face.name} {i}"
        yield Item(_drawing(face, character, random), label, name, script.part, face.name)


def _short_name(script: Script, character: str) -> str:
    """Return the Unicode name without that of the script: "capital letter zhe"."""
    name = unicodedata.name(character).lower()
    return name.removeprefix(script.name.lower().replace("'", "") + " ")


def _drawing(face: Face, character: str, random: np.random.Generator) -> np.ndarray:
    """Return one distorted drawing, (64, 64) uint8, black on white."""
    ink = face.ink(character, _INK_PIXELS)
    if ink is None:
        raise DataError(f"{face.name} draws nothing for U+{ord(character):04X}")
    corners = _bent_corners(random) + np.array(ink.size) / 2
    # Pillow wants the upper left, lower left, lower right and upper right corner of each cell.
    around = (corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:])
    quads = np.concatenate(around, -1).reshape(-1, 8).tolist()
    cells = list(zip(_BOXES, quads, strict=True))
    size = (_SIZE_PIXELS, _SIZE_PIXELS)
    bent = ink.transform(size, Image.Transform.MESH, cells, Image.Resampling.BILINEAR)
    return 255 - np.asarray(bent)


def _bent_corners(random: np.random.Generator) -> np.ndarray:
    """Return where the corners of the mesh are read from, around 0: (MESH + 1, MESH + 1, 2)."""
    ticks = np.linspace(-_SIZE_PIXELS / 2, _SIZE_PIXELS / 2, _MESH + 1)
    corners = np.stack(np.meshgrid(ticks, ticks), -1)
    angle, slant = random.uniform(-1, 1, 2) * (np.radians(7), 0.12)
    stretch = np.exp(random.uniform(-1, 1, 2) * np.log(1.15))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = corners @ (turn @ np.array([[1, slant], [0, 1]]) * stretch).T
    bend = random.normal(0, 0.9, corners.shape)
    return corners + bend + random.uniform(-3, 3, 2)


@cache
def _distinct_characters() -> tuple[tuple[Script, str], ...]:
    """Return the characters that are drawn and look like no earlier one, in order."""
    sans, serif = (face for face in open_faces() if face.name in ("DejaVuSans", "DejaVuSerif"))
    found = [(script, c) for script in SCRIPTS for c in _characters(script) if c in sans.characters]
    keeps = np.ones(len(found), bool)
    for face in (sans, serif):
        shapes = [face.shape(c, _SHAPE_PIXELS) if c in face.characters else None for _, c in found]
        if face is sans:
            keeps &= [shape is not None for shape in shapes]
        rows = [i for i, shape in enumerate(shapes) if shape is not None]
        same = _look_alike([shape for shape in shapes if shape is not None])
        for i, row in enumerate(rows):
            keeps[row] &= not (same[i, :i] & keeps[rows[:i]]).any()
    return tuple(pair for pair, keep in zip(found, keeps, strict=True) if keep)


def _characters(script: Script) -> Iterator[str]:
    for first, last in script.ranges:
        for character in map(chr, range(first, last + 1)):
            if unicodedata.category(character) in _CATEGORIES:
                yield character


def _look_alike(shapes: Sequence[Shape]) -> np.ndarray:
    """Return which of N shapes are nearly equal, (N, N) bool.

    The sums are of integers below 2^53, so they are exact and the same on every machine.
    """
    pixels = np.stack([shape.pixels.ravel() for shape in shapes]).astype(np.float64)
    aspects = np.log([shape.aspect for shape in shapes])
    power = (pixels * pixels).sum(1)
    differing = power[:, None] + power - 2 * pixels @ pixels.T
    is_as_wide = abs(aspects[:, None] - aspects) <= np.log(_SAME_ASPECT)
    return (differing <= _SAME_SHAPE * np.minimum(power[:, None], power)) & is_as_wide
