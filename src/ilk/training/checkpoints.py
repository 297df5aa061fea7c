"""Tensors and plain facts in one file, written whole or not at all, and read without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ilk.errors import DataError, MissingExtra

__all__ = ["load_checkpoint", "nested", "save_checkpoint"]


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts to a safetensors file.

    The file appears under its name when it is complete; until then an older one stays.

    Raises:
        OSError: There is no room, or no right to write.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors.torch import save
    except ImportError:
        raise MissingExtra('checkpoints need safetensors; pip install "ilk[train]"') from None
    # A clone each: safetensors refuses tensors that share memory, as tied weights do.
    own = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    content = save(own, metadata={"facts": json.dumps(facts)})
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the facts that `save_checkpoint` wrote.

    Raises:
        DataError: The file is damaged or not one of ours.
        OSError: The file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path.stat()
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path} is not a checkpoint of ilk or is damaged ({error}); start again with "
            "--overwrite"
        ) from None


def nested(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what is stored under `prefix`, without it.

    Example:
        >>> import torch
        >>> nested({"network.weight": torch.ones(1), "loss.w": torch.ones(1)}, "network")
        {'weight': tensor([1.])}
    """
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
