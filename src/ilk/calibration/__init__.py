"""From the distances of strangers and a target rate to a threshold, with what it can promise."""

from ilk.calibration.conformal import (
    combine_p_values,
    least_rate,
    limit_for_fpir,
    p_value,
    trials_needed,
)
from ilk.calibration.growth import fpir_at_size, limit_at_size, target_at_size
from ilk.calibration.intervals import clopper_pearson, clustered_interval
from ilk.calibration.normalisation import NormalisationTrial, as_norm, compare_normalisation

__all__ = [
    "NormalisationTrial",
    "as_norm",
    "clopper_pearson",
    "clustered_interval",
    "combine_p_values",
    "compare_normalisation",
    "fpir_at_size",
    "least_rate",
    "limit_at_size",
    "limit_for_fpir",
    "p_value",
    "target_at_size",
    "trials_needed",
]
