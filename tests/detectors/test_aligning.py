"""Turning faces upright: against independent solutions, OpenCV, and what must not change."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ilk.datasets.portraits import draw_portrait
from ilk.detectors.faces import Faces
from ilk.detectors.faces.aligning import cut_out, similarity, template
from ilk.errors import InvalidInput

coordinates = st.floats(-500, 500, width=32)
five_points = arrays.arrays(np.float64, (5, 2), elements=coordinates).filter(
    lambda points: np.ptp(points, 0).max() > 1
)


@given(five_points, five_points)
@settings(deadline=None)
def test_it_is_the_least_squares_solution(points: np.ndarray, targets: np.ndarray) -> None:
    # an independent way: the four unknowns a, b, x, y of (a -b x; b a y) as a linear system
    ones, zeros = np.ones(5), np.zeros(5)
    upper = np.stack([points[:, 0], -points[:, 1], ones, zeros], 1)
    lower = np.stack([points[:, 1], points[:, 0], zeros, ones], 1)
    system = np.concatenate([upper, lower])
    (a, b, x, y), *_ = np.linalg.lstsq(system, targets.T.ravel(), rcond=None)
    expected = [[a, -b, x], [b, a, y]]
    np.testing.assert_allclose(similarity(points, targets), expected, atol=1e-6 * 500)


@given(five_points, five_points)
@settings(deadline=None)
def test_it_never_mirrors(points: np.ndarray, targets: np.ndarray) -> None:
    assert np.linalg.det(similarity(points, targets)[:, :2]) >= 0


@given(
    st.floats(0.1, 10), st.floats(-np.pi, np.pi), st.tuples(coordinates, coordinates), five_points
)
@settings(deadline=None)
def test_it_recovers_a_similarity(
    scale: float, angle: float, move: tuple[float, float], points: np.ndarray
) -> None:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, move[0]], [sine, cosine, move[1]]])
    targets = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(similarity(points, targets), matrix, atol=1e-6, rtol=1e-6)


def test_points_in_one_place_are_refused() -> None:
    with pytest.raises(InvalidInput, match="several places"):
        similarity([(3.0, 3.0)] * 5, template(112))
    with pytest.raises(InvalidInput, match="expected 5 points"):
        similarity([(3.0, 3.0)] * 4, template(112))


def test_the_template_is_in_proportion_to_the_crop() -> None:
    """The middle of a pixel of the small crop is that of its block in the large one."""
    np.testing.assert_allclose(template(224), template(112) * 2 + 0.5)
    assert template(112)[0] == pytest.approx((38.2946, 51.6963))


def _turned(picture: np.ndarray, angle: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture turned and scaled about its middle by OpenCV, and by which matrix."""
    side = picture.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, scale)
    turned = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_CUBIC)
    return np.asarray(turned), np.asarray(matrix)


@given(st.integers(0, 30), st.floats(-180, 180), st.floats(0.7, 1.2))
@settings(deadline=None, max_examples=25)
def test_the_crop_does_not_depend_on_how_the_picture_is_turned(
    person: int, angle: float, scale: float
) -> None:
    picture = cv2.GaussianBlur(draw_portrait(person, 0), (0, 0), 2)
    points = np.array([(120, 140), (190, 138), (158, 175), (130, 215), (185, 214)], float)
    turned, matrix = _turned(picture, angle, scale)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    upright = cut_out(picture, similarity(points, template(112)), 112)
    other = cut_out(turned, similarity(moved, template(112)), 112)
    gap = np.abs(upright.astype(int) - other)[20:92, 20:92]
    assert gap.mean() < 1.5


@pytest.mark.parametrize("person", range(4))
def test_crops_are_those_of_opencv(person: int, faces: Faces, sface: Any) -> None:
    """Where nothing has to shrink, to a grey level or two."""
    picture = draw_portrait(person, 1, 240)
    (region,) = faces.detect(picture)
    row = np.zeros((1, 15), np.float32)
    row[0, 4:14] = np.ravel(region.landmarks)
    theirs = sface.alignCrop(np.ascontiguousarray(picture[:, :, ::-1]), row)[:, :, ::-1]
    gap = np.abs(theirs.astype(int) - faces.crop(picture, region))
    assert gap.mean() < 1
    assert np.percentile(gap, 99) <= 8


def test_what_shrinks_is_averaged_first() -> None:
    """A chessboard of single pixels becomes grey, not a pattern."""
    board = (np.indices((1024, 1024)).sum(0) % 2 * 255).astype(np.uint8)
    picture = np.repeat(board[:, :, None], 3, 2)
    for angle in (0.0, 0.3):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 0.13
        move = 56 - turn @ (512, 512)
        crop = cut_out(picture, np.column_stack([turn, move]), 112)
        assert np.abs(crop.astype(int) - 127)[8:-8, 8:-8].max() < 12


def test_beyond_the_picture_is_black() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    far = np.array([[1.0, 0, 900], [0, 1, 900]])
    assert not cut_out(white, far, 112).any()
    half = cut_out(white, np.array([[1.0, 0, 0], [0, 1, 0]]), 112)
    assert half[:48, :48].min() == 255
    assert not half[52:, 52:].any()


def test_a_moved_picture_is_cut_out_exactly() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (200, 300, 3), np.uint8)
    crop = cut_out(picture, np.array([[1.0, 0, -40], [0, 1, -30]]), 112)
    np.testing.assert_array_equal(crop, picture[30:142, 40:152])
