from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ilk.encoders.small import SmallEncoder
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ConfigError, InvalidInput
from ilk.losses import Triplet
from ilk.preprocess import Preprocess


def seeded(**options: Any) -> SmallEncoder:
    torch.manual_seed(0)
    return SmallEncoder(**{"width": 8, "embedding_size": 16, **options})


def inputs(num: int = 3, size: int = 48, channels: int = 1) -> torch.Tensor:
    return torch.randn((num, channels, size, size), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [8, 28, 30, 48, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pooling", ["grid", "avg", "max", "avg+max", "gem"])
def test_gives_embeddings_for_every_size(size: int, channels: int, pooling: str) -> None:
    encoder = seeded(size_pixels=size, channels=channels, pooling=pooling)
    assert encoder(inputs(size=size, channels=channels)).shape == (3, 16)
    assert encoder.preprocess.input_shape == (channels, size, size)


@pytest.mark.parametrize("size", [(64, 24), (10, 48)])
@pytest.mark.parametrize("pooling", ["grid", "gem"])
def test_gives_embeddings_for_rectangles(size: tuple[int, int], pooling: str) -> None:
    encoder = seeded(size_pixels=size, pooling=pooling)
    assert encoder(torch.zeros(2, 1, *size)).shape == (2, 16)
    assert encoder.preprocess.input_shape == (1, *size)
    assert encoder.preprocess.settings["size_pixels"] == list(size)


def test_is_a_backbone_and_a_head() -> None:
    encoder = seeded().eval()
    features = encoder.backbone(inputs())
    assert isinstance(encoder, TrainableEncoder)
    assert features.shape == (3, encoder.feature_size)
    assert encoder.feature_size == 32 * 9
    assert seeded(pooling="avg").feature_size == 32
    assert encoder.embedding_size == 16
    assert torch.equal(encoder.head(features), encoder(inputs()))
    assert encoder.weights_licence == encoder.pretrained_on == ""


def test_is_as_small_as_it_says() -> None:
    for width, millions in ((64, 1.5), (32, 0.47)):
        count = sum(p.numel() for p in SmallEncoder(width=width).parameters())
        assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_same_seed_gives_the_same_net() -> None:
    first, again = seeded(), seeded()
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_row_does_not_depend_on_its_batch_at_evaluation() -> None:
    encoder = seeded()
    encoder(inputs(8) + 1)
    encoder.eval()
    alone = torch.cat([encoder(row[None]) for row in inputs(4)])
    assert torch.allclose(encoder(inputs(4)), alone, atol=1e-5)


def test_residual_stages_begin_as_short_cuts() -> None:
    encoder = seeded().eval()
    stages = [m for m in encoder.backbone.modules() if hasattr(m, "shortcut")]
    assert len(stages) == 3
    x = torch.rand(2, 8, 24, 24)
    for stage in stages:
        assert isinstance(stage.shortcut, nn.Module)
        expected = stage.shortcut(x).relu()
        x = stage(x)
        assert torch.equal(x, expected)
    assert x.shape == (2, 32, 6, 6)


def test_grid_keeps_where_something_is() -> None:
    grid, average = seeded().eval(), seeded(pooling="avg").eval()
    left, right = torch.zeros(1, 1, 48, 48), torch.zeros(1, 1, 48, 48)
    left[..., 16:24, 16:24] = 1
    right[..., 16:24, 32:40] = 1
    cells = [grid.backbone(x).view(32, 3, 3) for x in (left, right)]
    assert torch.allclose(cells[0][:, :, 0], cells[1][:, :, 1], atol=1e-5)
    assert not torch.allclose(cells[0], cells[1], atol=1e-3)
    pooled = [average.backbone(x) for x in (left, right)]
    assert torch.allclose(pooled[0], pooled[1], atol=1e-5)


def test_every_pixel_counts() -> None:
    encoder = seeded().eval()
    x = inputs(1).requires_grad_()
    encoder(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_every_parameter_learns() -> None:
    encoder = seeded(pooling="gem")
    for module in encoder.modules():  # the zeros of the first step would stop gradients
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    encoder(inputs(8)).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_learns_to_tell_distorted_patterns_apart() -> None:
    encoder = seeded()
    labels = torch.arange(8).repeat_interleave(4)
    generator = torch.Generator().manual_seed(2)
    patterns = torch.randn((8, 1, 48, 48), generator=generator)
    noisy = patterns[labels] + 3 * torch.randn((32, 1, 48, 48), generator=generator)
    loss, optimizer = Triplet(margin=0.2), torch.optim.AdamW(encoder.parameters(), lr=1e-2)
    values = []
    for _ in range(12):
        optimizer.zero_grad()
        value = loss(encoder(noisy), labels)
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]


def test_runs_in_bfloat16_and_channels_last() -> None:
    encoder = seeded(width=32).eval()
    expected = encoder(inputs())
    encoder = encoder.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = encoder(inputs().to(memory_format=torch.channels_last))
    assert torch.allclose(out.float(), expected, atol=0.05 * float(expected.detach().abs().max()))


def test_frames_drawings_whole_and_grey() -> None:
    preprocess = SmallEncoder(width=8).preprocess
    assert isinstance(preprocess, Preprocess)
    assert preprocess.trim
    picture = np.full((40, 80, 3), 255, np.uint8)
    picture[18:22, 10:70] = 0
    frame = preprocess.frame(picture)
    assert frame.shape == (48, 48, 1)
    assert preprocess.normalize(frame[None]).max() == pytest.approx(0.4, abs=1e-5)
    assert not SmallEncoder(width=8, trim=False).preprocess.trim


def test_dropout_acts_in_training_alone() -> None:
    encoder = seeded(dropout=0.5)
    assert not torch.equal(encoder(inputs()), encoder(inputs()))
    encoder.eval()
    assert torch.equal(encoder(inputs()), encoder(inputs()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter, about itself
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_gives_the_same_for_any_batch(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    encoder = seeded().eval()
    program = torch.onnx.export(
        encoder, (inputs(2),), dynamo=True, dynamic_shapes=({0: torch.export.Dim("N")},)
    )
    assert program is not None
    program.save(tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    for num in (1, 5):
        out = session.run(None, {session.get_inputs()[0].name: inputs(num).numpy()})[0]
        assert np.allclose(out, encoder(inputs(num)).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_pixels": 47}, "size_pixels must be even and at least 8, got 47"),
        ({"size_pixels": 6}, "size_pixels must be even and at least 8, got 6"),
        ({"width": 0}, "width must be at least 1, dropout at least 0 and below 1, got 0 and 0.0"),
        ({"dropout": 1.0}, "got 8 and 1.0"),
        ({"channels": 2}, "channels must be 1 or 3"),
    ],
)
def test_refuses_sizes_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        seeded(**options)


def test_refuses_unknown_pooling() -> None:
    with pytest.raises(ConfigError, match="got 'average'"):
        seeded(pooling="average")
