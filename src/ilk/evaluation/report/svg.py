"""SVG from small pure functions: elements, and the frame of a chart with its axes.

Colours and fonts come from the style sheet through classes, so that one drawing serves a light
and a dark page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import final

import numpy as np

from ilk.evaluation.report.axes import Axis

__all__ = ["Frame", "element", "text"]


def element(tag: str, content: str = "", **attributes: str | float) -> str:
    """Return one element; numbers are rounded to 2 decimals, `_` in a name becomes `-`.

    Example:
        >>> element("circle", cx=1.0, cy=2.345, r=3, class_="dot")
        '<circle cx="1" cy="2.35" r="3" class="dot"/>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def text(content: str, x: float, y: float, **attributes: str | float) -> str:
    """Return a text element with `content` escaped."""
    return element("text", escape(content) or " ", x=x, y=y, **attributes)


@final
@dataclass(frozen=True)
class Frame:
    """A chart's plotting area between two axes, in the units of its view box."""

    x: Axis
    y: Axis
    width: float = 460
    height: float = 340
    left: float = 66
    right: float = 28
    top: float = 14
    bottom: float = 50

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where the values (x, y) lie on the page."""
        inner_width = self.width - self.left - self.right
        inner_height = self.height - self.top - self.bottom
        return (
            self.left + inner_width * self.x.place(x),
            self.top + inner_height * (1 - self.y.place(y)),
        )

    def path(self, xs: Iterable[float], ys: Iterable[float]) -> str:
        """Return the `d` of a line through values; the first and last may be clipped."""
        points = (self.at(float(x), float(y)) for x, y in zip(xs, ys, strict=True))
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)

    def chart(self, content: str, *, title: str, description: str) -> str:
        """Return the whole SVG: grid, ticks, axis labels and `content` over them.

        `title` and `description` are what a screen reader says.
        """
        spoken = element("title", escape(title)) + element("desc", escape(description))
        box = f"0 0 {self.width:g} {self.height:g}"
        inside = spoken + self._grid() + content + self._names()
        return element("svg", inside, viewBox=box, role="img", class_="chart")

    def _grid(self) -> str:
        left, bottom = self.at(self.x.low, self.y.low)
        right, top = self.at(self.x.high, self.y.high)
        parts = []
        for value, mark in self.x.ticks:
            x, _ = self.at(value, self.y.low)
            parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
            parts.append(text(mark, x, bottom + 17, text_anchor="middle", class_="tick"))
        for value, mark in self.y.ticks:
            _, y = self.at(self.x.low, value)
            parts.append(element("line", x1=left, x2=right, y1=y, y2=y, class_="grid"))
            parts.append(text(mark, left - 8, y + 4, text_anchor="end", class_="tick"))
        parts.append(element("path", d=f"M{left:g} {top:g}V{bottom:g}H{right:g}", class_="axis"))
        return "".join(parts)

    def _names(self) -> str:
        middle = self.left + (self.width - self.left - self.right) / 2
        centre = self.top + (self.height - self.top - self.bottom) / 2
        below = text(self.x.label, middle, self.height - 10, text_anchor="middle", class_="name")
        turn = f"rotate(-90 13 {centre:g})"
        return below + text(
            self.y.label, 13, centre, text_anchor="middle", class_="name", transform=turn
        )


def thinned(values: np.ndarray, largest: int) -> np.ndarray:
    """Return the positions of at most `largest` values, evenly spaced, both ends included."""
    if len(values) <= largest:
        return np.arange(len(values))
    return np.unique(np.linspace(0, len(values) - 1, largest).round().astype(int))


def _attribute(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 2):g}"
