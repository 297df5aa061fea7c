"""Where faces are in a picture of any size: looked for small, then looked at closely.

The network finds faces of 10 to 300 pixels. A picture is therefore searched at several scales,
each half the one before, and every find is looked at again, cut out and scaled so that the face
has the size at which landmarks are most exact. What a closer look does not confirm is no face.

The network is nearly as sure of faces that stand on their head, and then has the mouth where the
eyes are. Of a find that is not quite sure all four sides are held up, and the surest one counts.

Shapes: M finds, rows of 15 as in `yunet`; H and W height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ilk.detectors.faces.aligning import cut_out
from ilk.detectors.faces.yunet import ROW, YuNet, merged, overlaps

__all__ = ["Search"]

_SEARCHED_PIXELS = 20
"""The smallest faces that are wanted have this size at the finest scale."""
_LEAST_PIXELS = 320
"""Pictures are not made smaller than this at the finest scale: it costs little."""
_LARGEST_PIXELS = 200
"""At the coarsest scale the longer side is at most this; faces that fill it are still found."""
_TILE_PIXELS = 1280
_TILE_OVERLAP = 128
"""In what pieces large pictures are searched: bounds the memory."""
_FACE_PIXELS = 150
_CLOSE_PIXELS = 256
"""The longer side of a face when it is looked at closely, and the side of that picture."""
_FIRST_SCORE = 0.5
"""Finds from this score on are looked at closely."""
_SURE_SCORE = 0.91
"""No face that is seen the wrong way up has this score, and most others have."""
_CONFIRMS = 0.3
"""What the closer look finds must overlap the find by this share."""


@final
@dataclass(frozen=True)
class Search:
    """Looks for faces that are upright, or nearly; what else it finds, it sees the right way up.

    Args:
        network: What finds.
        min_size_pixels: Smaller faces need not be found.
        min_score: Faces with less are left out.
    """

    network: YuNet
    min_size_pixels: float
    min_score: float

    def faces(self, image: np.ndarray) -> np.ndarray:
        """Return (M, 15) faces of an (H, W, 3) uint8 picture, one row each, best first."""
        found = [self._at_scale(image, scale) for scale in self._scales(image)]
        first = merged(np.concatenate(found))
        close = [self._closer(image, row) for row in first]
        return merged(np.concatenate([np.zeros((0, ROW)), *close]))

    def _scales(self, image: np.ndarray) -> Iterator[float]:
        longer = max(image.shape[:2])
        wanted = max(_SEARCHED_PIXELS / self.min_size_pixels, _LEAST_PIXELS / longer)
        scale = min(1.0, wanted)
        yield scale
        while scale * longer > _LARGEST_PIXELS:
            scale /= 2
            yield scale

    def _at_scale(self, image: np.ndarray, scale: float) -> np.ndarray:
        height, width = image.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = _resized(image, size)
        found = [np.zeros((0, ROW))]
        for y in _starts(small.shape[0]):
            for x in _starts(small.shape[1]):
                tile = small[y : y + _TILE_PIXELS, x : x + _TILE_PIXELS]
                rows = self.network.finds(tile, min(_FIRST_SCORE, self.min_score))
                found.append(_moved(rows, (x, y), (width / size[0], height / size[1])))
        return np.concatenate(found)

    def _closer(self, image: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return what a closer look at a find shows, (0 or 1, 15)."""
        best = np.zeros((0, ROW))
        for turns in range(4):
            matrix = _towards(row, turns)
            close = cut_out(image, matrix, _CLOSE_PIXELS)
            faces = _turned_back(merged(self.network.finds(close, self.min_score)), matrix)
            faces = faces[overlaps(faces, row) >= _CONFIRMS][:1]
            if len(faces) and (not len(best) or faces[0, -1] > best[0, -1]):
                best = faces
            if len(best) and best[0, -1] >= _SURE_SCORE:
                break
        return best


def _towards(row: np.ndarray, turns: int) -> np.ndarray:
    """Return the matrix that brings a find upright, or a side, into the middle of a closer look."""
    longer = max(row[2] - row[0], row[3] - row[1], 1.0)
    along = complex(row[6] - row[4], row[7] - row[5])
    along = along.conjugate() / abs(along) if along else 1
    turned = along * (-1j) ** turns * (_FACE_PIXELS / longer)
    turn = np.array([[turned.real, -turned.imag], [turned.imag, turned.real]])
    middle = turn @ ((row[0:2] + row[2:4]) / 2)
    return np.column_stack([turn, (_CLOSE_PIXELS - 1) / 2 - middle])


def _turned_back(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return finds of a crop in pixels of the picture; a box is that of the turned oval in it."""
    back = np.linalg.inv(matrix[:, :2])
    points = np.concatenate([(rows[:, 0:2] + rows[:, 2:4]) / 2, rows[:, 4:14]], 1)
    points = (points.reshape(len(rows), 6, 2) - matrix[:, 2]) @ back.T
    half = np.sqrt(((rows[:, None, 2:4] - rows[:, None, 0:2]) / 2 * back) ** 2 @ (1, 1))
    corners = [points[:, 0] - half, points[:, 0] + half]
    return np.concatenate([*corners, points[:, 1:].reshape(-1, 10), rows[:, 14:]], 1)


def _moved(rows: np.ndarray, corner: tuple[int, int], scale: tuple[float, float]) -> np.ndarray:
    """Return finds of a part of a small picture in pixels of the large one."""
    moved = rows.copy()
    for axis in (0, 1):
        moved[:, axis:14:2] = (rows[:, axis:14:2] + corner[axis] + 0.5) * scale[axis] - 0.5
    return moved


def _starts(length: int) -> list[int]:
    """Return where the pieces of a side begin."""
    if length <= _TILE_PIXELS:
        return [0]
    step = _TILE_PIXELS - _TILE_OVERLAP
    return [*range(0, length - _TILE_PIXELS, step), length - _TILE_PIXELS]


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = image.shape[1] * image.shape[0] > size[0] * size[1]
    way: Any = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=way))
