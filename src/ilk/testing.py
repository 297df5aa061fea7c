"""Conformance kits: what a distance, a loss or an encoder of yours must do, as numbers.

Call them in your tests. Each raises `AssertionError` with what was expected and what came; they
use fixed seeds and take a second or less. ilk's own are held to the same.

Shapes: N items, D embedding size, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ilk.distances import Distance, distance_from_settings
from ilk.encoder import Encoder
from ilk.errors import IlkError, NoSignal

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["check_distance", "check_encoder", "check_loss"]

_D = 6


def check_distance(distance: Distance) -> None:
    """Check that a distance is one, and the same for NumPy, torch and search.

    Never negative, symmetric, (nearly) zero on itself, `paired` the diagonal of `pairwise`, the
    search keys rank as the distance does, and settings make it again. With torch installed also:
    the same numbers to 1e-12, finite gradients at zero, on itself and at antipodes, and no effect
    of automatic mixed precision.

    Example:
        >>> from ilk.distances import Cosine
        >>> check_distance(Cosine())
    """
    x, y = _normal(9, seed=0), _normal(7, seed=1)
    d = distance.pairwise(x, y)
    _close("pairwise(x, y) and pairwise(y, x) transposed", distance.pairwise(y, x).T, d, 1e-10)
    _claim(bool((d >= 0).all()), f"distances must never be negative, got {d.min()}")
    _claim(bool((d <= distance.upper).all()), f"distances above upper={distance.upper}: {d.max()}")
    _close("the distance of embeddings to themselves", distance.paired(x, x), np.zeros(9), 1e-12)
    _close("paired and the diagonal of pairwise", distance.paired(x[:7], y), d.diagonal(), 1e-10)
    inner = distance.search_queries(x) @ distance.search_keys(y).T
    ranks_alike = (np.argsort(-inner, 1) == np.argsort(d, 1)).all()
    _claim(bool(ranks_alike), "search keys must rank as the distance does, and do not")
    settings = distance.settings
    _claim("name" in settings, f"settings must have a name, got {settings}")
    if type(distance).__module__.startswith("ilk."):
        _claim(distance_from_settings(settings) == distance, f"settings do not remake {distance}")
    if _has_torch():
        _check_distance_with_torch(distance, x, y)


def check_loss(factory: Callable[..., nn.Module]) -> None:
    """Check that a loss trains, says when it cannot, and computes safely.

    A scalar in float32 or better whose gradient is its slope; independent of the order of the
    batch (and of the names of the classes, unless it learns weights for them); the same under
    automatic mixed precision; finite with duplicates, a collapsed batch and zero embeddings;
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
        loss = factory(num_classes=4, embedding_size=_D) if needs_classes else factory()
    for name in ("needs_classes", "min_per_class", "distance"):
        _claim(hasattr(loss, name), f"a loss must have the attribute {name}, {loss} has none")
    labels = torch.tensor([0, 1, 2, 3] * 3)
    embeddings = torch.from_numpy(_normal(len(labels), seed=2)).float()
    _check_loss_value(loss, embeddings, labels)
    _check_loss_extremes(loss, labels)
    _check_loss_signal(loss, embeddings)
    _check_loss_learns(loss, embeddings, labels)
    _check_loss_slope(loss, embeddings, labels)


def check_encoder(encoder: Encoder, inputs: np.ndarray) -> None:
    """Check that an encoder gives the same embedding for the same input, however it is batched.

    (N, D) finite float32 with D its `embedding_size`; each row the same alone, in a batch, in
    another order and a second time (to 1e-4 of the embeddings' size); different inputs told apart;
    a non-empty fingerprint; an input left as it was; no rows for no inputs.

    Args:
        encoder: To be checked.
        inputs: At least 3 different preprocessed inputs.
    """
    before = inputs.copy()
    embeddings = encoder.embed(inputs)
    shape = (len(inputs), encoder.embedding_size)
    _claim(embeddings.shape == shape, f"expected embeddings {shape}, got {embeddings.shape}")
    _claim(embeddings.dtype == np.float32, f"expected float32, got {embeddings.dtype}")
    _claim(bool(np.isfinite(embeddings).all()), "embeddings must be finite")
    _claim(np.array_equal(inputs, before), "the encoder changed its input")
    slack = 1e-4 * float(np.abs(embeddings).max())
    _close("embeddings a second time", encoder.embed(inputs), embeddings, slack)
    alone = np.concatenate([encoder.embed(inputs[i : i + 1]) for i in range(len(inputs))])
    _close("embeddings one by one", alone, embeddings, slack)
    _close("embeddings in reverse", encoder.embed(inputs[::-1])[::-1], embeddings, slack)
    gaps = np.abs(embeddings[:, None] - embeddings).max(2) + np.eye(len(inputs))
    _claim(bool((gaps > 0).all()), "different inputs got the same embedding")
    _claim(bool(encoder.fingerprint), "the fingerprint is empty")
    nothing = encoder.embed(inputs[:0]).shape
    _claim(nothing == (0, shape[1]), f"expected (0, {shape[1]}) for no inputs, got {nothing}")


