"""What is said of a face, and which limits it misses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from ilk.datasets.portraits import draw_portrait
from ilk.detectors.faces import Faces
from ilk.detectors.faces.aligning import template
from ilk.detectors.faces.judging import sharpness_of, tilted_degrees_of, turned_degrees_of


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _quality(faces: Faces, picture: np.ndarray) -> Any:
    (region,) = faces.detect(picture)
    return region.quality


@given(st.floats(-80, 80), st.floats(-180, 180), st.floats(5, 300))
@settings(deadline=None)
def test_the_turn_of_a_head_is_told(turned: float, tilted: float, scale: float) -> None:
    """Of a head made of points in space, seen from far away, turned and tilted."""
    head = np.array([(-1, 0, 0), (1, 0, 0), (0, 1.1, 1.1), (-0.8, 2.2, 0.6), (0.8, 2.2, 0.6)])
    a, b = np.radians([turned, tilted])
    x = head[:, 0] * np.cos(a) + head[:, 2] * np.sin(a)
    seen = np.stack([x, head[:, 1]], 1) @ [[np.cos(b), np.sin(b)], [-np.sin(b), np.cos(b)]] * scale
    points = [(float(x), float(y)) for x, y in seen + 400]
    assert turned_degrees_of(points) == pytest.approx(abs(turned), abs=0.1)
    assert abs((tilted_degrees_of(points) - tilted + 180) % 360 - 180) < 0.01


def test_eyes_in_one_place_are_those_of_a_profile() -> None:
    assert turned_degrees_of([(5.0, 5.0), (5.0, 5.0), (9.0, 9.0)]) == 90


@given(st.floats(0.2, 1.0), st.floats(0, 50))
@settings(deadline=None)
def test_sharpness_does_not_depend_on_contrast_and_brightness(gain: float, lift: float) -> None:
    random = np.random.default_rng(3)
    picture = random.uniform(0, 200, (40, 40))
    assert sharpness_of(picture * gain + lift) == pytest.approx(sharpness_of(picture), rel=1e-6)


def test_sharpness_of_noise_is_what_theory_says() -> None:
    """Four neighbors less four times the middle: 4 + 16 variances."""
    noise = np.random.default_rng(0).normal(size=(400, 400))
    assert sharpness_of(noise) == pytest.approx(20, rel=0.05)


def test_sharpness_falls_with_blur(faces: Faces) -> None:
    picture = draw_portrait(6, 0, 500)
    values = [_quality(faces, _blurred(picture, radius)).sharpness for radius in (0, 2, 5, 9)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2 * values[0]


def test_size_is_that_of_the_picture(faces: Faces) -> None:
    small, large = (_quality(faces, draw_portrait(6, 0, side)) for side in (200, 800))
    assert large.size_pixels == pytest.approx(4 * small.size_pixels, rel=0.1)


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        ({"min_size_pixels": 200}, "too_small", r"pixels wide, at least 200 are needed"),
        ({"min_sharpness": 60}, "blurred", r"sharpness \d\.\d+, at least 60 is needed"),
        ({"max_turned_degrees": 0}, "turned_away", r"about \d+ degrees, at most 0 are accepted"),
        ({"min_brightness": 0.99}, "badly_lit", r"too dark: brightness 0\.\d+, at least 0\.99"),
        ({"max_brightness": 0.01}, "badly_lit", r"too bright: brightness 0\.\d+, at most 0\.01"),
    ],
)
def test_limits_have_codes_and_reasons_with_numbers(
    option: dict[str, Any], code: str, said: str
) -> None:
    (region,) = Faces(**option).detect(draw_portrait(2, 1))
    assert region.code == code
    assert not region.is_assessable
    assert re.search(said, region.reason)


def test_defaults_refuse_what_shows_too_little(faces: Faces) -> None:
    picture = draw_portrait(6, 0, 600)
    blurred = faces.detect(_blurred(picture, 16))
    assert [region.code for region in blurred] == ["blurred"]
    assert [region.code for region in faces.detect(draw_portrait(6, 0, 80))] == ["too_small"]


def test_points_of_the_template_look_into_the_camera() -> None:
    points = [(float(x), float(y)) for x, y in template(112)]
    assert turned_degrees_of(points) < 2
    assert abs(tilted_degrees_of(points)) < 1
