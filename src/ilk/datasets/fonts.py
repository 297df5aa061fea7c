"""Font faces that come with matplotlib, and characters drawn with them.

matplotlib brings a dozen megabytes of fonts wherever it is installed, so they are pictures that
need no download. Only its files are read; matplotlib itself is not imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ilk.errors import DataError, MissingExtra

__all__ = ["FACES", "Face", "Shape", "open_faces"]

FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)
"""The faces that draw whole alphabets; the other files are pieces of formulas or placeholders."""

_SIZE_STEP_PIXELS = 8


class Shape(NamedTuple):
    """What a character looks like, whatever its size."""

    pixels: np.ndarray
    """The ink stretched to a square, (S, S) uint8."""
    aspect: float
    """Width over height before that."""


@final
@dataclass(frozen=True)
class Face:
    """One style of one family, such as DejaVu Sans Bold."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def characters(self) -> frozenset[str]:
        """The characters that the face can draw.

        A face draws a box for any other, so what is not listed must not be drawn. The Computer
        Modern faces keep TeX symbols at the places of some characters, so of these only
        letters and digits count.
        """
        from fontTools.ttLib import TTFont

        with TTFont(self.path, lazy=True) as font:
            characters = frozenset(map(chr, font.getBestCmap()))
        if self.name.startswith("cm"):
            return frozenset(c for c in characters if c.isascii() and c.isalnum())
        return characters

    def ink(self, character: str, side_pixels: int) -> Image.Image | None:
        """Return the character, white on black and cut to its ink, about `side_pixels` large.

        Small marks grow to at most twice the size that they have beside letters. None if there
        is no ink, as in a space.
        """
        left, top, right, bottom = _font(self.path, side_pixels).getbbox(character)
        longest = max(right - left, bottom - top)
        if longest <= 0:
            return None
        # A capital is about 0.73 of the font's size, so what is half of that grows twice.
        growth = min(side_pixels / longest, 2 / 0.73)
        steps = max(1, round(side_pixels * growth / _SIZE_STEP_PIXELS))
        return _draw(_font(self.path, steps * _SIZE_STEP_PIXELS), character)

    def shape(self, character: str, side_pixels: int) -> Shape | None:
        """Return the ink alone, free of its size and place, or None if there is no ink."""
        ink = _draw(_font(self.path, 64), character)
        if ink is None:
            return None
        square = ink.resize((side_pixels, side_pixels), Image.Resampling.BICUBIC)
        return Shape(np.asarray(square), ink.width / ink.height)


@cache
def open_faces() -> tuple[Face, ...]:
    """Return the faces of `FACES`, in that order.

    Raises:
        MissingExtra: matplotlib is not installed.
        DataError: A file is not there.
    """
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise MissingExtra(
            'glyphs are drawn with the fonts of matplotlib: pip install "ilk[train]"'
        )
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    faces = tuple(Face(folder / f"{name}.ttf") for name in FACES)
    for face in faces:
        if not face.path.is_file():
            raise DataError(f"{face.path}: expected a font of matplotlib; reinstall matplotlib")
    return faces


@cache
def _font(path: Path, size_pixels: int) -> ImageFont.FreeTypeFont:
    # The basic layout draws single characters the same way with and without libraqm.
    return ImageFont.truetype(path, size_pixels, layout_engine=ImageFont.Layout.BASIC)


def _draw(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    left, top, right, bottom = (round(side) for side in font.getbbox(character))
    if right <= left or bottom <= top:
        return None
    canvas = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(canvas).text((-left, -top), character, fill=255, font=font)
    box = canvas.getbbox()
    return canvas.crop(box) if box else None
