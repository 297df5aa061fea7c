"""What the machine can do: number formats and devices."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from ilk.errors import ConfigError

__all__ = ["choose_accelerator", "choose_precision", "describe_device", "to_channels_last"]


def choose_accelerator(accelerator: str) -> Literal["cpu", "gpu", "mps"]:
    """Return what to train on; "auto" is a GPU if there is one.

    Raises:
        ConfigError: There is none of what was asked for.
    """
    has = {
        "gpu": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kinds: tuple[Literal["gpu", "mps", "cpu"], ...] = ("gpu", "mps", "cpu")
    for kind in kinds:
        if has[kind] and accelerator in ("auto", kind):
            return kind
    raise ConfigError(
        f"trainer.accelerator: there is no {accelerator!r} on this machine; use 'auto' or 'cpu'"
    )


def choose_precision(accelerator: str) -> Literal["float32", "bfloat16"]:
    """Return the fastest precision that is safe on an accelerator.

    That is bfloat16 where the hardware has it, on GPUs and on processors with AMX or
    AVX512-BF16, and float32 elsewhere. Distances are computed in float32 or better whatever it is.

    Example:
        >>> choose_precision("mps")
        'float32'
    """
    has_bfloat16 = {
        "gpu": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": _processor_has_bfloat16,
    }
    return "bfloat16" if has_bfloat16.get(accelerator, bool)() else "float32"


def describe_device(accelerator: str, devices: int) -> str:
    """Return in a few words what training runs on."""
    if accelerator == "gpu":
        name = torch.cuda.get_device_name(0)
        return name if devices == 1 else f"{devices} x {name}"
    if accelerator == "mps":
        return "Apple GPU"
    threads = f"{torch.get_num_threads()} threads"
    return (
        f"CPU ({threads})" if devices == 1 else f"{devices} processes on the CPU ({threads} each)"
    )


def to_channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out as bfloat16 kernels like them, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)


def _processor_has_bfloat16() -> bool:
    found: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
