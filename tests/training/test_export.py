"""The exported network gives the distances of the trained one, or nothing is written."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ilk.artifact import Artifact, class_hash, find_overlap, short_hash
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.embedding import embed_items
from ilk.encoders.module import ModuleEncoder
from ilk.encoders.onnx import open_encoder
from ilk.encoders.small import SmallEncoder
from ilk.encoders.timm import TimmEncoder
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ArtifactError, InvalidInput, UnreadableItem
from ilk.evaluation.figures import Figure
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.training import export as export_module
from ilk.training.export import MAX_RELATIVE_DIFFERENCE, export_artifact
from ilk.training.graph import frozen_copy, measure_parity, serving_encoder, to_onnx

FIGURE = Figure("map_at_r", 0.5, 0.4, 0.6, 12, 3)


def pictures(count: int, seed: int) -> Items:
    """Pictures with structure: blobs, so that embeddings differ."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
    large = coarse.repeat(6, axis=1).repeat(6, axis=2)
    return Items.from_arrays(large, [f"class {seed} {i % 3}" for i in range(count)])


def small(seed: int = 0) -> SmallEncoder:
    torch.manual_seed(seed)
    return SmallEncoder(embedding_size=6, size_pixels=16, width=8)


def trained(encoder: TrainableEncoder) -> TrainableEncoder:
    """A few steps in training mode, so that batch-norm has statistics of its own."""
    encoder.train()
    torch.manual_seed(1)
    with torch.no_grad():
        for _ in range(3):
            encoder(2 * torch.rand(8, *(encoder.preprocess.input_shape or ())) + 1)
    return encoder


_graphs: dict[tuple[str, bytes], bytes] = {}


