"""Faces moved within a picture, turned with it, and put in the order in which people read.

Shapes: M faces, rows of 15 as in `yunet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ilk.detector import Region

__all__ = ["in_reading_order", "quarter_turns", "shifted", "turned_back"]

_ROW_SHARE = 0.5
"""Faces whose middles differ by less than this share of their height stand in one row."""


def shifted(rows: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return (M, 15) faces of a part of a picture that begins at x, y, in that of the picture."""
    moved = rows.copy()
    moved[:, 0:14:2] += x
    moved[:, 1:14:2] += y
    return moved


def quarter_turns(rows: np.ndarray) -> set[int]:
    """Return by which `np.rot90(image, turns)` faces would come to stand upright, 0 to 3."""
    tilts = np.arctan2(rows[:, 7] - rows[:, 5], rows[:, 6] - rows[:, 4])
    return set((np.rint(tilts / (np.pi / 2)).astype(int) % 4).tolist())


def turned_back(rows: np.ndarray, turns: int, image: np.ndarray) -> np.ndarray:
    """Return (M, 15) faces of `np.rot90(image, turns)` in pixels of the (H, W, 3) image."""
    points = rows[:, :14].reshape(-1, 7, 2)
    height, width = image.shape[:2]
    for turn in range(turns, 0, -1):
        # one turn to the left took x, y to y, width - 1 - x of the picture before it
        before = width if turn % 2 else height
        points = np.stack([before - 1 - points[..., 1], points[..., 0]], -1)
    corners = [points[:, :2].min(1), points[:, :2].max(1)]
    return np.concatenate([*corners, points[:, 2:].reshape(-1, 10), rows[:, 14:]], 1)


def in_reading_order(regions: Sequence[Region]) -> list[Region]:
    """Return regions row by row from the top, each row from left to right.

    A row is made of the regions whose middle is as high as that of its topmost one, give or take
    half of that one's height.

    Example:
        >>> boxes = [(50, 2, 60, 12), (0, 30, 10, 40), (10, 0, 20, 10)]
        >>> [region.box[0] for region in in_reading_order([Region(box=box) for box in boxes])]
        [10, 50, 0]
    """
    left = sorted(regions, key=lambda region: (region.box[1] + region.box[3], region.box))
    ordered: list[Region] = []
    while left:
        top = left[0].box
        lowest = (top[1] + top[3]) / 2 + _ROW_SHARE * (top[3] - top[1])
        row = [region for region in left if (region.box[1] + region.box[3]) / 2 < lowest]
        row = row or left[:1]
        left = left[len(row) :]
        ordered += sorted(row, key=lambda region: (region.box[0] + region.box[2], region.box))
    return ordered
