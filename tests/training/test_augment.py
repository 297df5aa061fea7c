from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ilk.errors import ConfigError, InvalidInput
from ilk.training import drawings
from ilk.training.augment import (
    Augment,
    DrawingAugment,
    NoAugment,
    PhotoAugment,
    make_augment,
    random_turns,
    rotate_classes,
)

STILL: dict[str, Any] = {
    "rotation_degrees": 0.0,
    "shear": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "elastic": 0.0,
    "thickness_pixels": 0.0,
}
PLAIN: dict[str, Any] = {
    "min_area": 1.0,
    "max_aspect": 1.0,
    "flip": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(num: int = 4, size: int = 16, channels: int = 3) -> Tensor:
    shape = (num, size, size, channels)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))


def bars(num: int, size: int = 48) -> Tensor:
    """White frames with one horizontal black bar in the middle."""
    frames = torch.full((num, size, size, 1), 255, dtype=torch.uint8)
    frames[:, size // 2 - 2 : size // 2 + 2, size // 4 : -size // 4] = 0
    return frames


def moments(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mass, centre (x, y) and angle in degrees of the ink of white (N, S, S, 1) frames."""
    ink = 255 - frames[..., 0].double()
    ticks = torch.arange(ink.shape[1], dtype=torch.float64)
    mass = ink.sum((1, 2))
    x = (ink.sum(1) * ticks).sum(1) / mass
    y = (ink.sum(2) * ticks).sum(1) / mass
    dx, dy = ticks - x[:, None], ticks - y[:, None]
    xx, yy = (ink.sum(1) * dx**2).sum(1), (ink.sum(2) * dy**2).sum(1)
    xy = torch.einsum("nij,ni,nj->n", ink, dy, dx)
    return mass, torch.stack([x, y], 1), torch.rad2deg(torch.atan2(2 * xy, xx - yy) / 2)


@pytest.mark.parametrize("augment", [DrawingAugment(), PhotoAugment(), NoAugment()])
def test_result_follows_from_the_generator_alone(augment: Augment) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first, again = augment(noise(), seeded()), augment(noise(), seeded())
    assert torch.equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), state)
    if not isinstance(augment, NoAugment):
        assert not torch.equal(first, augment(noise(), seeded(1)))


@pytest.mark.parametrize("augment", [DrawingAugment(), PhotoAugment(), NoAugment()])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num", [0, 1, 3])
def test_gives_float_frames_in_range(augment: Augment, channels: int, num: int) -> None:
    frames = noise(num, channels=channels)
    kept = frames.clone()
    out = augment(frames, seeded())
    assert out.shape == frames.shape
    assert out.dtype == torch.float32
    assert torch.equal(frames, kept)
    assert ((out >= 0) & (out <= 255)).all()


@pytest.mark.parametrize("augment", [DrawingAugment(), PhotoAugment(), NoAugment()])
@pytest.mark.parametrize("shape", [(4, 8, 8), (8, 6), (4, 1, 8, 6, 1)])
def test_refuses_what_are_not_frames(augment: Augment, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"\(N, H, W, C\), got"):
        augment(torch.zeros(shape), seeded())


@pytest.mark.parametrize("augment", [DrawingAugment(), PhotoAugment()])
def test_frames_of_a_batch_differ_from_each_other(augment: Augment) -> None:
    same = noise(1).expand(5, -1, -1, -1)
    out = augment(same, seeded())
    assert len({row.numpy().tobytes() for row in out}) == 5


def test_drawing_without_strength_is_the_drawing() -> None:
    frames = noise()
    assert torch.allclose(DrawingAugment(**STILL)(frames, seeded()), frames.float(), atol=0.01)


def test_photograph_without_strength_is_the_photograph() -> None:
    frames = noise()
    assert torch.allclose(PhotoAugment(**PLAIN)(frames, seeded()), frames.float(), atol=0.01)


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 90)])
def test_background_comes_in_from_outside(color: tuple[int, int, int]) -> None:
    frames = torch.tensor(color, dtype=torch.uint8).expand(6, 20, 20, 3).clone()
    out = DrawingAugment(shift=0.5)(frames, seeded())
    assert torch.allclose(out, frames.float(), atol=0.01)


def test_ink_at_the_edge_is_not_smeared_outwards() -> None:
    frames = torch.full((50, 20, 20, 1), 255, dtype=torch.uint8)
    frames[:, :, :4] = 0
    out = DrawingAugment(**{**STILL, "shift": 0.5})(frames, seeded())
    mass, _, _ = moments(out)
    assert mass.max() <= 4 * 20 * 255
    assert mass.min() < 10


def test_light_on_dark_is_the_negative_of_dark_on_light() -> None:
    frames = bars(8)
    negative = 255 - DrawingAugment()(255 - frames, seeded())
    assert torch.allclose(DrawingAugment()(frames, seeded()), negative, atol=0.01)


def test_shift_stays_within_its_limit_and_uses_it() -> None:
    _, center, _ = moments(DrawingAugment(**{**STILL, "shift": 0.1})(bars(200), seeded()))
    moved = (center - 23.5).abs()
    assert moved.max() <= 4.8 + 0.01
    assert (moved.max(0).values > 4).all()


def test_rotation_stays_within_its_limit_and_uses_it_both_ways() -> None:
    augment = DrawingAugment(**{**STILL, "rotation_degrees": 20.0})
    mass, center, angle = moments(augment(bars(200), seeded()))
    assert angle.min() == pytest.approx(-20, abs=1)
    assert angle.max() == pytest.approx(20, abs=1)
    assert torch.allclose(center, torch.full_like(center, 23.5), atol=0.1)
    assert torch.allclose(mass, mass.mean(), rtol=0.02)


def test_scale_and_shear_stay_within_their_limits() -> None:
    mass, _, _ = moments(DrawingAugment(**{**STILL, "scale": 0.5})(bars(300), seeded()))
    ratio = mass / moments(bars(1).float())[0]
    assert 1 / 1.5**2 * 0.95 < ratio.min() < 0.65
    assert 1.5 < ratio.max() < 1.5**2 * 1.05
    mass, _, angle = moments(DrawingAugment(**{**STILL, "shear": 0.3})(bars(300), seeded()))
    assert torch.allclose(mass, mass.mean(), rtol=0.03)
    assert 10 < angle.abs().max() < math.degrees(math.atan(0.3)) + 2


def test_elastic_bends_a_straight_bar() -> None:
    def straightness(frames: Tensor) -> float:
        ink = 255 - frames[..., 0]
        rows = torch.arange(48.0)[:, None]
        columns = (ink * rows).sum(1)[:, 14:34] / ink.sum(1)[:, 14:34].clamp(min=1)
        return float((columns[:, 2:] - 2 * columns[:, 1:-1] + columns[:, :-2]).abs().mean())

    rotated = {**STILL, "rotation_degrees": 15.0}
    bent = straightness(DrawingAugment(**{**rotated, "elastic": 0.03})(bars(50), seeded()))
    assert bent > 3 * straightness(DrawingAugment(**rotated)(bars(50), seeded()))


def test_thickness_grows_and_shrinks_strokes() -> None:
    still, _, _ = moments(bars(1).float())
    mass, center, _ = moments(
        DrawingAugment(**{**STILL, "thickness_pixels": 1.0})(bars(99), seeded())
    )
    ratio = mass / still
    # The bar is 4 x 24; one pixel more or less on each side makes it 6 x 26 or 2 x 22.
    assert ratio.max() == pytest.approx(6 * 26 / 96, abs=0.05)
    assert ratio.min() == pytest.approx(2 * 22 / 96, abs=0.05)
    assert torch.allclose(center, torch.full_like(center, 23.5), atol=0.01)


@given(st.integers(2, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_largest_around_is_a_max_pool(size: int, seed: int) -> None:
    pixels = torch.randn((2, 1, size, size), generator=seeded(seed))
    assert torch.equal(
        drawings._largest_around(pixels), functional.max_pool2d(pixels, 3, stride=1, padding=1)
    )


def test_spline_passes_through_its_control_points() -> None:
    rows = drawings._spline(5, 41)
    assert torch.allclose(rows.sum(1), torch.ones(41), atol=1e-5)
    assert torch.allclose(rows[::10], torch.eye(5), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"shear": -0.1}, {"elastic_points": 1}, {"thickness_pixels": 1.5}, {"scale": math.nan}],
)
def test_drawing_refuses_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(options))} .*must be|must be"):
        DrawingAugment(**options)


@pytest.mark.parametrize(
    "options",
    [{"flip": 1.5}, {"min_area": 0.0}, {"max_aspect": 0.5}, {"size_pixels": 0}],
)
def test_photograph_refuses_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        PhotoAugment(**options)


def test_flip_mirrors_left_to_right() -> None:
    frames = noise()
    flipped = PhotoAugment(**{**PLAIN, "flip": 1.0})(frames, seeded())
    assert torch.allclose(flipped, frames.flip(2).float(), atol=0.01)


def test_crops_are_axis_parallel_parts_of_the_asked_area() -> None:
    size = 64
    ramp = torch.linspace(0, 252, size)
    frames = torch.stack(
        [ramp.expand(size, size), ramp[:, None].expand(size, size), torch.zeros(size, size)], -1
    ).expand(200, -1, -1, -1)
    augment = PhotoAugment(**{**PLAIN, "min_area": 0.25, "max_aspect": 2.0})
    x, y, _ = augment(frames, seeded()).unbind(-1)
    assert torch.allclose(x, x[:, :1].expand_as(x), atol=0.1)
    assert torch.allclose(y, y[:, :, :1].expand_as(y), atol=0.1)
    width = (x[:, 0, -8] - x[:, 0, 8]) / 252 * (size - 1) / (size - 16)
    height = (y[:, -8, 0] - y[:, 8, 0]) / 252 * (size - 1) / (size - 16)
    assert (width * height).min() > 0.25 * 0.9
    assert (width * height).max() <= 1.05
    assert (width * height).min() < 0.35
    assert 1.3 < (width / height).max() <= 2.1
    assert 1 / 2.1 <= (width / height).min() < 0.77


def test_a_photograph_much_larger_than_asked_does_not_alias() -> None:
    frames = noise(2, 128).float()
    out = PhotoAugment(**{**PLAIN, "size_pixels": 32})(frames, seeded())
    assert out.shape == (2, 32, 32, 3)
    # Each pixel is the mean of about 4 x 4; of the nearest 2 x 2 it would vary twice as much.
    assert (out - 127.5).std() < 1.3 * frames.std() / 4


def test_frames_need_not_be_square() -> None:
    """What leaves a frame as it is does so for rectangles; a photograph comes out as asked."""
    frames = noise(3)[:, :, :10]
    assert torch.allclose(DrawingAugment(**STILL)(frames, seeded()), frames.float(), atol=0.01)
    assert torch.allclose(PhotoAugment(**PLAIN)(frames, seeded()), frames.float(), atol=0.01)
    tall = PhotoAugment(size_pixels=(40, 16))
    assert tall.frame_size((40, 16)) == (45, 18)
    assert tall(noise(2, 48)[:, :45, :18], seeded()).shape == (2, 40, 16, 3)
    assert tall(noise(2, 48)[:0, :45, :18], seeded()).shape == (0, 40, 16, 3)
    with pytest.raises(InvalidInput, match="only square frames can be turned"):
        rotate_classes(frames, torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64))


def test_a_rotation_of_a_rectangle_is_one_in_pixels() -> None:
    """A round spot in the middle of 96 x 48 stays round: its spread is the same along each axis."""
    high, wide = torch.meshgrid(torch.arange(96.0), torch.arange(48.0), indexing="ij")
    bar = ((high - 47.5).abs() < 2) & ((wide - 23.5).abs() < 16)
    frames = (255 * bar)[None, :, :, None].expand(40, -1, -1, -1).float()
    turned = DrawingAugment(**STILL | {"rotation_degrees": 60.0})(frames, seeded())[..., 0]
    mass = turned.sum((1, 2))
    along, across = ((turned * axis).sum((1, 2)) / mass for axis in (high, wide))
    for axis, middle in ((along, 47.5), (across, 23.5)):
        assert torch.allclose(axis, torch.full_like(axis, middle), atol=0.2)
    spread = (turned * ((high - 47.5) ** 2 + (wide - 23.5) ** 2)).sum((1, 2)) / mass
    assert spread.max() / spread.min() < 1.05  # turning keeps every distance from the middle


def test_color_changes_are_mild_and_keep_grey_grey() -> None:
    grey = noise(50, channels=1).expand(-1, -1, -1, 3)
    colored = {**PLAIN, "brightness": 0.2, "saturation": 0.5}
    out = PhotoAugment(**colored)(grey, seeded())
    assert torch.allclose(out, out.mean(-1, keepdim=True).expand_as(out), atol=0.01)
    ratio = out.sum((1, 2, 3)) / grey.float().sum((1, 2, 3))
    assert 0.79 < ratio.min() < 0.85
    assert 1.1 < ratio.max() < 1.21
    flat = torch.full((20, 8, 8, 3), 100.0)
    out = PhotoAugment(**{**PLAIN, "contrast": 0.5})(flat, seeded())
    assert torch.allclose(out, flat, atol=0.01)


def test_frame_sizes() -> None:
    assert DrawingAugment().frame_size(48) == 48
    assert NoAugment().frame_size(48) == 48
    assert PhotoAugment().frame_size(224) == 256


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_rotated_drawings_are_classes_of_their_own(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = torch.from_numpy(random.integers(0, 256, (6, 5, 5, 1), dtype=np.uint8))
    class_ids, turns = torch.tensor([0, 0, 3, 3, 9, 9]), torch.from_numpy(random.integers(0, 4, 6))
    rotated, rotated_ids = rotate_classes(frames, class_ids, turns)
    for i in range(6):
        expected = np.rot90(frames[i].numpy(), int(turns[i]))
        assert np.array_equal(rotated[i].numpy(), expected)
    assert rotated_ids.tolist() == [
        4 * int(c) + int(t) for c, t in zip(class_ids, turns, strict=True)
    ]


def test_rotate_classes_refuses_lengths_that_differ() -> None:
    with pytest.raises(InvalidInput, match="one row per item, got 4, 3 and 4"):
        rotate_classes(noise(4), torch.zeros(3), torch.zeros(4))


def test_a_class_is_turned_as_a_whole() -> None:
    class_ids = torch.arange(400).repeat_interleave(torch.arange(400) % 3 + 1).flip(0)
    turns = random_turns(class_ids, seeded())
    of_class = {int(c): int(t) for c, t in zip(class_ids, turns, strict=True)}
    assert turns.tolist() == [of_class[int(c)] for c in class_ids]
    assert min(Counter(of_class.values()).values()) > 60
    assert set(of_class.values()) == {0, 1, 2, 3}
    assert torch.equal(turns, random_turns(class_ids, seeded()))
    assert random_turns(torch.zeros(0, dtype=torch.int64), seeded()).shape == (0,)


def test_make_augment_finds_by_name() -> None:
    assert make_augment("drawing", shear=0.1) == DrawingAugment(shear=0.1)
    assert make_augment("photo", flip=0.0) == PhotoAugment(flip=0.0)
    assert make_augment("none") == NoAugment()


def test_make_augment_says_what_it_has() -> None:
    with pytest.raises(
        ConfigError, match="must be one of drawing, photo, none, got 'drawings'; did"
    ):
        make_augment("drawings")
    with pytest.raises(
        ConfigError, match="'drawing' has no option 'flip'; it has rotation_degrees"
    ):
        make_augment("drawing", flip=0.5)
    with pytest.raises(ConfigError, match="'none' has no option 'flip'; it has none"):
        make_augment("none", flip=0.5)
