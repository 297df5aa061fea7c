"""One process of a run over several: python gather_worker.py RANK WORLD_SIZE FOLDER.

Writes what every case's loss and gradients are on this process to FOLDER/RANK.pt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ilk.distances import Euclidean
from ilk.losses import AdaFace, Contrastive, Loss, NormalizedSoftmax, Triplet, gather_embeddings

EVEN, UNEVEN, EMPTY = (6, 6), (7, 3), (8, 0)


def _softmax() -> Loss:
    return NormalizedSoftmax(num_classes=4, embedding_size=5, distance=Euclidean())


def _adaface() -> Loss:
    return AdaFace(num_classes=4, embedding_size=5, scale=8.0)


LOSSES: dict[str, Callable[[], Loss]] = {
    "all triplets": lambda: Triplet(margin=0.3),
    "hardest triplets": lambda: Triplet(margin=0.3, triplets="hardest"),
    "contrastive": Contrastive,
    "softmax": _softmax,
    "adaface": _adaface,
}


def cases() -> list[tuple[str, tuple[int, int]]]:
    """Every loss, by how the rows of the batch are shared."""
    return [(name, sizes) for name in LOSSES for sizes in (EVEN, UNEVEN, EMPTY)]


class Learner(nn.Module):
    """An encoder and a loss, as training wraps them."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 5)).double()
        self.loss = loss.double()

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the batch that all processes hold together."""
        value: Tensor = self.loss(*gather_embeddings(self.encoder(inputs), labels))
        return value


def step(name: str, sizes: tuple[int, int], rank: int | None) -> dict[str, Tensor]:
    """Return loss and gradients of one step; without a rank, of one process on the whole batch."""
    torch.manual_seed(5)
    learner = Learner(LOSSES[name]())
    generator = torch.Generator().manual_seed(6)
    inputs = torch.randn(sum(sizes), 3, generator=generator, dtype=torch.float64)
    labels = torch.arange(sum(sizes)) % 4
    module: nn.Module = learner
    if rank is not None:
        part = slice(0, sizes[0]) if rank == 0 else slice(sizes[0], None)
        inputs, labels = inputs[part], labels[part]
        module = DistributedDataParallel(learner)
    value = module(inputs, labels)
    value.backward()
    answer = {name: p.grad for name, p in learner.named_parameters() if p.grad is not None}
    return answer | {"value": value.detach()}


def main() -> None:
    rank, world_size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world_size
    )
    torch.save({case: step(*case, rank) for case in cases()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
