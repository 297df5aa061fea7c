"""The conformance kits: ours pass, through the door of plugins, and what is broken does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.encoders.onnx import OnnxEncoder
from ilk.errors import NoSignal
from ilk.losses import Contrastive, Loss, Triplet
from ilk.plugins import installed, load
from ilk.preprocess import Preprocess
from ilk.testing import check_distance, check_encoder, check_loss

OURS = [plugin.name for plugin in installed("losses") if plugin.distribution == "ilk"]


@pytest.mark.parametrize("distance", [Cosine(), Euclidean(), Hyperbolic(), Hyperbolic(1.0, 8.0)])
def test_our_distances_conform(distance: Distance) -> None:
    check_distance(distance)


def test_our_losses_are_plugins() -> None:
    assert {"triplet", "normalized_softmax", "contrastive", "arcface", "adaface"} <= set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_our_losses_conform(name: str) -> None:
    check_loss(load("losses", name))


@pytest.mark.parametrize("distance", [Euclidean(), Hyperbolic()], ids=repr)
def test_our_losses_conform_on_other_distances(distance: Distance) -> None:
    for triplets in ("all", "semi-hard", "hardest"):
        check_loss(lambda t=triplets: Triplet(distance=distance, triplets=t))
        check_loss(lambda t=triplets: Triplet(margin="soft", distance=distance, triplets=t))
    check_loss(lambda: Contrastive(distance=distance))


class Signed(Distance):
    """A similarity: what a distance must not be."""

    name = "signed"
    upper = 1.0

    def search_keys(self, references: Any) -> Any:
        return references

    def search_queries(self, probes: Any) -> Any:
        return probes

    def _pairwise(self, probes: Any, references: Any) -> Any:
        return -(probes @ references.T)

    def _paired(self, first: Any, second: Any) -> Any:
        return -(first * second).sum(-1)


class UnsafeEuclidean(Distance):
    """A root without care: its gradient at zero is infinite."""

    name = "unsafe"
    upper = float("inf")

    def search_keys(self, references: Any) -> Any:
        return Euclidean().search_keys(references)

    def search_queries(self, probes: Any) -> Any:
        return Euclidean().search_queries(probes)

    def _pairwise(self, probes: Any, references: Any) -> Any:
        return ((probes[:, None] - references[None]) ** 2).sum(-1) ** 0.5

    def _paired(self, first: Any, second: Any) -> Any:
        return ((first - second) ** 2).sum(-1) ** 0.5


def test_broken_distances_are_found() -> None:
    with pytest.raises(AssertionError, match="never be negative"):
        check_distance(Signed())
    with pytest.raises(AssertionError, match="gradients at zero"):
        check_distance(UnsafeEuclidean())


class Broken(Loss):
    """The mean distance within classes over that between them, with one thing wrong."""

    needs_classes: ClassVar[bool] = False
    min_per_class: ClassVar[int] = 2

    def __init__(self, fault: str) -> None:
        super().__init__(Euclidean())
        self.fault = fault
        self.scale = nn.Parameter(torch.ones(()))

    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        same = labels[:, None] == labels
        if self.fault != "silent" and (same.all() or same.sum() == len(labels)):
            raise NoSignal("expected pairs of both kinds")
        d = self.distance.pairwise(embeddings, embeddings)
        if self.fault == "half":
            d = d.bfloat16()
        if self.fault == "order":
            d = d * torch.arange(1, len(d) + 1)
        if self.fault == "gradient":
            d = d.detach() + embeddings.sum() * 0
        if self.fault == "recast":
            self.scale.data = self.scale.data.to(embeddings.dtype)
        offset = 0.0 if self.fault == "nan" else 1.0
        ratio = (d * same).sum() / (offset + (d * ~same).sum())
        return ratio * self.scale.detach() if self.fault != "shape" else ratio[None]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("none", ""),
        ("silent", "a batch of one class must raise NoSignal"),
        ("half", "gave a loss in torch.bfloat16|must agree"),
        ("order", "the batch reversed must agree"),
        ("gradient", "must bring classes together"),
        ("recast", "parameters must keep their dtype|gave a loss in"),
        ("nan", "a collapsed batch in torch.float32: loss nan"),
        ("shape", r"must be a scalar, got shape \(1,\)"),
    ],
)
def test_broken_losses_are_found(fault: str, message: str) -> None:
    if not message:
        check_loss(lambda: Broken(fault))
        return
    with pytest.raises(AssertionError, match=message):
        check_loss(lambda: Broken(fault))


class Projection:
    """A linear encoder of four numbers, with one thing wrong."""

    embedding_size = 3
    fingerprint = "projection"
    preprocess = Preprocess(modality="array")

    def __init__(self, fault: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> None:
        self.fault = fault

    def embed(self, inputs: Any) -> np.ndarray:
        weights = np.random.default_rng(0).normal(size=(4, 3))
        return self.fault((np.asarray(inputs) @ weights).astype(np.float32))


INPUTS = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)


def test_a_sound_encoder_conforms() -> None:
    check_encoder(Projection(), INPUTS)


def test_our_serving_encoder_conforms(linear_onnx: bytes) -> None:
    encoder = OnnxEncoder(
        linear_onnx,
        preprocess=Preprocess(size_pixels=4, channels=1),
        embedding_size=3,
        fingerprint="linear",
        batch_size=2,
    )
    check_encoder(encoder, np.random.default_rng(2).random((5, 1, 4, 4), np.float32))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda e: e[:, :2], r"expected embeddings \(5, 3\), got \(5, 2\)"),
        (lambda e: e.astype(np.float64), "expected float32"),
        (lambda e: e - e.mean(0), "one by one must agree"),
        (lambda e: e + np.arange(len(e), dtype=np.float32)[:, None] / 10, "must agree"),
        (lambda e: e * 0, "different inputs got the same embedding"),
        (lambda e: e * np.float32(np.nan), "must be finite"),
    ],
)
def test_broken_encoders_are_found(fault: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_encoder(Projection(fault), INPUTS)
