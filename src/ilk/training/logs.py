"""Where figures are written while training runs, by name."""

from __future__ import annotations

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

from ilk.errors import ConfigError, MissingExtra

__all__ = ["make_loggers"]


def make_loggers(
    names: Sequence[str], folder: Path, *, run_name: str, version: str
) -> list[Logger]:
    """Return the loggers of these names, each writing below `folder` or to its own server.

    "mlflow" and "wandb" take their address and key from their own environment variables.

    Args:
        names: Of csv, tensorboard, mlflow and wandb.
        folder: For what is written locally.
        run_name: What the run is called where several are shown.
        version: Keeps what was logged before a resumption apart.

    Raises:
        ConfigError: There is no logger of a name.
        MissingExtra: The package behind a name is not installed.
    """
    return [_make(name, folder, run_name, version) for name in names]


def _make(name: str, folder: Path, run_name: str, version: str) -> Logger:
    makers: dict[str, Any] = {
        "csv": lambda: CSVLogger(folder, name="csv", version=version),
        "tensorboard": lambda: TensorBoardLogger(folder, name="tensorboard", version=version),
        "mlflow": lambda: MLFlowLogger(
            experiment_name="ilk", run_name=run_name, save_dir=str(folder / "mlflow")
        ),
        "wandb": lambda: WandbLogger(project="ilk", name=run_name, save_dir=folder / "wandb"),
    }
    if name not in makers:
        near = get_close_matches(name, makers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(makers)}"
        raise ConfigError(f"trainer.loggers: there is no logger {name!r}; {hint}")
    try:
        logger: Logger = makers[name]()
    except ModuleNotFoundError:
        raise MissingExtra(
            f"trainer.loggers: {name!r} needs a package that is not installed; pip install {name}"
        ) from None
    return logger
