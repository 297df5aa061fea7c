"""The settings of a training run: one TOML file, changed by `key=value`, written back resolved."""

from ilk.config.reading import changed, load_run, run_from
from ilk.config.settings import (
    Augment,
    Batch,
    Data,
    Detector,
    Distance,
    Encoder,
    Loss,
    Optimizer,
    Run,
    Schedule,
    Trainer,
    differences,
    flat,
)
from ilk.config.toml import as_toml

__all__ = [
    "Augment",
    "Batch",
    "Data",
    "Detector",
    "Distance",
    "Encoder",
    "Loss",
    "Optimizer",
    "Run",
    "Schedule",
    "Trainer",
    "as_toml",
    "changed",
    "differences",
    "flat",
    "load_run",
    "run_from",
]
