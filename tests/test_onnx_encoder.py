"""Serving by ONNX Runtime, against a product that NumPy computes."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from ilk.artifact import Artifact, ArtifactParts, write_artifact
from ilk.encoder import Encoder
from ilk.encoders.onnx import OnnxEncoder, open_encoder
from ilk.errors import ArtifactError, DamagedArtifact, ForeignArtifact, InvalidInput
from ilk.preprocess import Preprocess
from ilk.testing import check_encoder

PREPROCESS = Preprocess(size_pixels=4, channels=1)


@pytest.fixture(scope="module")
def encoder(linear_onnx: bytes) -> OnnxEncoder:
    return OnnxEncoder(
        linear_onnx, preprocess=PREPROCESS, embedding_size=3, fingerprint="p", batch_size=5
    )


def network(operator: str, *inputs: str, batch: str | int = "n", **attributes: Any) -> bytes:
    """A network (N, 1, 4, 4) -> (N, 16), or so it says: one operator on the flat inputs."""
    nodes = [
        helper.make_node("Flatten", ["inputs"], ["flat"]),
        helper.make_node(operator, inputs or ["flat"], ["out"], **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, [batch, 1, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 16])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def start(onnx: bytes, embedding_size: int = 16) -> OnnxEncoder:
    return OnnxEncoder(onnx, preprocess=PREPROCESS, embedding_size=embedding_size, fingerprint="p")


def test_it_is_an_encoder(encoder: OnnxEncoder) -> None:
    as_protocol: Encoder = encoder
    assert isinstance(as_protocol, Encoder)
    assert (encoder.embedding_size, encoder.fingerprint) == (3, "p")
    assert encoder.preprocess == PREPROCESS


def test_it_passes_the_kit_for_encoders(encoder: OnnxEncoder) -> None:
    inputs = np.random.default_rng(3).normal(size=(12, 1, 4, 4)).astype(np.float32)
    check_encoder(encoder, inputs)


@given(count=st.integers(0, 17), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_any_number_of_inputs(
    encoder: OnnxEncoder, linear_weights: np.ndarray, count: int, seed: int
) -> None:
    inputs = np.random.default_rng(seed).normal(size=(count, 1, 4, 4)).astype(np.float32)
    embeddings = encoder.embed(inputs)
    assert embeddings.shape == (count, 3)
    assert embeddings.dtype == np.float32
    by_hand = inputs.reshape(count, 16).astype(np.float64) @ linear_weights
    np.testing.assert_allclose(embeddings, by_hand, rtol=1e-5, atol=1e-5)


def test_lists_and_other_numbers_are_taken(
    encoder: OnnxEncoder, linear_weights: np.ndarray
) -> None:
    inputs = np.arange(32).reshape(2, 1, 4, 4)
    by_hand = inputs.reshape(2, 16) @ linear_weights
    for given_inputs in (inputs, list(inputs), inputs.astype(np.float64), inputs[:, :, :, ::1]):
        np.testing.assert_allclose(encoder.embed(given_inputs), by_hand, rtol=1e-5)
    assert encoder.embed([]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 1, 5, 5), (1, 4, 4), (16,)])
def test_another_shape_is_refused(encoder: OnnxEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"expected inputs of shape \(N, 1, 4, 4\), got"):
        encoder.embed(np.zeros(shape, np.float32))


def test_arrays_of_another_shape_are_refused(linear_onnx: bytes) -> None:
    """With arrays of any shape, only the network knows which it takes."""
    preprocess = Preprocess(modality="array")
    encoder = OnnxEncoder(linear_onnx, preprocess=preprocess, embedding_size=3, fingerprint="p")
    assert encoder.embed(np.zeros((2, 1, 4, 4), np.float32)).shape == (2, 3)
    with pytest.raises(InvalidInput, match=r"does not take inputs \(2, 9\)"):
        encoder.embed(np.zeros((2, 9), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_are_refused(encoder: OnnxEncoder, value: float) -> None:
    inputs = np.zeros((7, 1, 4, 4), np.float32)
    inputs[6, 0, 1, 1] = value
    with pytest.raises(InvalidInput, match="NaN or infinity in row 6"):
        encoder.embed(inputs)


def test_a_network_that_diverged_is_named() -> None:
    encoder = start(network("Log"))
    with pytest.raises(ArtifactError, match="the network gives NaN or infinity for row 1"):
        encoder.embed(np.stack([np.ones((1, 4, 4)), -np.ones((1, 4, 4))]))


def test_what_is_no_network_is_damage() -> None:
    for content in (b"", b"not a network", network("NoSuchOperator")):
        with pytest.raises(DamagedArtifact, match=r"cannot be run: .*; (upgrade|copy)"):
            start(content)


def test_a_network_of_another_form_is_damage(linear_onnx: bytes) -> None:
    with pytest.raises(DamagedArtifact, match=r"one float32 output \(N, 4\)"):
        start(linear_onnx, embedding_size=4)
    with pytest.raises(DamagedArtifact, match="for any N"):
        start(network("Exp", batch=2))


def test_a_network_that_gives_another_number_of_rows_is_an_error() -> None:
    """Its declared shape can lie; ONNX Runtime only warns."""
    twice = network("Concat", "flat", "flat", axis=0)
    with pytest.raises(ArtifactError, match=r"expected embeddings of shape \(3, 16\)"):
        start(twice).embed(np.ones((3, 1, 4, 4), np.float32))


@pytest.mark.parametrize("options", [{"num_threads": 0}, {"batch_size": 0}])
def test_numbers_are_at_least_one(linear_onnx: bytes, options: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="must be at least 1"):
        OnnxEncoder(
            linear_onnx,
            preprocess=PREPROCESS,
            embedding_size=3,
            fingerprint="p",
            num_threads=options.get("num_threads"),
            batch_size=options.get("batch_size", 1),
        )


def test_threads_share_an_encoder(encoder: OnnxEncoder) -> None:
    inputs = np.random.default_rng(0).normal(size=(8, 40, 1, 4, 4)).astype(np.float32)
    alone = [encoder.embed(batch) for batch in inputs]
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        found[i] = encoder.embed(inputs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, embeddings in enumerate(alone):
        np.testing.assert_array_equal(found[i], embeddings)


def test_threads_are_those_that_were_asked_for(
    linear_onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = onnxruntime.InferenceSession

    def record(onnx: bytes, options: Any, **given: Any) -> object:
        asked.append(options.intra_op_num_threads)
        return real(onnx, options, **given)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    for num_threads in (None, 1):
        OnnxEncoder(
            linear_onnx,
            preprocess=PREPROCESS,
            embedding_size=3,
            fingerprint="p",
            num_threads=num_threads,
        )
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert asked == [usable, 1]


def test_an_artifact_is_opened(artifact_folder: Path, linear_weights: np.ndarray) -> None:
    inputs = np.ones((1, 1, 4, 4), np.float32)
    artifact = Artifact.load(artifact_folder)
    for encoder in (
        open_encoder(artifact_folder),
        open_encoder(str(artifact_folder)),
        open_encoder(artifact, num_threads=1),
    ):
        assert encoder.fingerprint == artifact.encoder_fingerprint
        assert encoder.preprocess == artifact.preprocess
        np.testing.assert_allclose(encoder.embed(inputs)[0], linear_weights.sum(0), rtol=1e-5)


def test_an_artifact_that_cannot_be_opened_is_named(
    tmp_path: Path, parts: ArtifactParts, artifact_folder: Path
) -> None:
    with pytest.raises(ForeignArtifact, match="nowhere"):
        open_encoder(tmp_path / "nowhere")
    broken = write_artifact(tmp_path / "broken", dataclasses.replace(parts, onnx=b"junk"))
    with pytest.raises(DamagedArtifact, match=r"broken: encoder\.onnx cannot be run"):
        open_encoder(broken)
