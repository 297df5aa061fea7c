"""The kit for losses."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ilk.errors import IlkError, NoSignal
from ilk.testing.claims import D, claim, close, normal

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["check_loss"]


def check_loss(factory: Callable[..., nn.Module]) -> None:
    """Check that a loss trains, says when it cannot, and computes safely.

    A scalar in float32 or better whose gradient is its slope (with a true `weighs_lengths`, for
    turns of the embeddings); from the same state the same, independent of the order of the batch
    (and of the names of the classes, unless it learns weights for them), also under automatic
    mixed precision; finite with duplicates, a collapsed batch and zero embeddings;
    parameters that keep their dtype; `NoSignal` on an empty batch, and, where it needs pairs, on
    one class and on classes of one item; classes that come together downhill.

    Args:
        factory: Makes the loss. Called with `num_classes=` and `embedding_size=` if it has a true
            `needs_classes`, else without arguments.

    Example:
        >>> from ilk.losses import Contrastive
        >>> check_loss(Contrastive)
    """
    import torch

    needs_classes = bool(getattr(factory, "needs_classes", False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = factory(num_classes=4, embedding_size=D) if needs_classes else factory()
    for name in ("needs_classes", "min_per_class", "distance"):
        claim(hasattr(loss, name), f"a loss must have the attribute {name}, {loss} has none")
    labels = torch.tensor([0, 1, 2, 3] * 3)
    embeddings = torch.from_numpy(normal(len(labels), seed=2)).float()
    _check_loss_value(loss, embeddings, labels)
    _check_loss_extremes(loss, labels)
    _check_loss_signal(loss, embeddings)
    _check_loss_learns(loss, embeddings, labels)
    _check_loss_slope(loss, embeddings, labels)


def _check_loss_value(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    import torch

    start, loss = loss, deepcopy(loss)  # it may follow what it sees
    value = loss(embeddings, labels)
    claim(value.ndim == 0, f"a loss must be a scalar, got shape {tuple(value.shape)}")
    order = torch.arange(len(labels)).flip(0)
    again = {"the batch reversed": deepcopy(start)(embeddings[order], labels[order])}
    if not loss.needs_classes:
        again["other names of the classes"] = deepcopy(start)(embeddings, 90 - 7 * labels)
    for what, other in again.items():
        close(f"the loss of {what}", other.item(), value.item(), 1e-5 * (1 + abs(value.item())))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = deepcopy(start)(embeddings, labels).item()
    close("the loss under mixed precision", mixed, value.item(), 1e-6)


def _check_loss_extremes(loss: nn.Module, labels: Tensor) -> None:
    import torch

    rows = torch.from_numpy(normal(len(labels), seed=3)).float()
    extremes = {
        "duplicates": rows[labels.flip(0)],
        "a collapsed batch": torch.ones_like(rows),
        "all-zero embeddings": torch.zeros_like(rows),
        "one zero embedding": rows * (torch.arange(len(rows)) > 0)[:, None],
        "opposite embeddings": torch.cat([rows[:6], -rows[:6]]),
    }
    dtypes = {name: p.dtype for name, p in loss.named_parameters()}
    for what, embeddings in extremes.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            leaf = embeddings.detach().clone().to(dtype).requires_grad_()
            value = loss(leaf, labels)
            claim(value.dtype.itemsize >= 4, f"{dtype} inputs gave a loss in {value.dtype}")
            (gradient,) = torch.autograd.grad(value, leaf)
            is_finite = bool(value.isfinite()) and bool(gradient.isfinite().all())
            claim(is_finite, f"{what} in {dtype}: loss {value.item()}, gradient not finite")
    now = {name: p.dtype for name, p in loss.named_parameters()}
    claim(now == dtypes, f"parameters must keep their dtype: {dtypes} became {now}")


def _check_loss_signal(loss: Any, embeddings: Tensor) -> None:
    import torch

    whole = torch.arange(len(embeddings))
    silent = {"an empty batch": (embeddings[:0], whole[:0])}
    if loss.min_per_class > 1 and not loss.needs_classes:
        silent["a batch of one class"] = (embeddings, whole * 0)
        silent["classes of one item each"] = (embeddings, whole)
    for what, (part, labels) in silent.items():
        try:
            value = loss(part, labels)
        except NoSignal:
            continue
        except IlkError as error:
            raise AssertionError(f"{what} must raise NoSignal, raised {error!r}") from error
        raise AssertionError(f"{what} must raise NoSignal, gave {value.item()}")


def _check_loss_learns(loss: Any, embeddings: Tensor, labels: Tensor) -> None:
    import torch

    def spread(of: Tensor) -> float:
        d = loss.distance.pairwise(of.detach(), of.detach())
        same = labels[:, None] == labels
        return float((d * same).sum() / same.sum() / ((d * ~same).sum() / (~same).sum()))

    learnt = embeddings.detach().clone().requires_grad_()
    for _ in range(60):
        (gradient,) = torch.autograd.grad(loss(learnt, labels), learnt)
        learnt = (learnt - 0.1 * gradient).detach().requires_grad_()
    before, after = spread(embeddings), spread(learnt)
    claim(
        after < before,
        "60 steps downhill must bring classes together: the distance within classes over that "
        f"between them was {before:.4f} and became {after:.4f}",
    )


def _check_loss_slope(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    import torch

    x = embeddings.double().requires_grad_()
    (gradient,) = torch.autograd.grad(deepcopy(loss)(x, labels), x)
    step = torch.from_numpy(normal(len(x), seed=4)) * 1e-6
    if getattr(loss, "weighs_lengths", False):  # across: there and back the lengths are the same
        at = x.detach()
        step -= (step * at).sum(1, keepdim=True) / (at * at).sum(1, keepdim=True) * at
    with torch.no_grad():
        ahead, back = deepcopy(loss)(x + step, labels), deepcopy(loss)(x - step, labels)
        rise = (ahead - back).item() / 2
    close("the slope of the loss and its gradient", rise, (gradient * step).sum().item(), 1e-10)
