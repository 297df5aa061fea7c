"""A sheet of decisions as one picture: what was asked, what was closest, what was answered.

Colour is never alone: each cell says its verdict in words and shows it as a sign.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from ilk.errors import InvalidInput
from ilk.evaluation.sheet_cell import CELL_HEIGHT, CELL_WIDTH, INK, SOFT, Fonts, Verdict, draw_cell
from ilk.thresholds import within
from ilk.whole_file import whole_file

__all__ = ["Decision", "draw_contact_sheet", "write_contact_sheet"]

_MARGIN, _GAP = 48, 24
_TITLE_SIZE, _SUBTITLE_SIZE, _HEADING_SIZE, _LEGEND_SIZE = 44, 27, 32, 25
_PAPER = "#fbfaf7"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """One probe and what a gallery made of it."""

    probe: np.ndarray
    """The input as a picture, (H, W, 3) uint8."""
    exemplar: np.ndarray
    """The closest enrolled example as a picture, (H, W, 3) uint8."""
    true_label: str
    """The class of the probe."""
    is_mated: bool
    """Whether that class is enrolled."""
    closest_label: str
    """The class of the exemplar."""
    distance: float
    """From the probe to the exemplar."""
    limit: float
    """The largest accepted distance."""
    is_ambiguous: bool = False
    """Whether a second class was accepted too, and too close to the first to choose."""

    @property
    def label(self) -> str | None:
        """The answer; None is unknown or ambiguous."""
        is_accepted = within(self.distance, self.limit) and not self.is_ambiguous
        return self.closest_label if is_accepted else None

    @property
    def said(self) -> str:
        """The answer in words."""
        return self.label or ("ambiguous" if self.is_ambiguous else "unknown")

    @property
    def is_right(self) -> bool:
        """Whether the answer is the class of a mated probe, or unknown for a stranger."""
        return self.label == (self.true_label if self.is_mated else None)


def write_contact_sheet(
    path: str | os.PathLike[str],
    decisions: Sequence[Decision],
    *,
    title: str,
    subtitle: str = "",
    num_columns: int = 4,
) -> None:
    """Write the picture of `draw_contact_sheet` as PNG.

    Raises:
        InvalidInput: There are no decisions, or fewer than 2 columns.
        OSError: The file cannot be written.
    """
    sheet = draw_contact_sheet(decisions, title=title, subtitle=subtitle, num_columns=num_columns)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as partial:
        sheet.save(partial, "PNG", optimize=True)


def draw_contact_sheet(
    decisions: Sequence[Decision],
    *,
    title: str,
    subtitle: str = "",
    num_columns: int = 4,
) -> Image.Image:
    """Return the sheet: probes of enrolled classes first, then strangers, in the order given.

    Args:
        decisions: At least one.
        title: One line above everything.
        subtitle: One line below it, such as the threshold and what it promises.
        num_columns: Cells side by side, at least 2.

    Raises:
        InvalidInput: There are no decisions, or fewer than 2 columns.
    """
    if not decisions or num_columns < 2:
        raise InvalidInput(
            f"a contact sheet needs at least 1 decision and 2 columns, got {len(decisions)} and "
            f"{num_columns}; pass decisions to show"
        )
    mated = [d for d in decisions if d.is_mated]
    strangers = [d for d in decisions if not d.is_mated]
    groups = [
        (_heading("Enrolled classes", mated), mated),
        (_heading("Classes never enrolled", strangers), strangers),
    ]
    groups = [(heading, group) for heading, group in groups if group]
    width = 2 * _MARGIN + num_columns * (CELL_WIDTH + _GAP) - _GAP
    height = _top(subtitle) + sum(_group_height(len(g), num_columns) for _, g in groups) + 84
    sheet = Image.new("RGB", (width, height), _PAPER)
    fonts = Fonts()
    _write_head(sheet, fonts, title, subtitle)
    top = _top(subtitle)
    for heading, group in groups:
        _draw_group(sheet, fonts, top, heading, group, num_columns)
        top += _group_height(len(group), num_columns)
    _write_legend(sheet, fonts, top)
    return sheet


def _heading(words: str, group: Sequence[Decision]) -> str:
    return f"{words}: {sum(d.is_right for d in group)} of {len(group)} right"


def _top(subtitle: str) -> int:
    return _MARGIN + _TITLE_SIZE + 16 + ((_SUBTITLE_SIZE + 16) if subtitle else 0)


def _group_height(size: int, num_columns: int) -> int:
    rows = -(-size // num_columns)
    return 30 + _HEADING_SIZE + 22 + rows * (CELL_HEIGHT + _GAP)


def _write_head(sheet: Image.Image, fonts: Fonts, title: str, subtitle: str) -> None:
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * _MARGIN
    fonts.write(draw, (_MARGIN, _MARGIN), title, _TITLE_SIZE, INK, room, is_bold=True)
    if subtitle:
        below = _MARGIN + _TITLE_SIZE + 18
        fonts.write(draw, (_MARGIN, below), subtitle, _SUBTITLE_SIZE, SOFT, room)


def _draw_group(
    sheet: Image.Image,
    fonts: Fonts,
    top: int,
    heading: str,
    group: Sequence[Decision],
    num_columns: int,
) -> None:
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * _MARGIN
    fonts.write(draw, (_MARGIN, top + 30), heading, _HEADING_SIZE, INK, room, is_bold=True)
    for i, decision in enumerate(group):
        row, column = divmod(i, num_columns)
        left = _MARGIN + column * (CELL_WIDTH + _GAP)
        below = top + 30 + _HEADING_SIZE + 22 + row * (CELL_HEIGHT + _GAP)
        draw_cell(sheet, (left, below), fonts, _verdict(decision))


def _verdict(decision: Decision) -> Verdict:
    answer = decision.label
    if decision.is_right:
        words = f"{decision.said}, right" if answer is None else "identified, right"
    elif answer is None:
        words = f"{decision.said}, missed"
    else:
        words = "identified, wrong" if decision.is_mated else "named, wrong"
    return Verdict(
        words=words,
        is_right=decision.is_right,
        answer=answer,
        said=decision.said,
        truth=decision.true_label,
        probe=decision.probe,
        exemplar=decision.exemplar,
        distance=decision.distance,
        limit=decision.limit,
    )


def _write_legend(sheet: Image.Image, fonts: Fonts, top: int) -> None:
    words = (
        "Left: the probe. Right: the closest enrolled example, faded where it was not accepted. "
        "Bar: its distance; the tick is the threshold."
    )
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * _MARGIN
    fonts.write(draw, (_MARGIN, top + 12), words, _LEGEND_SIZE, SOFT, room)
