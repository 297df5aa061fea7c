"""The figures of verification with their intervals, and the DET curve."""

from __future__ import annotations

import numpy as np

from ilk.evaluation.figures import Curve, Figure
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.settings import EvaluationSettings
from ilk.evaluation.verification import (
    Comparisons,
    det_curve,
    equal_error,
    equal_error_draws,
    fnmr_at,
    fnmr_draws,
    rate_draws,
)

__all__ = ["verification_figures"]


def verification_figures(
    found: Comparisons, settings: EvaluationSettings, bootstrap: ClassBootstrap
) -> tuple[list[Figure], dict[str, Curve]]:
    """Return "eer", "fnmr_at_fmr_..." and the "det" curve.

    A figure that the comparisons cannot carry is None and says how many it would need.
    """
    targets = settings.fmr_targets
    names = ["eer", *(f"fnmr_at_fmr_{target:g}" for target in targets)]
    genuine, impostor = found.genuine, found.impostor
    if not len(genuine) or not len(impostor):
        why = "needs two items of one class and items of two classes"
        return [Figure(name, None, None, None, 0, 0, why) for name in names], {}
    note = "" if found.is_complete else "from a sample of all pairs"
    num_classes = len(np.unique(np.append(found.genuine_class, found.impostor_classes)))
    values: list[float | None] = [equal_error(genuine, impostor)]
    values += [fnmr_at(genuine, impostor, target) for target in targets]
    draws = _draws(found, targets, bootstrap)
    figures = []
    for name, value, column, target in zip(names, values, draws.T, (1.0, *targets), strict=True):
        if value is None:
            why = f"needs {1 / target:,.0f} impostor comparisons, got {len(impostor):,}"
            figures.append(Figure(name, None, None, None, len(genuine), num_classes, why))
        else:
            figures.append(
                bootstrap.figure(name, value, column, len(genuine), num_classes, note=note)
            )
    x, y = det_curve(genuine, impostor)
    return figures, {"det": Curve("det", x, y, "False match rate", "False non-match rate")}


def _draws(found: Comparisons, targets: tuple[float, ...], bootstrap: ClassBootstrap) -> np.ndarray:
    """Return the draws of the bootstrap of each figure, (B, 1 + number of targets)."""
    rates = rate_draws(found, bootstrap.num_classes)

    def statistics(weights: np.ndarray) -> np.ndarray:
        fmr, fnmr = rates(weights)
        at_targets = (fnmr_draws(fmr, fnmr, target) for target in targets)
        return np.stack([equal_error_draws(fmr, fnmr), *at_targets], axis=1)

    return bootstrap.draws(statistics)
