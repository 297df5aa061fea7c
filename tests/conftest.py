"""A small artifact whose network a test can compute by hand: embedding = weights @ pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ilk.artifact import ArtifactParts, Cohort, Parity, class_hash, short_hash, write_artifact
from ilk.distances import Cosine
from ilk.preprocess import Preprocess

SIZE, D = 4, 3


@pytest.fixture(scope="session")
def linear_weights() -> np.ndarray:
    """(16, 3) float32: what the network of `linear_onnx` multiplies the flat pixels with."""
    return np.random.default_rng(7).normal(size=(SIZE * SIZE, D)).astype(np.float32)


@pytest.fixture(scope="session")
def linear_onnx(linear_weights: np.ndarray) -> bytes:
    """A network (N, 1, 4, 4) -> (N, 3) in ONNX form, made without torch."""
    return make_linear_onnx(linear_weights)


def make_linear_onnx(weights: np.ndarray, batch: str | int = "batch") -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["inputs"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weights"], ["embeddings"]),
        ],
        "linear",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, [batch, 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [batch, weights.shape[1]])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture
def parts(linear_onnx: bytes) -> ArtifactParts:
    """All that an artifact is written from."""
    generator = np.random.default_rng(0)
    return ArtifactParts(
        onnx=linear_onnx,
        weights=b"weights " * 8,
        cohort=Cohort(
            generator.normal(size=(5, D)).astype(np.float32),
            np.arange(5),
            tuple(map(class_hash, ("owl", "wren", "crane", "stork", "swift"))),
        ),
        card="# Birds\n",
        encoder={"name": "linear"},
        preprocess=Preprocess(size_pixels=SIZE, channels=1),
        distance=Cosine(),
        embedding_size=D,
        training_classes=(class_hash("gull"), class_hash("café")),
        validation_classes=(class_hash("owl"), class_hash("wren")),
        item_hashes=(short_hash("ab" * 32),),
        metrics=({"name": "map_at_r", "value": 0.5, "low": 0.4, "high": 0.6},),
        versions={"ilk": "0.1.0"},
        config={"loss": {"name": "triplet", "margin": 0.2}, "sizes": (1, 2)},
        seed=3,
        parity=Parity(1e-6, 64),
    )


@pytest.fixture
def artifact_folder(tmp_path: Path, parts: ArtifactParts) -> Path:
    """An artifact on disk."""
    return write_artifact(tmp_path / "birds", parts)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Six pictures in two classes, all different."""
    return make_pictures(tmp_path / "pictures", 6)


def make_pictures(folder: Path, count: int) -> Path:
    generator = np.random.default_rng(1)
    for i in range(count):
        path = folder / ("owl", "wren")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(path)
    return folder


MakePictures = Callable[[Path, int], Path]


@pytest.fixture
def pictures() -> MakePictures:
    """A function (folder, count) that writes pictures of two classes."""
    return make_pictures