@pytest.fixture(autouse=True)
def export_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting takes a second: do it once per network."""

    def cached(frozen: TrainableEncoder, example: np.ndarray) -> bytes:
        key = repr(frozen), save(frozen.state_dict())
        if key not in _graphs:
            _graphs[key] = to_onnx(frozen, example)
        return _graphs[key]

    monkeypatch.setattr(export_module, "to_onnx", cached)


def export(encoder: TrainableEncoder, output: Path, **changes: Any) -> Path:
    options: dict[str, Any] = {
        "distance": Cosine(),
        "cohort": pictures(9, 1),
        "training_items": pictures(6, 2),
        "config": {"loss": {"name": "triplet"}, "encoder": {"name": "small", "width": 8}},
        "metrics": (FIGURE,),
        "seed": 5,
    }
    return export_artifact(encoder, output=output, **(options | changes))


def by_torch(encoder: TrainableEncoder, items: Items) -> np.ndarray:
    """What the trained network says, without any code of the export."""
    inputs = encoder.preprocess.inputs([encoder.preprocess.load(item) for item in items.items])
    plain = copy.deepcopy(encoder).eval()
    with torch.no_grad():
        return np.asarray(plain(torch.from_numpy(inputs)))


ENCODERS: dict[str, Callable[[], TrainableEncoder]] = {
    "small": small,
    "gem": lambda: TimmEncoder(
        backbone="resnet10t", pretrained=False, embedding_size=6, size_pixels=32, pooling="gem"
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_serving_gives_what_training_gave(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    encoder = trained(ENCODERS[name]())
    items = pictures(11, 3)
    artifact = Artifact.load(export(encoder, tmp_path / "a"))
    served = embed_items(open_encoder(artifact), items, batch_size=4).embeddings
    expected = by_torch(encoder, items)
    np.testing.assert_allclose(served, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
    distances = Cosine().pairwise(expected, expected)
    assert distances.max() > 1e-5, "a constant network would prove nothing"
    assert artifact.manifest.parity.max_relative_difference < MAX_RELATIVE_DIFFERENCE
    assert artifact.manifest.parity.num_items == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size_pixels"),
    [
        ("resnet18", 64),
        ("mobilenetv3_large_100", 64),
        ("tf_efficientnet_lite0", 64),
        ("vit_tiny_patch16_224", 224),
    ],
)
def test_larger_networks_are_exported(tmp_path: Path, name: str, size_pixels: int) -> None:
    torch.manual_seed(0)
    encoder = trained(
        TimmEncoder(backbone=name, pretrained=False, embedding_size=16, size_pixels=size_pixels)
    )
    artifact = Artifact.load(export(encoder, tmp_path / "a"))
    assert artifact.manifest.parity.max_relative_difference < MAX_RELATIVE_DIFFERENCE
    items = pictures(5, 3)
    served = embed_items(open_encoder(artifact), items, batch_size=2).embeddings
    expected = by_torch(encoder, items)
    np.testing.assert_allclose(served, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())


def test_the_trained_encoder_is_left_as_it_is(tmp_path: Path) -> None:
    encoder = trained(small())
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    export(encoder, tmp_path / "a")
    assert encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    after = encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_lower_precision_is_raised(tmp_path: Path) -> None:
    encoder = small().to(torch.bfloat16)
    artifact = Artifact.load(export(encoder, tmp_path / "a"))
    assert {tensor.dtype for tensor in load(artifact.read("weights.safetensors")).values()} <= {
        torch.float32,
        torch.int64,
    }


def test_weights_can_be_trained_on_from(tmp_path: Path) -> None:
    encoder, other = trained(small()), small(seed=9)
    artifact = Artifact.load(export(encoder, tmp_path / "a"))
    other.load_state_dict(load(artifact.read("weights.safetensors")))
    items = pictures(4, 3)
    np.testing.assert_array_equal(by_torch(other, items), by_torch(encoder, items))


def test_the_manifest_says_what_happened(tmp_path: Path) -> None:
    cohort, training = pictures(9, 1), pictures(6, 2)
    artifact = Artifact.load(export(small(), tmp_path / "a"))
    manifest = artifact.manifest
    assert manifest.training_classes == tuple(sorted(map(class_hash, training.classes)))
    assert manifest.validation_classes == tuple(sorted(map(class_hash, cohort.classes)))
    hashes = [item.content_hash() for item in (*cohort.items, *training.items)]
    assert manifest.item_hashes == tuple(sorted(map(short_hash, hashes)))
    assert len(find_overlap(manifest, cohort.labels, hashes).items) == 15
    assert manifest.metrics[0]["low"] == 0.4
    assert manifest.encoder["name"] == "small"
    assert manifest.encoder["num_parameters"] == sum(p.numel() for p in small().parameters())
    assert {"ilk", "torch", "onnxruntime"} <= set(manifest.versions)
    assert (manifest.seed, manifest.weights_licence) == (5, "")
    card = artifact.read("CARD.md").decode()
    assert artifact.encoder_fingerprint in card
    assert "class 2 0" not in card + (tmp_path / "a" / "manifest.json").read_text()


def test_the_cohort_is_what_serving_gives(tmp_path: Path) -> None:
    cohort = pictures(9, 1)
    path = export(small(), tmp_path / "a", cohort=cohort)
    artifact = Artifact.load(path)
    served = embed_items(open_encoder(artifact), cohort)
    np.testing.assert_array_equal(artifact.cohort.embeddings, served.embeddings)
    labels = [artifact.cohort.class_hashes[i] for i in artifact.cohort.class_ids]
    assert labels == list(map(class_hash, cohort.labels))


EXPORT_AGAIN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_export import export, small, trained
export(trained(small()), Path(sys.argv[2]) / "a")
"""


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    """In another process too, with another hash seed."""
    first = export(trained(small()), tmp_path / "one" / "a")
    subprocess.run(
        [sys.executable, "-c", EXPORT_AGAIN, str(Path(__file__).parent), str(tmp_path / "two")],
        check=True,
        env={"PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"},
    )
    for file in first.iterdir():
        assert file.read_bytes() == (tmp_path / "two" / "a" / file.name).read_bytes(), file.name


