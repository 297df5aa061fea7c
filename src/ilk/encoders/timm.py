"""Any timm model by name as the backbone of an encoder.

Shapes: N inputs, C channels, H and W height and width, F feature size, D embedding size.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, final

import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from ilk.encoders.head import make_head
from ilk.encoders.pooling import POOLINGS, Pooling
from ilk.encoders.trainable import TrainableEncoder
from ilk.encoders.weights import can_fetch, fitted, missing_weights, read_weights
from ilk.errors import ConfigError, MissingWeights
from ilk.preprocess import Preprocess, Resize, Size, sides_of

__all__ = ["TimmEncoder"]


@final
class TimmEncoder(TrainableEncoder):
    """A timm model without its classifier, a pooling and an embedding head.

    Its preprocessing is what the model was trained with: size, crop, mean and standard deviation.

    Args:
        backbone: A name that timm knows, such as "resnet18" or "vit_small_patch14_dinov2.lvd142m".
        pretrained: Whether to start from the weights that timm offers for that name. They are
            fetched once from the hub and kept by it.
        weights: A file of weights to start from instead: .safetensors, .pth, .pt or .bin. Their
            names may be those of the model, or any if they fit in order and shape.
        weights_licence: The licence of those; timm states that of its own.
        embedding_size: D; None is the smaller of F and 512.
        pooling: "auto" is the model's own; or "avg", "max", "avg+max", "gem" over positions.
        head: "linear", "mlp" or "none" (`encoders.head`).
        layer_norm: Whether the head normalizes what comes in first.
        size_pixels: The side of a square, or (height, width); None is what the model was
            trained with.
        channels: C, 1 or 3.

    Raises:
        ConfigError: timm has no such model, or an option does not fit.
        MissingWeights: The weights are not on this machine and cannot be fetched, or do not fit.

    Example:
        >>> encoder = TimmEncoder(backbone="test_resnet", pretrained=False, embedding_size=8)
        >>> encoder(torch.zeros(2, *encoder.preprocess.input_shape)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        *,
        backbone: str = "tf_efficientnet_lite0",
        pretrained: bool = True,
        weights: str | None = None,
        weights_licence: str = "unknown",
        embedding_size: int | None = None,
        pooling: str = "auto",
        head: Literal["linear", "mlp", "none"] = "linear",
        layer_norm: bool = False,
        size_pixels: Size | None = None,
        channels: int = 3,
    ) -> None:
        _check_name(backbone)
        if pooling not in ("auto", *POOLINGS):
            near = get_close_matches(pooling, POOLINGS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"pooling must be auto, {', '.join(POOLINGS)}, got {pooling!r}{hint}")
        net, source, licence = _network(backbone, pretrained, weights, size_pixels, channels)
        pooled = _Pooled(net, None if pooling == "auto" else Pooling(pooling))
        preprocess = _preprocess(net, size_pixels, channels)
        feature_size = _feature_size(pooled, preprocess)
        size = embedding_size or (feature_size if head == "none" else min(feature_size, 512))
        super().__init__(
            pooled,
            make_head(head, feature_size=feature_size, embedding_size=size, layer_norm=layer_norm),
            preprocess=preprocess,
            feature_size=feature_size,
            embedding_size=size,
            weights_licence=weights_licence if weights else licence,
            pretrained_on=source,
        )


@final
class _Pooled(nn.Module):
    """(N, C, H, W) -> (N, F), by the model's own pooling or by another."""

    def __init__(self, net: nn.Module, pooling: Pooling | None) -> None:
        super().__init__()
        self.net = net
        self.pooling = pooling

    def forward(self, inputs: Tensor) -> Tensor:
        if self.pooling is None:
            features: Tensor = self.net(inputs)
            return features
        return self.pooling(self._map(self.net.forward_features(inputs)))  # type: ignore[operator]

    def _map(self, features: Tensor) -> Tensor:
        """Bring (N, H, W, F) or tokens (N, L, F) to (N, F, H, W); class tokens are no positions."""
        if features.ndim == 3:
            num_prefix: Any = getattr(self.net, "num_prefix_tokens", 0)
            return features[:, num_prefix:].transpose(1, 2)[..., None]
        if getattr(self.net, "output_fmt", "NCHW") == "NHWC":
            return features.permute(0, 3, 1, 2)
        return features


