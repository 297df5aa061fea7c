"""One batch from the parts that several processes hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from ilk.distances.arrays import at_least_float32

__all__ = ["gather_embeddings"]


def gather_embeddings(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the embeddings and labels of all processes, in order of rank; gradients flow.

    Every process calls it with its part of the batch and computes the same loss on the result. The
    loss is then that of the whole batch at its true scale, and after DistributedDataParallel has
    averaged, the gradients of encoder and loss are those that one process gets on the whole batch.

    The parts may differ in size, as the last of an epoch does, or be empty as long as the
    embeddings come from the encoder. All processes must call it equally often. Half precision is
    raised to float32 on the way. Without a process group, what came in is returned.

    Args:
        embeddings: This process's part, (n, D), with the D of the others.
        labels: Their classes, (n,) integers.

    Example:
        >>> gathered, _ = gather_embeddings(torch.ones(2, 3), torch.tensor([0, 1]))
        >>> gathered.shape
        torch.Size([2, 3])
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return embeddings, labels
    sizes = _sizes(len(embeddings), embeddings.device)
    gathered: Tensor = _Gather.apply(at_least_float32(embeddings), sizes)
    return gathered, _all_rows(labels.to(embeddings.device), sizes)


class _Gather(torch.autograd.Function):
    """All rows on every process; backward sums what all processes ask of a row.

    DistributedDataParallel divides by the number of processes, of which each asked the same.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        return _all_rows(rows, sizes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None]:
        slopes = slopes.contiguous().clone()
        dist.all_reduce(slopes)
        return torch.split(slopes, ctx.sizes)[dist.get_rank()], None


def _sizes(size: int, device: torch.device) -> list[int]:
    own = torch.tensor([size], device=device)
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, own)
    return torch.cat(sizes).tolist()


def _all_rows(rows: Tensor, sizes: list[int]) -> Tensor:
    """Gather parts of unequal size: padded to the largest on the way, cut on arrival."""
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
