"""Which parameters learn at which rate: backbone, head and what the loss learns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

__all__ = ["parameter_groups"]

_NORMALIZATIONS = ("Norm", "norm")


def parameter_groups(
    parts: Iterable[tuple[str, nn.Module, float]], *, weight_decay: float
) -> list[dict[str, Any]]:
    """Return groups for an optimizer, with the peak learning rate of each part.

    Biases and the parameters of normalization layers are not decayed, nor is what the part called
    "class_weights" learns: its length means something.

    Args:
        parts: Name, module and learning rate of each part. A parameter counts where it comes first.
        weight_decay: Of the rest.

    Example:
        >>> groups = parameter_groups([("head", nn.Linear(3, 2), 0.1)], weight_decay=0.01)
        >>> [(g["name"], g["weight_decay"], len(g["params"])) for g in groups]
        [('head', 0.01, 1), ('head', 0.0, 1)]
    """
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for name, module, learning_rate in parts:
        sides: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for is_decayed, parameter in _with_decay(module):
            if id(parameter) not in seen and parameter.requires_grad:
                seen.add(id(parameter))
                sides[is_decayed and name != "class_weights"].append(parameter)
        groups += [
            {
                "name": name,
                "params": parameters,
                "lr": learning_rate,
                "peak": learning_rate,
                "weight_decay": weight_decay if is_decayed else 0.0,
            }
            for is_decayed, parameters in sides.items()
            if parameters
        ]
    return groups


def _with_decay(module: nn.Module) -> Iterator[tuple[bool, nn.Parameter]]:
    """Yield each parameter of a module, and whether weight decay is for it."""
    for layer in module.modules():
        is_normalization = any(word in type(layer).__name__ for word in _NORMALIZATIONS)
        for parameter in layer.parameters(recurse=False):
            yield parameter.ndim > 1 and not is_normalization, parameter