def _network(
    backbone: str, pretrained: bool, weights: str | None, size_pixels: Size | None, channels: int
) -> tuple[nn.Module, str, str]:
    """Return the model without classifier, what it was trained on, and the licence of that."""
    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    found: Any = timm.models.get_pretrained_cfg(backbone)
    if size_pixels and found is not None and found.fixed_input_size:
        options["img_size"] = sides_of(size_pixels)
    if weights:
        return _from_file(backbone, weights, options), f"file {Path(weights).name}", "unknown"
    if not pretrained:
        return timm.create_model(backbone, pretrained=False, **options), "", ""
    source = _available(backbone, found)
    try:
        net = timm.create_model(backbone, pretrained=True, **options)
    except Exception as error:  # hub, network and file system each raise their own
        reason = str(error).strip().partition("\n")[0]
        raise missing_weights(backbone, source, reason) from None
    return net, source, found.license or "unknown"


def _available(backbone: str, found: Any) -> str:
    """Return where the weights of a model come from, if they can come.

    Raises:
        MissingWeights: There are none, or they are neither here nor can they be fetched.
    """
    if found is None or not (found.hf_hub_id or found.url):
        raise MissingWeights(
            f"timm offers no pretrained weights for {backbone}; pass a file with --set "
            "encoder.options.weights=PATH, or train from scratch with --set "
            "encoder.options.pretrained=false"
        )
    source = str(found.hf_hub_id or found.url)
    if not _is_cached(found) and not can_fetch():
        raise missing_weights(backbone, source, "the hub does not answer")
    return source


def _is_cached(found: Any) -> bool:
    if found.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        names = ("model.safetensors", "pytorch_model.bin")
        if any(isinstance(try_to_load_from_cache(found.hf_hub_id, name), str) for name in names):
            return True
    name = str(found.url or "").rpartition("/")[2]
    return bool(name) and (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file()


def _from_file(backbone: str, path: str, options: dict[str, Any]) -> nn.Module:
    """Load weights by timm's own rules, else by name, else by order."""
    weights = read_weights(path)
    try:
        # With its classifier timm is strict; without one it would take weights of another model.
        _with_weights(backbone, weights, {**options, "num_classes": None})
    except (RuntimeError, KeyError, AttributeError, TypeError, ValueError):
        whole: Any = timm.create_model(backbone, pretrained=False)
        classifier = whole.pretrained_cfg.get("classifier") or ()
        optional = [classifier] if isinstance(classifier, str) else list(classifier)
        weights = fitted(weights, whole.state_dict(), optional=optional, name=path)
    return _with_weights(backbone, weights, options)


def _with_weights(
    backbone: str, weights: Mapping[str, Tensor], options: dict[str, Any]
) -> nn.Module:
    overlay = {"state_dict": dict(weights)}
    options = {key: value for key, value in options.items() if value is not None}
    net: nn.Module = timm.create_model(
        backbone, pretrained=True, pretrained_cfg_overlay=overlay, **options
    )
    return net


def _preprocess(net: nn.Module, size_pixels: Size | None, channels: int) -> Preprocess:
    """Return timm's data configuration as our preprocessing."""
    config: dict[str, Any] = resolve_data_config({}, model=net)  # type: ignore[no-untyped-call]
    resize: dict[str, Resize] = {"center": "crop", "squash": "squash", "border": "pad"}
    kind = resize[config.get("crop_mode", "center")]
    mean, std = (tuple(float(v) for v in config[key]) for key in ("mean", "std"))
    if channels != len(mean):
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return Preprocess(
        size_pixels=size_pixels or tuple(config["input_size"][-2:]),
        channels=channels,
        resize=kind,
        crop_fraction=1.0 if kind == "pad" else float(config["crop_pct"]),
        mean=mean,
        std=std,
    )


def _feature_size(backbone: nn.Module, preprocess: Preprocess) -> int:
    shape = preprocess.input_shape or ()
    backbone.eval()
    with torch.no_grad():
        size = backbone(torch.zeros(1, *shape)).shape[-1]
    backbone.train()
    return int(size)


def _check_name(backbone: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        ConfigError: With the nearest names.
    """
    name, _, tag = backbone.partition(".")
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has them all"
        raise ConfigError(f"encoder.options.backbone: timm has no model {backbone!r}; {hint}")
    tagged = timm.list_models(f"{name}.*", pretrained=True)
    if tag and backbone not in tagged:
        raise ConfigError(
            f"encoder.options.backbone: timm has no weights {backbone!r}; it has "
            f"{', '.join(tagged) or 'none for this model'}"
        )
