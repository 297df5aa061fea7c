"""Batches for training and validation, for whichever process asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

from lightning.pytorch import LightningDataModule
from torch import Tensor

from ilk.split import class_parents
from ilk.training.batches import Rounds, in_order
from ilk.training.loading import Contents
from ilk.training.sampling import BalancedBatchSampler

__all__ = ["TrainingData"]

_VALIDATION_BATCH = 256


@final
class TrainingData(LightningDataModule):
    """Hands Lightning the batches of each round, and the validation items in order.

    Args:
        training: Contents to learn from.
        validation: Contents to choose the best weights by.
        classes_per_batch: P of the batch of all processes together.
        items_per_class: K.
        classes_per_parent: About how many classes of one parent come together.
        num_steps: Of the whole run.
        validate_every: In steps.
        seed: Of the batches.
        current_step: Tells how many steps have been made.
    """

    def __init__(
        self,
        training: Contents,
        validation: Contents,
        *,
        classes_per_batch: int,
        items_per_class: int,
        classes_per_parent: int = 1,
        num_steps: int,
        validate_every: int,
        seed: int,
        current_step: Callable[[], int],
    ) -> None:
        super().__init__()
        self.training = training
        self.validation = validation
        self._batch_size = classes_per_batch * items_per_class
        self._sampling = {
            "classes_per_batch": classes_per_batch,
            "items_per_class": items_per_class,
            "classes_per_parent": classes_per_parent,
            "seed": seed,
        }
        self._rounds = {"num_steps": num_steps, "validate_every": validate_every}
        self._current_step = current_step

    def train_dataloader(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Return the batches of this process from the current step on, round by round."""
        sampler = BalancedBatchSampler(
            self.training.items.class_ids,
            parents=class_parents(self.training.items),
            **self._sampling,
            **self._processes(),
        )
        rounds = Rounds(sampler, current_step=self._current_step, **self._rounds)
        return self.training.batches(rounds)

    def val_dataloader(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Return this process's share of the validation items, in order."""
        size = min(
            _VALIDATION_BATCH,
            2 * self._sampling["classes_per_batch"] * self._sampling["items_per_class"],
        )
        positions = in_order(len(self.validation.items), size, **self._processes())
        return self.validation.batches(positions)

    def _processes(self) -> dict[str, Any]:
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
