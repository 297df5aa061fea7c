"""The kit for distances."""

from __future__ import annotations

import numpy as np

from ilk.distances import Distance, distance_from_settings
from ilk.testing.claims import claim, close, normal

__all__ = ["check_distance"]


def check_distance(distance: Distance) -> None:
    """Check that a distance is one, and the same for NumPy, torch and search.

    Never negative, symmetric, (nearly) zero on itself, `paired` the diagonal of `pairwise` and
    `to_all` the same to the last bit, the search keys rank as the distance does, and settings make
    it again. With torch installed also: the same numbers to 1e-12, finite gradients at zero, on
    itself and at antipodes, and no effect of automatic mixed precision.

    Example:
        >>> from ilk.distances import Cosine
        >>> check_distance(Cosine())
    """
    x, y = normal(9, seed=0), normal(7, seed=1)
    d = distance.pairwise(x, y)
    close("pairwise(x, y) and pairwise(y, x) transposed", distance.pairwise(y, x).T, d, 1e-10)
    claim(bool((d >= 0).all()), f"distances must never be negative, got {d.min()}")
    claim(bool((d <= distance.upper).all()), f"distances above upper={distance.upper}: {d.max()}")
    close("the distance of embeddings to themselves", distance.paired(x, x), np.zeros(9), 1e-12)
    close("paired and the diagonal of pairwise", distance.paired(x[:7], y), d.diagonal(), 1e-10)
    close("to_all and paired", distance.to_all(x[0], y), distance.paired(x[[0] * 7], y), 0)
    inner = distance.search_queries(x) @ distance.search_keys(y).T
    ranks_alike = (np.argsort(-inner, 1) == np.argsort(d, 1)).all()
    claim(bool(ranks_alike), "search keys must rank as the distance does, and do not")
    settings = distance.settings
    claim("name" in settings, f"settings must have a name, got {settings}")
    if type(distance).__module__.startswith("ilk."):
        claim(distance_from_settings(settings) == distance, f"settings do not remake {distance}")
    if _has_torch():
        _check_distance_with_torch(distance, x, y)


def _check_distance_with_torch(distance: Distance, x: np.ndarray, y: np.ndarray) -> None:
    import torch

    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    d = distance.pairwise(tx, ty)
    close("torch and NumPy", d.numpy(), distance.pairwise(x, y), 1e-12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = distance.pairwise(tx.float(), ty.float())
    plain = distance.pairwise(tx.float(), ty.float())
    close("distances under mixed precision", mixed.numpy(), plain.numpy(), 0)
    corners = torch.cat([tx[:2], -tx[:2], tx[:1] * 0]).requires_grad_()
    others = corners.detach().clone().requires_grad_()
    (distance.pairwise(corners, others).sum() + distance.paired(corners, others).sum()).backward()
    for gradient in (corners.grad, others.grad):
        is_finite = gradient is not None and bool(gradient.isfinite().all())
        claim(
            is_finite, f"gradients at zero, on itself and at antipodes must be finite: {gradient}"
        )


def _has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None
