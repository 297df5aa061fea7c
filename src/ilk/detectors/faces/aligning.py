"""Cutting out of a picture what is turned, moved and scaled, without aliasing.

Shapes: a matrix is (2, 3) and takes a point of the picture, x, y, 1, to a point of the crop; the
middle of the first pixel of either is 0, 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ilk.detector import Point
from ilk.errors import InvalidInput
from ilk.preprocess import Size, sides_of

__all__ = ["TEMPLATE", "cut_out", "similarity", "template"]

TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
            (70.7299, 92.2041))  # fmt: skip
"""Where the eyes, the nose and the corners of the mouth are in a crop of 112 x 112 pixels, as in
InsightFace (`arcface_dst`) and OpenCV (`FaceRecognizerSF::alignCrop`)."""
_TEMPLATE_PIXELS = 112


def template(size_pixels: Size) -> np.ndarray:
    """Return the five points of a crop of this size, (5, 2).

    A crop that is no square is the middle of the square around it: in one of (112, 96) they are 8
    pixels further left, as SphereFace and CosFace have them.
    """
    sides = np.array(sides_of(size_pixels)[::-1])
    longer = sides.max()
    return (np.array(TEMPLATE) + 0.5) * (longer / _TEMPLATE_PIXELS) - (longer - sides) / 2 - 0.5


def similarity(points: Sequence[Point] | np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the matrix that turns, scales and moves points closest to targets, (2, 3).

    The sum of the squared distances is least; nothing is mirrored. With points as complex numbers
    around their mean it is one division: the solution of Umeyama, "Least-squares estimation of
    transformation parameters between two point patterns", PAMI 1991, in a plane.

    Args:
        points: (P, 2), in the picture.
        targets: (P, 2), where they should come to lie.

    Raises:
        InvalidInput: The points are all in one place, or not as many as targets.

    Example:
        >>> similarity([(0, 0), (2, 0)], np.array([[5.0, 5.0], [5.0, 9.0]])).round(6)
        array([[ 0., -2.,  5.],
               [ 2.,  0.,  5.]])
    """
    given = np.asarray(points, float)
    if given.shape != targets.shape:
        raise InvalidInput(f"expected {len(targets)} points as x, y, got shape {given.shape}")
    here, there = given @ (1, 1j), targets @ (1, 1j)
    around, wanted = here - here.mean(), there - there.mean()
    spread = float((np.abs(around) ** 2).sum())
    if not spread > 0 or not np.isfinite(spread):
        raise InvalidInput(f"expected points in several places, got {given.tolist()}")
    turn = (around.conj() * wanted).sum() / spread
    move = there.mean() - turn * here.mean()
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def cut_out(image: np.ndarray, matrix: np.ndarray, size_pixels: Size) -> np.ndarray:
    """Return the (H, W, 3) uint8 crop of a picture.

    What is to become smaller is averaged first, so that no detail of the picture turns into a
    pattern that is not there. Beyond the picture is black.

    Args:
        image: (H, W, 3) uint8.
        matrix: A similarity, from `similarity`.
        size_pixels: The side of the crop, or its height and width.
    """
    import cv2

    high, wide = sides_of(size_pixels)
    x1, y1, x2, y2 = _needed(image, matrix, (high, wide))
    if x1 >= x2 or y1 >= y2:
        return np.zeros((high, wide, 3), np.uint8)
    part = image[y1:y2, x1:x2]
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    factors = np.ones(2)
    if scale < 1:
        small = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
        factors = np.array([x2 - x1, y2 - y1]) / small
        part = np.asarray(cv2.resize(part, small, interpolation=cv2.INTER_AREA))
    # from the points of the part: times the factors, then moved to where it was
    turn = matrix[:, :2] * factors
    move = matrix @ (x1 + factors[0] / 2 - 0.5, y1 + factors[1] / 2 - 0.5, 1)
    whole = np.ascontiguousarray(part)
    inside = np.column_stack([turn, move])
    return np.asarray(cv2.warpAffine(whole, inside, (wide, high), flags=cv2.INTER_LINEAR))


def _needed(
    image: np.ndarray, matrix: np.ndarray, sides: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the part of the picture that a crop is made of, with a little around it."""
    bottom, right = sides
    corners = np.array([(-1.0, -1.0), (right, -1), (-1, bottom), (right, bottom)])
    points = np.linalg.solve(matrix[:, :2], (corners - matrix[:, 2]).T)
    height, width = image.shape[:2]
    low, high = np.floor(points.min(1)) - 1, np.ceil(points.max(1)) + 2
    x1, x2 = np.clip([low[0], high[0]], 0, width).astype(int).tolist()
    y1, y2 = np.clip([low[1], high[1]], 0, height).astype(int).tolist()
    return x1, y1, x2, y2
