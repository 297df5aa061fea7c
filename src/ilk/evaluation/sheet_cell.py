"""One cell of a contact sheet, drawn with Pillow: two pictures, a verdict, a distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from ilk.lettering import font_for, printable, shortened

__all__ = ["CELL_HEIGHT", "CELL_WIDTH", "INK", "SOFT", "Fonts", "Verdict", "draw_cell"]

CELL_WIDTH, CELL_HEIGHT = 372, 356
INK, SOFT = "#1c1e21", "#5b6067"
_RIGHT, _WRONG, _LINE, _RAIL = "#0066a8", "#c2500a", "#e3e0d8", "#dedad0"
_PAD, _PICTURE, _BAND = 16, 162, 48


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What a cell shows."""

    words: str
    is_right: bool
    answer: str | None
    said: str
    """The answer in words, also where no class is named."""
    truth: str
    probe: np.ndarray
    exemplar: np.ndarray
    distance: float
    limit: float


@final
class Fonts:
    """Writes text that fits; falls back to a font that has the characters, if there is one."""

    def write(
        self,
        draw: ImageDraw.ImageDraw,
        at: tuple[float, float],
        words: str,
        size: int,
        colour: str,
        room: float,
        *,
        is_bold: bool = False,
    ) -> None:
        """Write one line at its left top corner; what is too long loses its middle."""
        whole = printable(words)
        font = font_for(whole, size)
        line = shortened(whole, font, room)
        stroke = size / 64 if is_bold else 0
        draw.text(at, line, fill=colour, font=font, stroke_width=stroke, stroke_fill=colour)


def draw_cell(sheet: Image.Image, corner: tuple[int, int], fonts: Fonts, verdict: Verdict) -> None:
    """Draw a verdict into `sheet` with its left top at `corner`."""
    x, y = corner
    colour = _RIGHT if verdict.is_right else _WRONG
    draw = ImageDraw.Draw(sheet)
    box = (x, y, x + CELL_WIDTH - 1, y + CELL_HEIGHT - 1)
    draw.rounded_rectangle(box, 14, fill="white", outline=colour, width=3)
    band = (x, y, x + CELL_WIDTH - 1, y + _BAND)
    draw.rounded_rectangle(band, 14, fill=colour, corners=(True, True, False, False))
    _sign(draw, x + 28, y + _BAND // 2, verdict.is_right)
    fonts.write(draw, (x + 52, y + 10), verdict.words, 26, "white", 300)
    top = y + _BAND + 14
    _picture(sheet, (x + _PAD, top), verdict.probe, is_faded=False)
    second = x + CELL_WIDTH - _PAD - _PICTURE
    _picture(sheet, (second, top), verdict.exemplar, is_faded=verdict.answer is None)
    _relation(draw, x + CELL_WIDTH / 2, top + _PICTURE / 2, verdict.answer is not None, colour)
    line = top + _PICTURE + 10
    room = CELL_WIDTH - 2 * _PAD - 92
    for i, (name, words) in enumerate((("answer", verdict.said), ("truth", verdict.truth))):
        fonts.write(draw, (x + _PAD, line + 33 * i), name, 23, SOFT, 90)
        fonts.write(draw, (x + _PAD + 92, line + 33 * i), words, 25, INK, room, is_bold=not i)
    _distance_bar(draw, fonts, x + _PAD, line + 76, verdict, colour)


def _picture(
    sheet: Image.Image, corner: tuple[int, int], picture: np.ndarray, *, is_faded: bool
) -> None:
    image = Image.fromarray(picture)
    scale = _PICTURE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (_PICTURE, _PICTURE), "white")
    square.paste(image, ((_PICTURE - size[0]) // 2, (_PICTURE - size[1]) // 2))
    if is_faded:
        square = Image.blend(square, Image.new("RGB", square.size, "white"), 0.6)
    sheet.paste(square, corner)
    x, y = corner
    outline = (x - 1, y - 1, x + _PICTURE, y + _PICTURE)
    ImageDraw.Draw(sheet).rectangle(outline, outline=_LINE, width=2)


def _sign(draw: ImageDraw.ImageDraw, x: float, y: float, is_right: bool) -> None:
    """Draw a tick or a cross around (x, y)."""
    if is_right:
        points = [(x - 10, y + 1), (x - 3, y + 8), (x + 11, y - 8)]
        draw.line(points, fill="white", width=5, joint="curve")
    else:
        draw.line([(x - 9, y - 9), (x + 9, y + 9)], fill="white", width=5)
        draw.line([(x - 9, y + 9), (x + 9, y - 9)], fill="white", width=5)


def _relation(
    draw: ImageDraw.ImageDraw, x: float, y: float, is_accepted: bool, colour: str
) -> None:
    """Draw "equal" or "not equal" in a disc between the two pictures."""
    draw.ellipse((x - 22, y - 22, x + 22, y + 22), fill="white", outline=colour, width=3)
    for offset in (-6, 6):
        draw.line([(x - 10, y + offset), (x + 10, y + offset)], fill=colour, width=4)
    if not is_accepted:
        draw.line([(x - 7, y + 14), (x + 7, y - 14)], fill=colour, width=4)


def _distance_bar(
    draw: ImageDraw.ImageDraw, fonts: Fonts, x: int, y: int, verdict: Verdict, colour: str
) -> None:
    """Draw the distance as a bar whose tick, at 60 % of its room, is the threshold."""
    room = CELL_WIDTH - 2 * _PAD - 92
    full = max(verdict.limit, 1e-12) / 0.6
    share = float(np.clip(np.nan_to_num(verdict.distance / full, nan=1.0), 0.0, 1.0))
    fonts.write(draw, (x, y), f"{verdict.distance:.3f}", 25, INK, 90)
    start, middle = x + 92, y + 15
    draw.rounded_rectangle((start, middle - 5, start + room, middle + 5), 5, fill=_RAIL)
    end = start + max(10.0, share * room)
    draw.rounded_rectangle((start, middle - 5, end, middle + 5), 5, fill=colour)
    tick = start + 0.6 * room
    draw.line([(tick, middle - 14), (tick, middle + 14)], fill=INK, width=4)
