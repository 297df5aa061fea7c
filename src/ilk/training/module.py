"""The one LightningModule: it is handed everything, and decides nothing about a run.

Shapes: N items, D embedding size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ilk.distances import Distance
from ilk.errors import TrainingDiverged
from ilk.evaluation.retrieval import retrieval
from ilk.losses import Loss, gather_embeddings
from ilk.training.averaging import WeightAverage
from ilk.training.inputs import Prepare
from ilk.training.schedule import CosineSchedule

__all__ = ["Phases", "TrainingModule"]


@final
@dataclass(frozen=True, kw_only=True)
class Phases:
    """What is kept as it is, and for how long."""

    head_only_steps: int = 0
    """How many steps the backbone is left alone, in evaluation mode."""
    freeze_batch_norm: bool = False
    """Whether the backbone's batch norm stays in evaluation mode throughout."""


@final
class TrainingModule(LightningModule):
    """Learns by steps, each of which depends on the weights, the seed and its number alone.

    That makes a run go on from a checkpoint as if it had never stopped: batches, distortions and
    dropout of a step are drawn from the seed and the step's number, learning rates follow from
    it, and no random state has to be kept.

    Args:
        backbone: Its output is the input of `head`.
        head: Gives the embeddings.
        loss: On embeddings and class ids.
        groups: Of parameters, for AdamW, each with its "peak" learning rate and its "name".
        schedule: Moves all learning rates; that of the "backbone" starts with its own steps.
        training_inputs: Distorts and normalizes what comes in.
        validation_inputs: Normalizes only.
        training_class_ids: The class of each training item.
        validation_class_ids: The class of each validation item.
        seed: Of everything that is drawn.
        phases: What is kept as it is.
        average: Follows the network's weights, and is what validates and is exported.
        log_every: In steps.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        head: nn.Module,
        loss: Loss,
        groups: Sequence[dict[str, Any]],
        schedule: CosineSchedule,
        training_inputs: Prepare,
        validation_inputs: Prepare,
        training_class_ids: np.ndarray,
        validation_class_ids: np.ndarray,
        seed: int = 0,
        phases: Phases = Phases(),
        average: float = 0.0,
        log_every: int = 10,
    ) -> None:
        super().__init__()
        self.network = nn.ModuleDict({"backbone": backbone, "head": head})
        self.loss = loss
        self.step = 0
        """How many steps have been made."""
        self.scores: dict[int, float] = {}
        """Validation MAP@R by step."""
        self._latest_loss: Tensor | None = None
        self.average = WeightAverage(self.network, decay=average) if average else None
        self._groups = list(groups)
        self._schedule = schedule
        self._inputs = (training_inputs, validation_inputs)
        self._class_ids = tuple(
            torch.from_numpy(np.asarray(ids)) for ids in (training_class_ids, validation_class_ids)
        )
        self._seed = seed
        self._phases = phases
        self._log_every = log_every
        self._embedded: list[tuple[Tensor, Tensor]] = []
        self._swap = ExitStack()

    @property
    def distance(self) -> Distance:
        """What the loss learns and validation measures with."""
        return self.loss.distance

    @property
    def latest_loss(self) -> float | None:
        """The loss of the latest batch; None before the first."""
        return None if self._latest_loss is None else float(self._latest_loss)

    @property
    def is_head_only(self) -> bool:
        """Whether the backbone is left alone at the current step."""
        return self.step < self._phases.head_only_steps

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the (N, D) embeddings of prepared inputs."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_head_only):
            features = self.network["backbone"](inputs)
        embeddings: Tensor = self.network["head"](features)
        return embeddings

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW over the groups that were handed in."""
        return torch.optim.AdamW(self._groups)

    def train(self, mode: bool = True) -> TrainingModule:
        """Set the mode, but for what is frozen, which stays in evaluation mode."""
        super().train(mode)
        if mode:
            backbone = self.network["backbone"]
            if self.is_head_only:
                backbone.eval()
            elif self._phases.freeze_batch_norm:
                for module in backbone.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def on_train_start(self) -> None:
        """Start in the mode of the step, with the average on the device."""
        self.train()
        if self.average is not None:
            self.average.to(self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rates and the random numbers of this step."""
        if self.step == self._phases.head_only_steps > 0:
            self.train()
        for group in self.trainer.optimizers[0].param_groups:
            start = self._phases.head_only_steps if group["name"] == "backbone" else 0
            group["lr"] = group["peak"] * self._schedule.share(self.step, start=start)
        torch.manual_seed(self._seed_of("network"))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Raises:
            TrainingDiverged: It is not finite; looked at when it is logged.
            NoSignal: Nothing can be learnt from the batch.
        """
        contents, positions = batch
        generator = torch.Generator().manual_seed(self._seed_of("augment"))
        class_ids = self._class_ids[0][positions.cpu()].to(contents.device)
        inputs, class_ids = self._inputs[0](contents, class_ids, generator)
        embeddings, class_ids = gather_embeddings(self(inputs), class_ids)
        loss: Tensor = self.loss(embeddings, class_ids)
        self._latest_loss = loss.detach()
        if (self.step + 1) % self._log_every == 0:
            self._log({"loss": float(loss.detach()), **self._learning_rates()}, self.step + 1)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Make the step, move the average, and count."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update(self.network)
        self.step += 1

    def on_validation_start(self) -> None:
        """Validate the averaged weights, if there are any."""
        self._embedded = []
        if self.average is not None:
            self.average.to(self.device)
            self._swap.enter_context(self.average.swapped_in(self.network))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Embed a batch."""
        contents, positions = batch
        inputs, _ = self._inputs[1](contents, positions, torch.Generator())
        self._embedded.append((self(inputs).float(), positions))

    def on_validation_epoch_end(self) -> None:
        """Measure MAP@R over all validation items of all processes."""
        embeddings = torch.cat([embeddings for embeddings, _ in self._embedded])
        positions = torch.cat([positions for _, positions in self._embedded])
        with torch.no_grad():
            embeddings, positions = gather_embeddings(embeddings, positions)
        self._embedded = []
        if not torch.isfinite(embeddings).all():
            raise TrainingDiverged(_diverged("an embedding", self.step))
        order = positions.cpu().argsort()
        found = retrieval(
            embeddings.cpu()[order].double().numpy(),
            self._class_ids[1][positions.cpu()[order]].numpy(),
            self.distance,
        )
        self.scores[self.step] = float(np.nanmean(found["map_at_r"]))
        self._log(
            {
                "validation_map_at_r": self.scores[self.step],
                "validation_recall_at_1": float(np.nanmean(found["recall_at_1"])),
            },
            self.step,
        )

    def on_validation_end(self) -> None:
        """Go back to the weights that learn."""
        self._swap.close()

    def prepared(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterable[Tensor]:
        """Yield the inputs that plain batches make, without distortions."""
        for contents, positions in batches:
            yield self._inputs[1](contents.to(self.device), positions, torch.Generator())[0]

    @torch.no_grad()
    def embed(self, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the (N, D) float32 embeddings of plain batches, and their (N,) positions."""
        was_training = self.training
        self.eval()
        found = [
            (self(self._inputs[1](contents.to(self.device), p, torch.Generator())[0]).float(), p)
            for contents, p in batches
        ]
        self.train(was_training)
        return torch.cat([e.cpu() for e, _ in found]), torch.cat([p for _, p in found])

    def _seed_of(self, purpose: str) -> int:
        words = [self._seed, self.step, self.global_rank, zlib.crc32(purpose.encode())]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)

    def _learning_rates(self) -> dict[str, float]:
        groups = self.trainer.optimizers[0].param_groups
        return {f"learning_rate/{group['name']}": group["lr"] for group in groups}

    def _log(self, metrics: dict[str, float], step: int) -> None:
        if not np.isfinite(list(metrics.values())).all():
            raise TrainingDiverged(_diverged("the loss", step))
        for logger in self.trainer.loggers:
            logger.log_metrics(metrics, step=step)


def _diverged(what: str, step: int) -> str:
    return (
        f"{what} must stay finite, and is not at step {step}; lower optimizer.learning_rate, set "
        "trainer.precision to float32, or look for odd items with `ilk check`"
    )
