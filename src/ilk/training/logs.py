"""Where figures are written while training runs, by name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from ilk.config import Run, flat
from ilk.errors import ConfigError, MissingExtra
from ilk.training.module import TrainingModule

__all__ = ["log_settings", "logger_name", "make_loggers"]

_FLUSH_SECONDS = 30


def logger_name(logger: str) -> str:
    """Return the name in "NAME" or "NAME:ADDRESS"; an address may hold a password.

    Example:
        >>> logger_name("mlflow:postgresql://me:secret@host/runs"), logger_name("csv")
        ('mlflow', 'csv')
    """
    return logger.partition(":")[0]


def make_loggers(
    names: Sequence[str], folder: Path, *, run_name: str, version: str
) -> list[Logger]:
    """Return the loggers of these names, each writing below `folder` or to its own server.

    "mlflow" takes its address after a colon, such as "mlflow:sqlite:///runs.db" or
    "mlflow:https://host", else from MLFLOW_TRACKING_URI, else it is a database below `folder`.
    "wandb" takes address and key from its own environment variables.

    Args:
        names: Of csv, tensorboard, mlflow and wandb.
        folder: For what is written locally.
        run_name: What the run is called where several are shown.
        version: Keeps what was logged before a resumption apart.

    Raises:
        ConfigError: There is no logger of a name, or none can be reached at its address.
        MissingExtra: The package behind a name is not installed.
    """
    return [_make(name, folder, run_name, version) for name in names]


def log_settings(loggers: Sequence[Logger], run: Run, module: TrainingModule) -> None:
    """Hand every logger that keeps them the settings of a run, by dotted name.

    Args:
        loggers: Of which "csv" keeps none: its folder has `run.toml` beside it.
        run: Resolved.
        module: Validated once: TensorBoard lists settings beside a figure.
    """
    settings = flat(run.as_dict())
    settings["trainer.loggers"] = " ".join(map(logger_name, run.trainer.loggers))
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            figures = {"validation_map_at_r": module.scores[max(module.scores)]}
            logger.log_hyperparams(settings, figures, step=module.step)
        elif not isinstance(logger, CSVLogger):
            logger.log_hyperparams(settings)


def _make(logger: str, folder: Path, run_name: str, version: str) -> Logger:
    name, has_address, address = logger.partition(":")
    makers: dict[str, Any] = {
        "csv": lambda: CSVLogger(folder, name="csv", version=version, flush_logs_every_n_steps=1),
        "tensorboard": lambda: TensorBoardLogger(
            folder, name="tensorboard", version=version, flush_secs=_FLUSH_SECONDS
        ),
        "mlflow": lambda: _mlflow(address, folder, run_name),
        "wandb": lambda: WandbLogger(project="ilk", name=run_name, save_dir=folder / "wandb"),
    }
    if name not in makers:
        near = get_close_matches(name, makers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(makers)}"
        raise ConfigError(f"trainer.loggers: there is no logger {name!r}; {hint}")
    if has_address and name != "mlflow":
        raise ConfigError(f"trainer.loggers: only mlflow takes an address, got {logger!r}")
    try:
        made: Logger = makers[name]()
    except ModuleNotFoundError as error:
        package = _package(name, error.name)
        raise MissingExtra(
            f"trainer.loggers: {name!r} needs a package that is not installed; pip install "
            f"{package}"
        ) from None
    return made


def _package(logger: str, module: str | None) -> str:
    """Return what to install for a logger: the module that it misses, if that is another one."""
    return module if module and not module.startswith(logger) else logger


def _mlflow(address: str, folder: Path, run_name: str) -> Logger:
    """Return a logger whose run has begun, so that an address out of reach is noticed at once."""
    address = address or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address:
        # What MLflow logs to a plain folder it refuses by now.
        (folder / "mlflow").mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{folder.resolve() / 'mlflow' / 'runs.db'}"
    try:
        with warnings.catch_warnings():  # of what MLflow builds on, which its user cannot mend
            warnings.simplefilter("ignore")
            logger = MLFlowLogger(experiment_name="ilk", run_name=run_name, tracking_uri=address)
            _ = logger.experiment
    except ModuleNotFoundError:
        raise
    except Exception as error:  # databases, servers and MLflow each raise their own
        reason = " ".join(str(error).split()).replace(address, "the address")
        raise ConfigError(
            f"trainer.loggers: MLflow cannot log there: {reason[:300]}; give an address such as "
            "mlflow:sqlite:///runs.db or mlflow:https://host"
        ) from None
    return logger
