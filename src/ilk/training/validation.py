"""The figures of the weights that are exported, on the classes that chose them.

Shapes: N items.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ilk.data_rules import FEW_VALIDATION_CLASSES
from ilk.distances import Distance
from ilk.evaluation.figures import Figure
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.retrieval import retrieval

__all__ = ["validation_figures"]

_NOTE = "classes that training did not see, and by which the weights were chosen"


def validation_figures(
    embeddings: torch.Tensor, class_ids: np.ndarray, distance: Distance, *, seed: int
) -> tuple[Figure, ...]:
    """Return MAP@R and Recall@1 with an interval by class, if there are classes enough for one.

    Args:
        embeddings: (N, D).
        class_ids: (N,) from 0.
        distance: What closeness means.
        seed: Of the bootstrap.
    """
    found = retrieval(embeddings.double().numpy(), class_ids, distance)
    bootstrap = ClassBootstrap(int(class_ids.max()) + 1, seed=seed)
    figures = (
        bootstrap.mean(f"validation_{name}", found[name], class_ids, note=_NOTE)
        for name in ("map_at_r", "recall_at_1")
    )
    return tuple(map(_without_guess, figures))


def _without_guess(figure: Figure) -> Figure:
    """Take an interval away that drawing so few classes again cannot give."""
    if figure.num_classes >= FEW_VALIDATION_CLASSES:
        return figure
    note = f"{_NOTE}; {figure.num_classes} classes are too few for an interval"
    return replace(figure, low=None, high=None, note=note)
