"""A Lightning trainer that does what a run says, and says little itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from ilk.config import Run

__all__ = ["make_trainer", "quiet"]

_PRECISIONS: dict[str, Any] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}
_EXPECTED = (
    # What is frozen is in evaluation mode, and modules set their own mode when training starts.
    ".*in eval mode at the start of training.*",
    # Each process validates its own share, without a sampler that would repeat items.
    ".*it is recommended to use a single device.*",
    # An accelerator that is there and was not asked for.
    ".*(GPU|MPS) available but not used.*",
    # A cluster's launcher that is there and not in use.
    ".*srun.*",
    # Lightning itself uses what torch is about to drop.
    ".*isinstance.*LeafSpec.*",
)


def make_trainer(
    run: Run, *, loggers: Sequence[Logger], callbacks: Sequence[Callback], num_steps: int
) -> Trainer:
    """Return a trainer for `num_steps` steps of a resolved run."""
    head_only = float(run.schedule.head_only_epochs) > 0
    strategy = run.trainer.strategy if run.trainer.devices > 1 else "auto"
    if strategy == "ddp" and head_only:
        # While the head trains alone the backbone gets no gradients, which DDP must expect.
        strategy = "ddp_find_unused_parameters_true"
    is_deterministic = run.trainer.deterministic and run.trainer.accelerator == "gpu"
    return Trainer(
        accelerator=run.trainer.accelerator,
        devices=run.trainer.devices,
        strategy=strategy,
        precision=_PRECISIONS[run.trainer.precision],
        max_steps=num_steps,
        max_epochs=-1,
        gradient_clip_val=run.optimizer.clip_norm or None,
        callbacks=list(callbacks),
        logger=list(loggers),
        deterministic="warn" if is_deterministic else None,
        benchmark=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says about things that are as intended, and leave no trace."""
    loud = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loud]
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    for logger in loud:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        finally:
            for logger, level in zip(loud, levels, strict=True):
                logger.setLevel(level)
            torch.use_deterministic_algorithms(was_deterministic, warn_only=warned_only)
