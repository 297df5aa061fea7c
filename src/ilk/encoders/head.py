"""The last layers of an encoder: from what a backbone gives to an embedding.

Shapes: N inputs, F feature size, D embedding size.
"""

from __future__ import annotations

from difflib import get_close_matches

from torch import nn

from ilk.errors import ConfigError

__all__ = ["make_head"]


def make_head(
    name: str, *, feature_size: int, embedding_size: int, layer_norm: bool = False
) -> nn.Module:
    """Return a module (N, F) -> (N, D).

    Args:
        name: "linear" is one affine map; "mlp" has a hidden layer of size F and a ReLU before it;
            "none" passes on what comes in, so D must be F.
        feature_size: F.
        embedding_size: D.
        layer_norm: Whether what comes in is brought to mean 0 and variance 1 per item first.

    Raises:
        ConfigError: There is no head of that name, or the sizes do not fit.

    Example:
        >>> make_head("linear", feature_size=8, embedding_size=2)
        Sequential(
          (project): Linear(in_features=8, out_features=2, bias=True)
        )
    """
    kinds = ("linear", "mlp", "none")
    if name not in kinds:
        near = get_close_matches(name, kinds, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"head must be one of {', '.join(kinds)}, got {name!r}{hint}")
    if embedding_size < 1 or (name == "none" and embedding_size != feature_size):
        raise ConfigError(
            "embedding_size must be at least 1, and with head 'none' what the backbone gives, "
            f"{feature_size}; got {embedding_size}"
        )
    head = nn.Sequential()
    if layer_norm:
        head.add_module("norm", nn.LayerNorm(feature_size, elementwise_affine=False))
    if name == "mlp":
        head.add_module("hidden", nn.Linear(feature_size, feature_size))
        head.add_module("relu", nn.ReLU())
    if name != "none":
        project = nn.Linear(feature_size, embedding_size)
        nn.init.orthogonal_(project.weight)
        nn.init.zeros_(project.bias)
        head.add_module("project", project)
    return head
