"""Hyperbolic training uses the space, and says when it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ilk.artifact import Artifact
from ilk.distances import Cosine, Hyperbolic
from ilk.embedding import embed_items
from ilk.encoders.module import ModuleEncoder
from ilk.encoders.onnx import open_encoder
from ilk.evaluation.report.radii_section import radii_section
from ilk.items import Items
from ilk.preprocess import Preprocess
from ilk.radii import Radii
from ilk.training import fit
from ilk.training.bound import Bound

HYPERBOLIC = ("distance.name=hyperbolic", "schedule.steps=60", "schedule.validate_every=60")


def test_a_bound_keeps_direction_order_and_slope() -> None:
    rows = torch.tensor([[1e-6, 0.0], [3.0, 4.0], [30.0, 40.0], [3e4, 4e4], [0.0, 0.0]])
    rows.requires_grad_()
    bounded = Bound(4.6)(rows)
    lengths = bounded.norm(dim=1)
    assert (lengths <= 4.6).all()
    assert (lengths[:4].diff() > 0).all()
    torch.testing.assert_close(bounded[1] / lengths[1], torch.tensor([0.6, 0.8]))
    lengths[:3].sum().backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()
    assert (rows.grad[1:3] @ torch.tensor([0.6, 0.8]) > 1e-3).all()  # a clip has 0 here


@pytest.mark.parametrize(
    ("loss", "size"), [("triplet", 0.01), ("normalized_softmax", 1.0), ("contrastive", 100.0)]
)
def test_radii_use_the_space_after_training(
    tiny_run: Any, tmp_path: Path, loss: str, size: float
) -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(12, 6)), 6, 0) + 0.3 * rng.normal(size=(72, 6))
    labels = [f"c{i // 6}" for i in range(72)]
    items = Items.from_arrays((size * rows).astype(np.float32), labels)
    torch.manual_seed(0)
    encoder = ModuleEncoder(
        nn.Linear(6, 4, bias=False), Preprocess(modality="array", shape=(6,)), 4
    )
    told: list[str] = []
    run = tiny_run(*HYPERBOLIC, f"loss.name={loss}")
    out = fit(
        run,
        items=items,
        encoder=encoder,
        output=tmp_path / "a",
        allow_untrained=True,
        tell=told.append,
    )
    artifact = Artifact.load(out)
    embeddings = embed_items(open_encoder(out), items).embeddings
    radii = Radii.of(embeddings, artifact.distance)
    assert radii is not None
    assert radii.rim == 0
    assert sum(share > 0.02 for share in radii.shares) >= 2
    assert not radii.ranks_like_cosine
    assert sum(line.startswith("radii ") for line in told) == 1
    assert "## Radii" in (out / "CARD.md").read_text()
    assert "Warning" not in (out / "CARD.md").read_text()
    assert "<svg" in radii_section(embeddings, artifact.distance)


def test_one_radius_is_warned_of() -> None:
    directions = np.random.default_rng(0).normal(size=(200, 8))
    distance = Hyperbolic()
    clipped = Radii.of(10 * directions, distance)
    assert clipped is not None
    assert clipped.rim == 1
    assert clipped.cosine_agreement == 1
    assert "ranks as the cosine distance does" in clipped.warning
    assert "<b>Warning:</b>" in radii_section(10 * directions, distance)
    free = Radii.of(directions, distance)
    assert free is not None
    assert not free.warning
    assert sum(free.shares) == pytest.approx(1)
    assert Radii.of(directions, Cosine()) is None
    assert radii_section(directions, Cosine()) == ""


@pytest.mark.usefixtures("no_export")
def test_one_radius_is_told_in_training(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bound, "forward", lambda self, embeddings: 1e4 * embeddings.float())
    told: list[str] = []
    fit(
        tiny_run(*HYPERBOLIC[:1]),
        items=patterns,
        output=tmp_path / "a",
        allow_untrained=True,
        tell=told.append,
    )
    assert any(line.startswith("WARNING") and "cosine" in line for line in told)
