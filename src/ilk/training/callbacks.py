"""What happens around the steps: keeping, stopping and showing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ilk.errors import DataError, TrainingStopped
from ilk.training.checkpoints import load_checkpoint, nested, save_checkpoint
from ilk.training.module import TrainingModule

__all__ = ["Keeper", "Patience", "Stopper", "has_lost_patience"]


def has_lost_patience(scores: Mapping[int, float], patience: int) -> bool:
    """Return whether the last `patience` validations were all worse than the best before them.

    Example:
        >>> scores = {0: 0.5, 10: 0.7, 20: 0.6, 30: 0.65}
        >>> has_lost_patience(scores, 2), has_lost_patience(scores, 3), has_lost_patience(scores, 0)
        (True, False, False)
    """
    best_step = max(scores, key=lambda step: (scores[step], step), default=0)
    return 0 < patience <= sum(step > best_step for step in scores)


@final
class Patience(Callback):
    """Ends a run whose validation has long been getting worse.

    Args:
        patience: How many validations in a row; 0 never ends it.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the scores after every validation."""
        assert isinstance(pl_module, TrainingModule)
        if has_lost_patience(pl_module.scores, self._patience):
            trainer.should_stop = True


@final
class Keeper(Callback):
    """Keeps the state to go on from, and the weights that validated best.

    Args:
        folder: Where `last.safetensors` and `best.safetensors` are.
        identity: Facts of the run that a checkpoint must share to be gone on from.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._last, self._best = folder / "last.safetensors", folder / "best.safetensors"
        self._identity = dict(identity)
        self._optimizer_state: dict[str, Tensor] = {}
        self._scaler_state: dict[str, Any] = {}
        self.best_step = -1
        """The step whose weights validated best; -1 before the first validation."""

    def restore(self, module: TrainingModule) -> None:
        """Bring a module to where its run stopped; the optimizer follows when training starts.

        Raises:
            DataError: The checkpoint is damaged or of other data.
            OSError: There is none.
        """
        tensors, facts = load_checkpoint(self._last)
        for key, value in self._identity.items():
            if facts.get(key) != value:
                raise DataError(
                    f"{self._last} was saved with another {key}; go on with what it was trained "
                    "on, or start again with --overwrite"
                )
        module.load_state_dict(nested(tensors, "module"))
        module.step = facts["step"]
        module.scores = {int(step): score for step, score in facts["scores"].items()}
        if module.average is not None:
            module.average.load(nested(tensors, "average"))
        self.best_step = facts["best_step"]
        self._optimizer_state = nested(tensors, "optimizer")
        self._scaler_state = facts["scaler"]

    def load_best(self, module: TrainingModule) -> None:
        """Give the module's network the weights that validated best."""
        tensors, _ = load_checkpoint(self._best)
        module.network.load_state_dict(tensors)

    def save(self, trainer: Trainer, module: TrainingModule) -> None:
        """Write the state to go on from, in the main process."""
        if not trainer.is_global_zero:
            return
        tensors = {f"module.{k}": v for k, v in module.state_dict().items()}
        if module.average is not None:
            tensors |= {f"average.{k}": v for k, v in module.average.state().items()}
        for i, values in trainer.optimizers[0].state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in values.items()}
        facts = {
            **self._identity,
            "step": module.step,
            "scores": {str(step): score for step, score in module.scores.items()},
            "best_step": self.best_step,
            "scaler": trainer.precision_plugin.state_dict(),
        }
        save_checkpoint(self._last, tensors, facts)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the optimizer to where it stopped."""
        if not self._optimizer_state:
            return
        optimizer = trainer.optimizers[0]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in self._optimizer_state.items():
            position, _, name = key.partition(".")
            like = parameters[int(position)]
            if value.shape == like.shape:
                # In the layout of the parameter, channels last perhaps, as it was before.
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)
            state.setdefault(int(position), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        trainer.precision_plugin.load_state_dict(self._scaler_state)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights if they are the best so far; the last of equals wins.

        Where a small validation set is perfect early, what was trained longer is safer.
        """
        assert isinstance(pl_module, TrainingModule)
        scores, step = pl_module.scores, pl_module.step
        if self.best_step < 0 or scores[step] >= scores[self.best_step]:
            self.best_step = step
            if trainer.is_global_zero:
                save_checkpoint(self._best, pl_module.network.state_dict(), {"step": step})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after every validation."""
        assert isinstance(pl_module, TrainingModule)
        self.save(trainer, pl_module)


@final
class Stopper(Callback):
    """Stops between two steps when Ctrl-C or SIGTERM asks for it, with everything saved.

    The second Ctrl-C stops at once, without saving.

    Args:
        keeper: Saves.
        validate_every: A stop never falls between a step and its validation.
        num_steps: Likewise for the last step.
        how_to_continue: What to tell the person.
    """

    def __init__(
        self, keeper: Keeper, *, validate_every: int, num_steps: int, how_to_continue: str
    ) -> None:
        self._keeper = keeper
        self._validate_every = validate_every
        self._num_steps = num_steps
        self._how_to_continue = how_to_continue
        self._is_asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        """Listen to signals, where that is possible: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave signals to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask(self) -> None:
        """Ask for a stop after the current step."""
        self._is_asked = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop unless a validation comes next."""
        assert isinstance(pl_module, TrainingModule)
        step = pl_module.step
        if step % self._validate_every and step != self._num_steps:
            self._stop_if_asked(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after a validation."""
        assert isinstance(pl_module, TrainingModule)
        self._stop_if_asked(trainer, pl_module)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._is_asked = True

    def _stop_if_asked(self, trainer: Trainer, module: TrainingModule) -> None:
        is_asked = self._is_asked
        if trainer.world_size > 1:
            is_asked = trainer.strategy.reduce_boolean_decision(is_asked, all=False)
        if is_asked and module.step < self._num_steps:
            self._keeper.save(trainer, module)
            raise TrainingStopped(
                f"stopped after step {module.step} of {self._num_steps}; {self._how_to_continue}"
            )
