"""What the machine can do: number formats and devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["describe_device", "has_gpu", "lightning_precision", "to_channels_last"]


def has_gpu(accelerator: str) -> bool:
    """Return whether training runs on a GPU of NVIDIA or AMD."""
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def lightning_precision(precision: str, accelerator: str) -> Any:
    """Return what Lightning calls a precision; "auto" is the fastest that is safe here.

    That is bfloat16 where the hardware has it, on GPUs and on processors with AMX or
    AVX512-BF16, and float32 elsewhere. Distances are computed in float32 or better whatever it is.

    Example:
        >>> lightning_precision("float32", "cpu")
        '32-true'
    """
    if precision == "auto":
        has_bfloat16 = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if has_gpu(accelerator)
            else accelerator in ("auto", "cpu")
            and not torch.backends.mps.is_available()
            and _processor_has_bfloat16()
        )
        precision = "bfloat16" if has_bfloat16 else "float32"
    return {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}[precision]


def describe_device(accelerator: str, devices: int) -> str:
    """Return in a few words what training runs on."""
    if has_gpu(accelerator):
        name = torch.cuda.get_device_name(0)
        return name if devices == 1 else f"{devices} x {name}"
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