def _check_distance_with_torch(distance: Distance, x: np.ndarray, y: np.ndarray) -> None:
    import torch

    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    d = distance.pairwise(tx, ty)
    _close("torch and NumPy", d.numpy(), distance.pairwise(x, y), 1e-12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = distance.pairwise(tx.float(), ty.float())
    plain = distance.pairwise(tx.float(), ty.float())
    _close("distances under mixed precision", mixed.numpy(), plain.numpy(), 0)
    corners = torch.cat([tx[:2], -tx[:2], tx[:1] * 0]).requires_grad_()
    others = corners.detach().clone().requires_grad_()
    (distance.pairwise(corners, others).sum() + distance.paired(corners, others).sum()).backward()
    for gradient in (corners.grad, others.grad):
        is_finite = gradient is not None and bool(gradient.isfinite().all())
        _claim(
            is_finite, f"gradients at zero, on itself and at antipodes must be finite: {gradient}"
        )


def _check_loss_value(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    import torch

    value = loss(embeddings, labels)
    _claim(value.ndim == 0, f"a loss must be a scalar, got shape {tuple(value.shape)}")
    order = torch.arange(len(labels)).flip(0)
    again = {"the batch reversed": loss(embeddings[order], labels[order])}
    if not loss.needs_classes:
        again["other names of the classes"] = loss(embeddings, 90 - 7 * labels)
    for what, other in again.items():
        _close(f"the loss of {what}", other.item(), value.item(), 1e-5 * (1 + abs(value.item())))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss(embeddings, labels).item()
    _close("the loss under mixed precision", mixed, value.item(), 1e-6)


def _check_loss_extremes(loss: nn.Module, labels: Tensor) -> None:
    import torch

    normal = torch.from_numpy(_normal(len(labels), seed=3)).float()
    extremes = {
        "duplicates": normal[labels.flip(0)],
        "a collapsed batch": torch.ones_like(normal),
        "all-zero embeddings": torch.zeros_like(normal),
        "one zero embedding": normal * (torch.arange(len(normal)) > 0)[:, None],
        "opposite embeddings": torch.cat([normal[:6], -normal[:6]]),
    }
    dtypes = {name: p.dtype for name, p in loss.named_parameters()}
    for what, embeddings in extremes.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            leaf = embeddings.detach().clone().to(dtype).requires_grad_()
            value = loss(leaf, labels)
            _claim(value.dtype.itemsize >= 4, f"{dtype} inputs gave a loss in {value.dtype}")
            (gradient,) = torch.autograd.grad(value, leaf)
            is_finite = bool(value.isfinite()) and bool(gradient.isfinite().all())
            _claim(is_finite, f"{what} in {dtype}: loss {value.item()}, gradient not finite")
    now = {name: p.dtype for name, p in loss.named_parameters()}
    _claim(now == dtypes, f"parameters must keep their dtype: {dtypes} became {now}")


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
    _claim(
        after < before,
        "60 steps downhill must bring classes together: the distance within classes over that "
        f"between them was {before:.4f} and became {after:.4f}",
    )


def _check_loss_slope(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    import torch

    x = embeddings.double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x, labels), x)
    step = torch.from_numpy(_normal(len(x), seed=4)) * 1e-6
    with torch.no_grad():
        rise = (loss(x + step, labels) - loss(x - step, labels)).item() / 2
    _close("the slope of the loss and its gradient", rise, (gradient * step).sum().item(), 1e-10)


def _normal(num_rows: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_rows, _D))


def _has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None


def _claim(is_true: bool, otherwise: str) -> None:
    if not is_true:
        raise AssertionError(otherwise)


def _close(what: str, got: Any, expected: Any, slack: float) -> None:
    gap = float(np.max(np.abs(np.asarray(got) - np.asarray(expected)), initial=0.0))
    if not gap <= slack:
        raise AssertionError(f"{what} must agree to {slack:g}, they differ by {gap:g}")
