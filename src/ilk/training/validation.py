"""The figures of the weights that are exported, on the classes that chose them.

Shapes: N items.
"""

from __future__ import annotations

import numpy as np
import torch

from ilk.distances import Distance
from ilk.evaluation.figures import Figure
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.retrieval import retrieval

__all__ = ["validation_figures"]

_NOTE = "classes that training did not see, and by which the weights were chosen"


def validation_figures(
    embeddings: torch.Tensor, class_ids: np.ndarray, distance: Distance, *, seed: int
) -> tuple[Figure, ...]:
    """Return MAP@R and Recall@1 with an interval by class.

    Args:
        embeddings: (N, D).
        class_ids: (N,) from 0.
        distance: What closeness means.
        seed: Of the bootstrap.
    """
    found = retrieval(embeddings.double().numpy(), class_ids, distance)
    bootstrap = ClassBootstrap(int(class_ids.max()) + 1, seed=seed)
    return tuple(
        bootstrap.mean(f"validation_{name}", found[name], class_ids, note=_NOTE)
        for name in ("map_at_r", "recall_at_1")
    )
