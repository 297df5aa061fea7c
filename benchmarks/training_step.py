"""One training step of ours against the same step in a plain PyTorch loop, in turns.

Small net, 48 px, 32 classes x 8 items, triplet loss over all triplets, drawings distorted, AdamW,
gradients clipped, learning rates set per step, mixed precision where the processor has it. Both
start from the same weights and see the same batches. While Lightning waits for its next batch,
the plain loop makes its step; so both run in one process, one right after the other.

    python -m benchmarks.training_step
"""

import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from ilk.config import load_run
from ilk.encoders.small import SmallEncoder
from ilk.losses import Triplet
from ilk.training.augment import make_augment
from ilk.training.batches import Rounds
from ilk.training.defaults import DataFacts, EncoderFacts, resolve
from ilk.training.hardware import to_channels_last
from ilk.training.inputs import PlainInputs, TrainingInputs, normalize_frames
from ilk.training.module import TrainingModule
from ilk.training.optimizer import parameter_groups
from ilk.training.sampling import BalancedBatchSampler
from ilk.training.schedule import CosineSchedule
from ilk.training.trainer import make_trainer, quiet

NUM_CLASSES, CLASS_SIZE, SIZE_PIXELS = 200, 20, 48
P, K = 32, 8
NUM_THREADS, WARM_UP, NUM_STEPS, CLIP_NORM = 2, 4, 34, 3.0
TARGET = 1.05
SCHEDULE = CosineSchedule(num_steps=NUM_STEPS, warm_up=0.1, final=0.01)


def encoder() -> SmallEncoder:
    """The same untrained net every time."""
    torch.manual_seed(0)
    net = SmallEncoder(size_pixels=SIZE_PIXELS)
    to_channels_last(net)
    return net


def groups(net: SmallEncoder) -> list[dict[str, object]]:
    """AdamW's groups of both loops."""
    parts = [("backbone", net.backbone, 2e-3), ("head", net.head, 2e-3)]
    return parameter_groups(parts, weight_decay=0.01)


class PlainLoop:
    """The step as one would write it by hand."""

    def __init__(
        self, frames: Tensor, labels: Tensor, batches: list[list[int]], precision: str
    ) -> None:
        self.net = encoder().train()
        self.optimizer = torch.optim.AdamW(groups(self.net))
        self.loss = Triplet(margin=0.2)
        self.augment = make_augment("drawing")
        self.frames, self.labels, self.batches = frames, labels, batches
        self.is_mixed = precision == "bfloat16"

    def step(self, number: int) -> None:
        chosen = torch.tensor(self.batches[number])
        frames, labels = self.frames[chosen], self.labels[chosen]
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * SCHEDULE.share(number)
        generator = torch.Generator().manual_seed(number)
        inputs = normalize_frames(self.augment(frames, generator), self.net.preprocess)
        with torch.autocast("cpu", torch.bfloat16) if self.is_mixed else nullcontext():
            loss = self.loss(self.net(inputs), labels)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP_NORM)
        self.optimizer.step()


class Turns:
    """Batches for Lightning; before each, the plain loop has its turn."""

    def __init__(self, plain: PlainLoop, rounds: Rounds, frames: Tensor) -> None:
        self.plain, self.rounds, self.frames = plain, rounds, frames
        self.seconds: list[tuple[float, float]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = iter(self.rounds)
        for number in range(NUM_STEPS):
            start = time.perf_counter()
            self.plain.step(number)
            mine = time.perf_counter() - start
            start = time.perf_counter()
            chosen = torch.tensor(next(batches))
            yield self.frames[chosen], chosen
            self.seconds.append((mine, time.perf_counter() - start))


def measure() -> tuple[list[tuple[float, float]], str]:
    """Return (plain, ours) seconds per step, and the precision."""
    rng = np.random.default_rng(0)
    shape = (NUM_CLASSES * CLASS_SIZE, SIZE_PIXELS, SIZE_PIXELS, 1)
    frames = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    class_ids = np.repeat(np.arange(NUM_CLASSES), CLASS_SIZE)
    net = encoder()
    facts = DataFacts(
        kind="drawing",
        num_items=len(frames),
        num_classes=NUM_CLASSES,
        median_class_size=CLASS_SIZE,
    )
    settings = ["trainer.accelerator=cpu", "trainer.loggers=[]", f"optimizer.clip_norm={CLIP_NORM}"]
    run = resolve(load_run(overrides=settings), facts, EncoderFacts.of(net))
    module = TrainingModule(
        backbone=net.backbone,
        head=net.head,
        loss=Triplet(margin=0.2),
        groups=groups(net),
        schedule=SCHEDULE,
        training_inputs=TrainingInputs(net.preprocess, make_augment("drawing")),
        validation_inputs=PlainInputs(net.preprocess),
        training_class_ids=class_ids,
        validation_class_ids=class_ids,
    )
    sampler = BalancedBatchSampler(class_ids, classes_per_batch=P, items_per_class=K)
    rounds = Rounds(sampler, current_step=lambda: 0, num_steps=NUM_STEPS, validate_every=NUM_STEPS)
    plain = PlainLoop(frames, torch.from_numpy(class_ids), list(rounds), run.trainer.precision)
    turns = Turns(plain, rounds, frames)
    with quiet(), warnings.catch_warnings():
        # Nothing is validated here, as in the plain loop.
        warnings.filterwarnings("ignore", ".*no `val_dataloader`.*")
        trainer = make_trainer(run, loggers=[], callbacks=[], num_steps=NUM_STEPS)
        trainer.fit(module, train_dataloaders=turns)
    return turns.seconds[WARM_UP:], run.trainer.precision


def main() -> int:
    """Print both times and their ratio."""
    torch.set_num_threads(NUM_THREADS)
    seconds, precision = measure()
    plain, ours = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratios = sorted(b / a for a, b in seconds)
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    print(
        f"small net, {SIZE_PIXELS} px, batch {P * K}, {precision}, {NUM_THREADS} threads, "
        f"torch {torch.__version__}, {len(seconds)} steps each in turns"
    )
    print(
        f"plain loop {plain * 1000:.1f} ms, ours {ours * 1000:.1f} ms; ratio of medians "
        f"{ours / plain:.3f}, of pairs median {statistics.median(ratios):.3f}, middle 80 % "
        f"{low:.3f} to {high:.3f} (target: at most {TARGET})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
