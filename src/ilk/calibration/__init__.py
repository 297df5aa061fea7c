"""From the distances of strangers and a target rate to a threshold, with what it can promise."""

from ilk.calibration.conformal import (
    StrangerDistances,
    classes_needed,
    combine_p_values,
    least_rate,
    limit_for_fpir,
    require_classes,
)
from ilk.calibration.growth import fpir_at_size, limit_at_size, target_at_size
from ilk.calibration.intervals import clopper_pearson, clustered_interval

__all__ = [
    "StrangerDistances",
    "classes_needed",
    "clopper_pearson",
    "clustered_interval",
    "combine_p_values",
    "fpir_at_size",
    "least_rate",
    "limit_at_size",
    "limit_for_fpir",
    "require_classes",
    "target_at_size",
]
