from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ilk.artifact import Artifact
from ilk.embedding import EmbeddingCache, embed_items
from ilk.encoders.module import ModuleEncoder
from ilk.encoders.onnx import open_encoder
from ilk.encoders.small import SmallEncoder
from ilk.errors import ConfigError, UnreadableItem
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.training import fit
from ilk.training.frozen import BackboneEncoder, load_features

CPU = torch.device("cpu")


class _Counting(nn.Module):
    """Counts the items that pass; in training mode it would tell."""

    num_items = 0

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            raise AssertionError("a frozen backbone must be in evaluation mode")
        if not torch.compiler.is_compiling():
            type(self).num_items += len(inputs)
        return inputs.flatten(1)[:, :12] * 2


def _encoder() -> ModuleEncoder:
    torch.manual_seed(0)
    return ModuleEncoder(
        _Counting().eval(),
        Preprocess(modality="array", shape=(4, 6)),
        5,
        head=nn.Linear(12, 5),
        feature_size=12,
        pretrained_on="nothing",
    )


@pytest.fixture
def arrays() -> Items:
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(8, 4, 6)), 5, 0) + 0.3 * rng.normal(size=(40, 4, 6))
    return Items.from_arrays(rows.astype(np.float32), [f"c{i // 5}" for i in range(40)])


def _stacked(items: Items) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(item.source) for item in items.items]))


def test_the_backbone_sees_each_item_once_ever(arrays: Items, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "features")
    encoder, other = _encoder(), _encoder()
    _Counting.num_items = 0
    first = load_features(encoder, arrays, device=CPU, cache=cache)
    again = load_features(other, arrays, device=CPU, cache=cache)
    assert _Counting.num_items == 40
    assert torch.equal(first.rows, again.rows)
    assert torch.equal(first.rows, _stacked(arrays).flatten(1)[:, :12] * 2)


def test_the_fingerprint_follows_weights_structure_and_preprocessing() -> None:
    def encoder(**options: Any) -> SmallEncoder:
        torch.manual_seed(options.pop("seed", 0))
        return SmallEncoder(width=4, size_pixels=16, **options)

    def fingerprint(one: SmallEncoder) -> str:
        return BackboneEncoder(one, CPU).fingerprint

    same = fingerprint(encoder())
    assert same == fingerprint(encoder())
    other_head = encoder()
    nn.init.zeros_(next(other_head.head.parameters()))
    assert fingerprint(other_head) == same
    assert fingerprint(encoder(seed=1)) != same
    assert fingerprint(encoder(trim=False)) != same
    assert fingerprint(encoder(pooling="max")) != same


def test_only_the_head_learns_and_the_artifact_is_whole(
    arrays: Items, tiny_run: Any, tmp_path: Path
) -> None:
    encoder = _encoder()
    head = encoder.head.weight.clone()  # type: ignore[operator]
    run = tiny_run("trainer.mode=head", "optimizer.learning_rate=0.05", "schedule.steps=30")
    told: list[str] = []
    out = fit(run, items=arrays, encoder=encoder, output=tmp_path / "a", tell=told.append)
    assert not torch.equal(head, encoder.head.weight)  # type: ignore[arg-type]
    assert any("running the backbone over 30 training items" in line for line in told)
    manifest = Artifact.load(out).manifest
    assert manifest.config["trainer"]["mode"] == "head"
    found = embed_items(open_encoder(out), arrays).embeddings
    with torch.no_grad():
        wanted = encoder.eval()(_stacked(arrays)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_backbone_keeps_every_bit(patterns: Items, tiny_run: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = SmallEncoder(width=4, size_pixels=16, embedding_size=8)
    before = {k: v.clone() for k, v in encoder.backbone.state_dict().items()}
    fit(tiny_run("trainer.mode=head"), items=patterns, encoder=encoder, output=tmp_path / "a")
    assert all(torch.equal(v, before[k]) for k, v in encoder.backbone.state_dict().items())


def test_an_unreadable_item_stops_or_is_skipped(patterns: Items, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    items = Items((Item(broken, "c0", "broken.png"), *patterns.items))
    encoder = SmallEncoder(width=4, size_pixels=16)
    with pytest.raises(UnreadableItem, match=r"broken\.png"):
        load_features(encoder, items, device=CPU)
    found = load_features(encoder, items, device=CPU, on_unreadable="skip")
    assert len(found.rows) == len(patterns)
    assert [problem.name for problem in found.items.problems] == ["broken.png"]


def test_what_needs_pictures_is_refused(patterns: Items, tiny_run: Any, tmp_path: Path) -> None:
    run = tiny_run("trainer.mode=head", "augment.rotations_as_classes=true")
    with pytest.raises(ConfigError, match="head sees none"):
        fit(run, items=patterns, output=tmp_path / "a")


def test_a_head_without_weights_is_refused(arrays: Items, tiny_run: Any, tmp_path: Path) -> None:
    encoder = ModuleEncoder(nn.Flatten(), Preprocess(modality="array", shape=(4, 6)), 24)
    with pytest.raises(ConfigError, match="this encoder's head has nothing to train"):
        fit(tiny_run("trainer.mode=head"), items=arrays, encoder=encoder, output=tmp_path / "a")
