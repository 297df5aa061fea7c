"""Labels of regions in a picture: what they say, and where they fit.

Coordinates are pixels of the drawing, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from PIL import ImageDraw

from ilk.images import Box
from ilk.lettering import Font, shortened, told
from ilk.results import Identification
from ilk.thresholds import within

__all__ = ["Label", "Line", "Place", "label_of", "outline", "place_labels"]

_STYLES = {
    "identified": ("#0066a8", "white", None),
    "unknown": ("#b8450a", "white", None),
    "ambiguous": ("#f0c419", "#1c1e21", (3.0, 1.5)),
    "not_assessable": ("#4a4f55", "white", (1.0, 1.5)),
}
"""Colour, colour of the text on it, and the dashes of the box in widths of the line; told apart
by the colour-blind, and in grey."""

_MOST_WIDE = 14
"""The most that a label is wide, in heights of its text."""


@final
@dataclass(frozen=True)
class Line:
    """One line of a label."""

    words: str
    font: Font
    base: int
    """Where its letters stand, from the top of the label."""


@final
@dataclass(frozen=True, eq=False)
class Label:
    """What is written about a region."""

    lines: tuple[Line, ...]
    colour: str
    ink: str
    dashes: tuple[float, float] | None
    width: int
    height: int
    padding: int


@final
@dataclass(frozen=True, eq=False)
class Place:
    """Where a label goes."""

    label: Label
    corner: tuple[float, float]
    """Left and top."""
    is_far: bool
    """Whether it lies away from its box, so that a line should lead there."""


def label_of(answer: Identification, number: int, text: int) -> Label:
    """Return the label of an answer.

    Args:
        answer: About the region.
        number: Of the region in the picture; 0 is not written.
        text: Height of the text in pixels.
    """
    colour, ink, dashes = _STYLES[answer.decision]
    first, *further = _words(answer)
    padding = max(3, round(text * 0.3))
    lines, top, width = [], padding, 0.0
    for at, words in enumerate((f"#{number} {first}" if number else first, *further)):
        size = max(9, round(text * (0.85 if at else 1.0)))
        whole, font = told(words, size, beside="≤")
        line = shortened(whole, font, _MOST_WIDE * text)
        lines.append(Line(line, font, top + round(0.92 * size)))
        width = max(width, font.getlength(line))
        top += round(size * 1.22)
    return Label(
        tuple(lines), colour, ink, dashes, round(width) + 2 * padding, top + padding, padding
    )


def outline(draw: ImageDraw.ImageDraw, box: Box, label: Label, width: int) -> None:
    """Draw the box of a region with a light edge, so that it shows on anything."""
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        return
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="white", width=width + 2)
    if label.dashes is None:
        draw.rectangle((x1, y1, x2, y2), outline=label.colour, width=width)
        return
    for start, end in _dashed(box, label.dashes[0] * width * 2, label.dashes[1] * width * 2, width):
        draw.line([start, end], fill=label.colour, width=width)


def place_labels(
    labels: Sequence[Label], boxes: Sequence[Box], size: tuple[int, int], gap: int
) -> list[Place]:
    """Choose where labels go: in the picture, off each other, off the regions, near their own.

    Args:
        labels: What to place.
        boxes: The region of each, in the picture.
        size: Width and height of the picture.
        gap: Between a label and its box.
    """
    areas = np.array(boxes, float).reshape(-1, 4)
    taken = np.zeros((0, 4))
    placed: dict[int, Place] = {}
    for i in sorted(range(len(labels)), key=lambda i: _room_around(areas, i)):
        spots = np.array(list(_spots(labels[i], areas[i], size, gap)))
        extent = np.array([labels[i].width, labels[i].height])
        corners = np.clip(spots[:, :2], 0, np.maximum(0, np.array(size) - extent))
        rows = np.concatenate([corners, corners + extent], axis=1)
        others = np.delete(areas, i, axis=0)
        own = labels[i].width * labels[i].height
        covered = _overlap(rows, taken)
        cost = spots[:, 2] + 30 * (covered > 0) + 100 * covered / own
        cost += 12 * _overlap(rows, others) / own + 4 * _overlap(rows, areas[i : i + 1]) / own
        best = int(cost.argmin())
        taken = np.concatenate([taken, rows[best : best + 1]])
        x, y = corners[best].tolist()
        placed[i] = Place(labels[i], (x, y), _gap_to(rows[best], areas[i]) > 2 * gap + 2)
    return [placed[i] for i in range(len(labels))]


def _words(answer: Identification) -> list[str]:
    """Return what a label says: who it is, and how far."""
    if answer.decision == "not_assessable":
        return ["not assessable", answer.code.replace("_", " ") or answer.reason]
    lines = [answer.label if answer.label is not None else answer.decision]
    if answer.decision == "ambiguous":
        lines.append(" or ".join(candidate.label for candidate in answer.candidates[:2]))
    if answer.distance is not None and answer.threshold is not None:
        distance, limit = answer.distance, answer.threshold.value
        sign = "≤" if within(distance, limit) else ">"
        digits = next((d for d in range(3, 9) if f"{distance:.{d}f}" != f"{limit:.{d}f}"), 3)
        lines.append(f"{distance:.{digits}f} {sign} {limit:.{digits}f}")
    return lines


def _spots(
    label: Label, box: np.ndarray, size: tuple[int, int], gap: int
) -> Iterator[tuple[float, float, float]]:
    """Yield left, top and cost of where a label may go: the natural places first."""
    x1, y1, x2, y2 = box.tolist()
    w, h = label.width, label.height
    middle, level = (x1 + x2 - w) / 2, (y1 + y2 - h) / 2
    above, below = y1 - h - gap, y2 + gap
    yield from ((x1, above, 0.0), (middle, above, 0.3), (x2 - w, above, 0.4))
    yield from ((x1, below, 0.6), (middle, below, 0.7), (x2 - w, below, 0.8))
    yield from ((x2 + gap, y1, 1.0), (x2 + gap, level, 1.1), (x2 + gap, y2 - h, 1.2))
    yield from ((x1 - w - gap, y1, 1.3), (x1 - w - gap, level, 1.4), (x1 - w - gap, y2 - h, 1.5))
    yield from ((x1 + gap, y1 + gap, 0.5), (x1 + gap, y2 - h - gap, 0.6))
    for ring in range(1, 9):
        for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False).tolist():
            x = middle + np.cos(angle) * (ring * w / 2 + (x2 - x1) / 2)
            y = level + np.sin(angle) * (ring * h + (y2 - y1) / 2)
            yield float(x), float(y), 2.0 + ring


def _room_around(boxes: np.ndarray, i: int) -> float:
    """Return how far the closest other region is: those in a crowd are placed first."""
    others = np.delete(boxes, i, axis=0)
    if not len(others):
        return 0.0
    middles = (others[:, :2] + others[:, 2:]) / 2 - (boxes[i, :2] + boxes[i, 2:]) / 2
    return float(np.hypot(middles[:, 0], middles[:, 1]).min())


def _overlap(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area that each of (n, 4) boxes shares with all (m, 4) others together."""
    low = np.maximum(rows[:, None, :2], others[None, :, :2])
    high = np.minimum(rows[:, None, 2:], others[None, :, 2:])
    shared: np.ndarray = np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
    return shared


def _gap_to(row: np.ndarray, box: np.ndarray) -> float:
    """Return how far apart two boxes are."""
    apart = np.maximum(0, np.maximum(row[:2] - box[2:], box[:2] - row[2:]))
    return float(np.hypot(*apart))


def _dashed(
    box: Box, dash: float, space: float, width: int
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield the ends of the dashes around a box, in the middle of its line."""
    half = width / 2
    x1, y1, x2, y2 = box[0] + half, box[1] + half, box[2] - half, box[3] - half
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    for start, end in pairwise(corners):
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        if not length:
            continue
        along = np.subtract(end, start) / length
        for at in np.arange(0, length, dash + space).tolist():
            first, last = start + along * at, start + along * min(at + dash, length)
            yield (float(first[0]), float(first[1])), (float(last[0]), float(last[1]))
