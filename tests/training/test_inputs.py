from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ilk.preprocess import Preprocess
from ilk.training.augment import make_augment
from ilk.training.inputs import PlainInputs, TrainingInputs, normalize_frames

COLOUR = Preprocess(size_pixels=8, channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.21, 0.3))


def _frames(channels: int = 3) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (4, 8, 8, channels), np.uint8)
    )


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("preprocess", [COLOUR, Preprocess(size_pixels=8, channels=1)])
@pytest.mark.parametrize("is_float", [False, True])
def test_torch_normalizes_as_numpy_does_to_the_last_bit(
    preprocess: Preprocess, is_float: bool
) -> None:
    frames = _frames(preprocess.channels)
    frames = frames.float() + 0.25 if is_float else frames
    found = normalize_frames(frames, preprocess).numpy()
    assert np.array_equal(found, preprocess.normalize(frames.numpy()))


def test_mixed_precision_does_not_reach_into_distortions() -> None:
    prepare = TrainingInputs(COLOUR, make_augment("drawing"))
    ids = torch.arange(4)
    exact, _ = prepare(_frames(), ids, _generator())
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = prepare(_frames(), ids, _generator())
    assert torch.equal(exact, mixed)


def test_without_distortion_training_inputs_are_plain_inputs() -> None:
    ids = torch.arange(4)
    plain, _ = PlainInputs(COLOUR)(_frames(), ids, _generator())
    trained, _ = TrainingInputs(COLOUR, make_augment("none"))(_frames(), ids, _generator())
    assert torch.equal(plain, trained)


def test_each_rotation_is_a_class_of_its_own() -> None:
    prepare = TrainingInputs(COLOUR, make_augment("none"), rotations_as_classes=True)
    ids = torch.tensor([7, 7, 2, 2])
    inputs, classes = prepare(_frames(), ids, _generator())
    plain = normalize_frames(_frames(), COLOUR)
    for row, original, old, new in zip(inputs, plain, ids, classes, strict=True):
        assert int(new) // 4 == int(old)
        assert torch.equal(row, torch.rot90(original, int(new) % 4, (1, 2)))


def test_arrays_pass_as_floats() -> None:
    contents = torch.arange(4)[:, None]
    inputs, _ = PlainInputs(Preprocess(modality="array"))(contents, contents[:, 0], _generator())
    assert inputs.dtype == torch.float32
    assert torch.equal(inputs, contents.float())