def test_the_network_keeps_no_trace_of_the_machine(tmp_path: Path) -> None:
    onnx_bytes = Artifact.load(export(small(), tmp_path / "a")).onnx()
    assert b".py" not in onnx_bytes
    assert str(Path.home()).encode() not in onnx_bytes
    model = onnx.load_from_string(onnx_bytes)
    onnx.checker.check_model(model)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [("", 18)]


def array_encoder(module: nn.Module, size: int = 4) -> ModuleEncoder:
    return ModuleEncoder(module, Preprocess(modality="array", shape=(size,)), embedding_size=size)


def arrays(count: int, seed: int = 0, size: int = 4) -> Items:
    rows = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return Items.from_arrays(rows, ["a", "b"] * (count // 2) + ["a"] * (count % 2))


class Centred(nn.Module):
    """Subtracts the batch mean: what a row becomes depends on its neighbours."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def test_a_network_that_looks_at_the_batch_is_refused(tmp_path: Path) -> None:
    options = {"cohort": arrays(20), "training_items": arrays(6, 1)}
    with pytest.raises(ArtifactError, match=r"within a relative difference of 0\.001"):
        export(array_encoder(Centred()), tmp_path / "a", **options)
    assert not list(tmp_path.iterdir())


class Leaning(nn.Module):
    """Moves a row by a little of the first one beside it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 3e-4 * x[:1].sign()


def test_a_network_that_is_moved_a_little_by_its_company_is_run_alone(tmp_path: Path) -> None:
    options = {"cohort": arrays(20), "training_items": arrays(6, 1), "distance": Euclidean()}
    artifact = Artifact.load(export(array_encoder(Leaning()), tmp_path / "a", **options))
    assert artifact.manifest.one_at_a_time
    inputs = arrays(5).items
    rows = np.stack([np.asarray(item.source) for item in inputs])
    expected = rows + np.float32(3e-4) * np.sign(rows)
    np.testing.assert_allclose(open_encoder(artifact).embed(rows), expected, rtol=1e-6)
    assert "| Inputs at once | one" in artifact.read("CARD.md").decode()


def use_batch_statistics(encoder: TrainableEncoder) -> None:
    """What a network left in training mode computes."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None


def round_weights(encoder: TrainableEncoder) -> None:
    encoder.bfloat16().float()


def change_one_filter(encoder: TrainableEncoder) -> None:
    next(encoder.parameters()).data[0] *= 1.5


WRONG = (use_batch_statistics, round_weights, change_one_filter)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_graph_is_caught(
    tmp_path: Path, wrong: Callable[[TrainableEncoder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer exports batch-norm in training mode and never compares: its results are wrong."""

    def damaged(frozen: TrainableEncoder, example: np.ndarray) -> bytes:
        other = copy.deepcopy(frozen)
        wrong(other)
        return to_onnx(other, example)

    monkeypatch.setattr(export_module, "to_onnx", damaged)
    with pytest.raises(ArtifactError, match=r"got [0-9.e+-]+; nothing was written"):
        export(trained(small()), tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("distance", [Cosine(), Euclidean(), Hyperbolic()])
def test_parity_is_the_largest_relative_difference(distance: Distance) -> None:
    """Against a double loop, for an encoder that is off by a known amount."""
    frozen = frozen_copy(array_encoder(nn.Identity()))
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)

    class Off:
        embedding_size, fingerprint, preprocess = 4, "p", frozen.preprocess

        def embed(self, inputs: Any) -> np.ndarray:
            return np.asarray(inputs) * np.array([1.01, 1, 1, 1], np.float32)

    def between(a: np.ndarray, b: np.ndarray) -> float:
        return float(distance.paired(a[None].astype(float), b[None].astype(float))[0])

    floor = 1e-3 * float(np.mean([between(row, -row) for row in rows]))
    off = Off().embed(rows)
    worst = 0.0
    for i, j in permutations(range(9), 2):
        should, found = between(rows[i], rows[j]), between(off[i], off[j])
        worst = max(worst, abs(found - should) / max(should, floor))
    parity = measure_parity(frozen, Off(), rows, distance)
    assert parity.max_relative_difference == pytest.approx(worst, rel=1e-4)
    assert parity.max_relative_difference > MAX_RELATIVE_DIFFERENCE


def test_equal_items_do_not_upset_parity(tmp_path: Path) -> None:
    """Their distance is 0 in theory and rounding in practice."""
    same = Items(pictures(4, 1).items * 3)
    artifact = Artifact.load(export(small(), tmp_path / "a", cohort=same))
    assert artifact.manifest.parity.max_relative_difference < MAX_RELATIVE_DIFFERENCE


def test_a_network_that_diverged_is_refused(tmp_path: Path) -> None:
    encoder = small()
    with torch.no_grad():
        next(encoder.head.parameters()).fill_(torch.nan)
    with pytest.raises(ArtifactError, match=r"gives NaN or infinity.*train again"):
        export(encoder, tmp_path / "a")


class Branching(nn.Module):
    """Looks at values, which a graph cannot."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_exported_says_why(tmp_path: Path) -> None:
    options = {"cohort": arrays(6), "training_items": arrays(6, 1)}
    with pytest.raises(ArtifactError, match=r"cannot be exported to ONNX: .*must not look at"):
        export(array_encoder(Branching()), tmp_path / "a", **options)


def test_a_taken_output_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(small(), tmp_path / "a")
    monkeypatch.setattr(export_module, "frozen_copy", None)
    with pytest.raises(ArtifactError, match="exists already"):
        export(small(), path)
    monkeypatch.undo()
    export(small(1), path, overwrite=True, seed=8)
    assert Artifact.load(path).manifest.seed == 8


def test_without_a_cohort_training_items_are_compared(tmp_path: Path) -> None:
    artifact = Artifact.load(export(small(), tmp_path / "a", cohort=Items(())))
    assert artifact.cohort.embeddings.shape == (0, 6)
    assert artifact.manifest.parity.num_items == 6


def test_one_item_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least two items that can be read, got 1"):
        export(small(), tmp_path / "a", cohort=pictures(1, 1), training_items=pictures(1, 2))


def test_unreadable_items_stop_or_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Item(tmp_path / "broken.png", "class x", "broken.png")
    missing = Item(tmp_path / "missing.png", "class x", "missing.png")
    cohort = Items((broken, *pictures(5, 1).items))
    training = Items((*pictures(4, 2).items, missing))
    for options, match in (
        ({"cohort": cohort}, r"broken\.png: "),
        ({"training_items": training}, r"missing\.png: No such file"),
    ):
        with pytest.raises(UnreadableItem, match=match):
            export(small(), tmp_path / "a", **options)
    path = export(
        small(), tmp_path / "a", cohort=cohort, training_items=training, on_unreadable="skip"
    )
    artifact = Artifact.load(path)
    assert len(artifact.cohort) == 5
    assert len(artifact.manifest.item_hashes) == 9


def test_known_hashes_are_taken(tmp_path: Path) -> None:
    hashes = ["ab" * 32, "cd" * 32]
    path = export(small(), tmp_path / "a", training_hashes=hashes)
    manifest = json.loads((path / "manifest.json").read_text())
    assert {"abababababababab", "cdcdcdcdcdcdcdcd"} <= set(manifest["item_hashes"])


def test_other_weights_are_another_encoder(tmp_path: Path) -> None:
    first, again, other = (
        Artifact.load(export(small(seed), tmp_path / name))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.encoder_fingerprint == again.encoder_fingerprint != other.encoder_fingerprint
    served = open_encoder(first)
    frozen = frozen_copy(small())
    inputs = np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32)
    rebuilt, one_at_a_time = serving_encoder(first.onnx(), frozen, inputs)
    assert (rebuilt.fingerprint, one_at_a_time) == (served.fingerprint, False)
