"""Pretrained weights: from this machine, from a file, from the hub, or a clear word."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ilk.cache_folder import home_expanded
from ilk.errors import MissingWeights

__all__ = ["can_fetch", "fitted", "missing_weights", "read_weights"]

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors, .pth, .pt or .bin file; nothing in it is executed.

    Raises:
        MissingWeights: There is no such file, or it holds something else than tensors.
    """
    path = home_expanded(path)
    if not path.is_file():
        raise MissingWeights(f"{path}: there is no such file of weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds for a foreign file
        reason = str(error).strip().partition("\n")[0]
        raise MissingWeights(
            f"{path}: expected a file of tensors, .safetensors or saved by torch, got one that "
            f"cannot be read safely ({reason}); save its state dict with safetensors"
        ) from None
    for name in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    tensors = {}
    if isinstance(loaded, Mapping):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    if not tensors:
        raise MissingWeights(f"{path}: expected a state dict of tensors, found none")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def fitted(
    weights: Mapping[str, Tensor],
    network: Mapping[str, Tensor],
    *,
    optional: Iterable[str],
    name: str,
) -> dict[str, Tensor]:
    """Return the weights under the network's names.

    They fit by name, or, if not one name is shared, by order: as many tensors, each with the shape
    and the last part of the name ("weight", "running_mean") of the network's. That is how weights
    of the same network from another package fit. A safetensors file keeps no order.

    Args:
        weights: What a file holds.
        network: The state of the network, with its classifier.
        optional: Prefixes of what need not be there, such as the classifier.
        name: What to call the file.

    Raises:
        MissingWeights: They do not fit; the message says how far they did.
    """
    skipped = tuple(f"{prefix}." for prefix in optional)
    needed = {key: value for key, value in network.items() if not key.startswith(skipped)}
    shared = needed.keys() & weights.keys()
    if shared:
        missing = sorted(needed.keys() - weights.keys())
        wrong = sorted(k for k in shared if _differs(weights[k], needed[k], k))
        if missing or wrong:
            raise MissingWeights(
                f"{name}: expected weights of this network, got {len(shared)} of {len(needed)} "
                f"names, {len(wrong)} with another shape; "
                f"{'missing' if missing else 'wrong'}: {(missing or wrong)[0]}"
            )
        return {key: weights[key] for key in needed}
    is_ordered = not name.endswith(".safetensors")
    for target in (network, needed):
        pairs = list(zip(target.items(), weights.items(), strict=False))
        if is_ordered and len(target) == len(weights) and all(_alike(a, b) for a, b in pairs):
            return {key: value for (key, _), (_, value) in pairs if key in needed}
    raise MissingWeights(
        f"{name}: expected weights of this network, got {len(weights)} tensors that fit the "
        f"{len(network)} of the network neither by name (such as {next(iter(network))}, the file "
        f"has {next(iter(weights))}) nor by order and shape; choose the "
        "encoder.options.backbone that they were saved from"
    )


def _alike(wanted: tuple[str, Tensor], found: tuple[str, Tensor]) -> bool:
    """Compare shapes and what the tensors are to their layers."""
    parts = [name.rpartition(".")[2] for name in (wanted[0], found[0])]
    return wanted[1].shape == found[1].shape and parts[0] == parts[1]


def _differs(found: Tensor, wanted: Tensor, key: str) -> bool:
    """Compare shapes; a first convolution may have another number of channels."""
    if found.ndim == 4 and wanted.ndim == 4:
        return found.shape[0] != wanted.shape[0] or found.shape[2:] != wanted.shape[2:]
    return found.shape != wanted.shape


def can_fetch(timeout_seconds: float = 5.0) -> bool:
    """Return whether the hub answers. Asking it for weights offline takes most of a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = urllib.request.Request(address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=timeout_seconds).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def missing_weights(backbone: str, source: str, reason: str) -> MissingWeights:
    """Return the error that says which weights are missing and how to pass them."""
    return MissingWeights(
        f"the pretrained weights of {backbone} ({source}) are not on this machine and cannot be "
        f"fetched: {reason}; pass a file of them with --set encoder.options.weights=PATH "
        "(.safetensors or .pth), or train from scratch with --set encoder.options.pretrained=false"
    )
