"""A picture with what was answered about it: boxes, names, distances, and what that promises.

Colour is never alone: the decision is in words, too, and the outline of a box differs. Pictures
that are too small to write in are enlarged.

Shapes: H and W height and width of the picture in pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from ilk.drawing.labels import Label, Place, label_of, outline, place_labels
from ilk.errors import InvalidInput
from ilk.images import Box
from ilk.lettering import told, wrapped
from ilk.results import Decision, Identification, PictureAnswer
from ilk.whole_file import whole_file
from ilk.words import told_picture_promise, told_promise

__all__ = ["draw_answers", "write_drawing"]

_PAPER, _INK, _SOFT = "#fbfaf7", "#1c1e21", "#5b6067"
_LEAST_SIDE, _MOST_SIDE = 1000, 4000
"""The longer side of a drawing: smaller pictures are enlarged to the first; up to the second if
that makes small regions legible."""
_LEGIBLE_REGION = 72
"""The shorter side that half of the regions should have, at least."""
_LEAST_TEXT = 11
_SHARE_OF_LABELS, _LABEL_AREA = 0.12, 16
"""How much of a picture labels may cover, and the area of one in squared heights of its text."""
_ORDER: tuple[Decision, ...] = ("identified", "ambiguous", "unknown", "not_assessable")


@final
@dataclass(frozen=True)
class _Sheet:
    """The sizes of a drawing, in its own pixels."""

    scale: float
    text: int
    line: int
    """Of an outline."""


def draw_answers(
    image: np.ndarray, answers: PictureAnswer, *, title: str = "", noun: str = "region"
) -> Image.Image:
    """Return the picture with a box and a label per region, and a strip of words below it.

    A label gives the number of the region, its name or "unknown", "ambiguous" or why it is not
    assessable, and distance and threshold. The strip gives the threshold and what it promises per
    region and for the picture.

    Args:
        image: The (H, W, 3) uint8 picture as `read_image` gives it.
        answers: About it.
        title: Begins the strip; the picture's name if there is none.
        noun: What one region shows: "face".

    Raises:
        InvalidInput: `image` is no such picture.

    Example:
        >>> nobody = Identification(decision="not_assessable", label=None, reason="no face")
        >>> picture = PictureAnswer(name="wall.jpg", answers=(nobody,))
        >>> draw_answers(np.zeros((60, 100, 3), np.uint8), picture).width
        1000
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InvalidInput(
            f"expected a picture of (H, W, 3) uint8, got {image.shape} {image.dtype}; read it with "
            "ilk.images.read_image"
        )
    shown = [(number, a) for number, a in enumerate(answers.answers, 1) if _box_of(a, image)]
    boxes = [_box_of(answer, image) or (0.0, 0.0, 0.0, 0.0) for _, answer in shown]
    sheet = _sheet_for(image, boxes)
    height, width = (round(side * sheet.scale) for side in image.shape[:2])
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    boxes = [tuple(v * sheet.scale for v in box) for box in boxes]  # type: ignore[misc]
    is_one = len(answers.answers) == 1
    labels = [label_of(a, 0 if is_one else number, sheet.text) for number, a in shown]
    _draw_regions(picture, boxes, labels, sheet)
    strip = _strip(answers, title or answers.name, noun, width, sheet.text)
    whole = Image.new("RGB", (max(width, strip.width), height + strip.height), _PAPER)
    whole.paste(picture, ((whole.width - width) // 2, 0))
    whole.paste(strip, (0, height))
    return whole


def write_drawing(drawing: Image.Image, path: Path) -> None:
    """Write a drawing as PNG, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path) as partial:
        drawing.save(partial, "PNG", compress_level=4)


def _box_of(answer: Identification, image: np.ndarray) -> Box | None:
    """Return where to draw: all of the picture if a whole one was compared, None for nowhere."""
    if answer.region is not None:
        return answer.region.box
    if answer.decision == "not_assessable":
        return None
    return 0.0, 0.0, float(image.shape[1]), float(image.shape[0])


def _sheet_for(image: np.ndarray, boxes: Sequence[Box]) -> _Sheet:
    """Choose sizes: text grows with the picture and with its regions, and can always be read."""
    longer = max(image.shape[:2])
    sizes = [min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
    usual = float(np.median(sizes)) if sizes else float(longer)
    wanted = max(1.0, _LEAST_SIDE / longer, _LEGIBLE_REGION / max(usual, 1.0))
    scale = min(wanted, max(1.0, _MOST_SIDE / longer))
    longer, usual = round(longer * scale), usual * scale
    text = np.clip(usual / 5.5, longer / 90, longer / 42)
    room = _SHARE_OF_LABELS * image.shape[0] * image.shape[1] * scale**2 / max(1, len(boxes))
    text = max(_LEAST_TEXT, int(min(text, np.sqrt(room / _LABEL_AREA))))
    return _Sheet(scale, text, max(2, round(min(text / 6, usual / 12))))


def _draw_regions(
    picture: Image.Image, boxes: Sequence[Box], labels: Sequence[Label], sheet: _Sheet
) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    kept = [
        (max(0.0, x1), max(0.0, y1), min(width - 1.0, x2), min(height - 1.0, y2))
        for x1, y1, x2, y2 in boxes
    ]
    for box, label in zip(kept, labels, strict=True):
        outline(draw, box, label, sheet.line)
    places = place_labels(labels, kept, picture.size, sheet.line)
    for place, box in zip(places, kept, strict=True):
        if place.is_far:
            ends = _leader(place, box)
            draw.line(ends, fill="white", width=sheet.line + 2)
            draw.line(ends, fill=place.label.colour, width=sheet.line)
    for place in places:
        _write_label(draw, place, sheet)


def _write_label(draw: ImageDraw.ImageDraw, place: Place, sheet: _Sheet) -> None:
    label, (x, y) = place.label, place.corner
    area = (x, y, x + label.width - 1, y + label.height - 1)
    draw.rounded_rectangle(area, sheet.text // 4, fill=label.colour, outline="white", width=1)
    for line in label.lines:
        at = (x + label.padding, y + line.base)
        draw.text(at, line.words, fill=label.ink, font=line.font, anchor="ls")


def _leader(place: Place, box: Box) -> list[tuple[float, float]]:
    """Return the ends of the line from a label that lies away from its box to that."""
    x, y = place.corner
    right, bottom = x + place.label.width, y + place.label.height
    middle = ((x + right) / 2, (y + bottom) / 2)
    x1, y1, x2, y2 = box
    end = (float(np.clip(middle[0], x1, x2)), float(np.clip(middle[1], y1, y2)))
    start = (float(np.clip(end[0], x, right)), float(np.clip(end[1], y, bottom)))
    return [start, end]


def _strip(answers: PictureAnswer, title: str, noun: str, width: int, text: int) -> Image.Image:
    """Return the words below the picture: whose it is, what was found, what is promised."""
    size = max(text, 14, width // 85)
    pad = size
    width = max(width, 30 * size)
    lines = []
    for words, colour, share in _sentences(answers, title, noun):
        shown, font = told(words, round(size * share))
        lines += [(line, font, colour, share) for line in wrapped(shown, font, width - 2 * pad)]
    step = [round(1.4 * size * share) for *_, share in lines]
    strip = Image.new("RGB", (width, sum(step) + 2 * pad - size // 3), _PAPER)
    draw = ImageDraw.Draw(strip)
    y = pad
    for (line, font, colour, _), down in zip(lines, step, strict=True):
        draw.text((pad, y + round(down / 1.4)), line, fill=colour, font=font, anchor="ls")
        y += down
    return strip


def _sentences(answers: PictureAnswer, title: str, noun: str) -> list[tuple[str, str, float]]:
    """Return the words of the strip, each with its colour and size."""
    counts = Counter(answer.decision for answer in answers.answers)
    found = [f"{counts[d]} {d.replace('_', ' ')}" for d in _ORDER if counts[d]]
    sentences = [(title, _INK, 1.25)] if title else []
    reasons = [a.reason for a in answers.answers if a.region is None and a.code]
    sentences.append((reasons[0] if reasons else ", ".join(found), _INK, 1.0))
    threshold = next((a.threshold for a in answers.answers if a.threshold is not None), None)
    if threshold is not None:
        sentences.append((told_promise(threshold, noun), _SOFT, 1.0))
        rate = answers.most_false_names
        if rate is not None and answers.num_compared > 1:
            told_picture = told_picture_promise(answers.num_compared, rate, noun)
            sentences.append((told_picture, _SOFT, 1.0))
    return sentences
