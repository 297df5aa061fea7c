from __future__ import annotations

from dataclasses import replace

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


@pytest.mark.parametrize(
    "preprocess",
    [COLOUR, replace(COLOUR, channel_order="bgr"), Preprocess(size_pixels=8, channels=1)],
)
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


def test_classes_that_turn_alike_share_their_turn() -> None:
    groups = torch.arange(40) // 20
    ids = torch.arange(40).flip(0)
    frames = _frames().repeat(10, 1, 1, 1)
    seen = set()
    for seed in range(8):
        together = TrainingInputs(
            COLOUR, make_augment("none"), rotations_as_classes=True, turned_alike=groups
        )
        inputs, classes = together(frames, ids, torch.Generator().manual_seed(seed))
        assert torch.equal(classes // 4, ids)
        turns = [set((classes % 4)[groups[ids] == group].tolist()) for group in (0, 1)]
        assert [len(turn) for turn in turns] == [1, 1]
        first = normalize_frames(frames[:1], COLOUR)[0]
        assert torch.equal(inputs[0], torch.rot90(first, int(classes[0]) % 4, (1, 2)))
        seen.add(tuple(turn.pop() for turn in turns))
    assert len(seen) > 4
    alone = TrainingInputs(COLOUR, make_augment("none"), rotations_as_classes=True)
    _, classes = alone(frames, ids, _generator())
    assert len(set((classes % 4)[groups[ids] == 0].tolist())) > 1


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
