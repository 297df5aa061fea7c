"""Folding: the float32 network is the int8 one, on every machine in the same bytes."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ilk.errors import MissingExtra, WrongWeights
from ilk.model_files import ModelFile, folded, model_file
from ilk.model_files.graph import fold_constants, plain_bytes

Run = Callable[[np.ndarray], list[np.ndarray]]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ILK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def start(content: bytes) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: [np.asarray(found) for found in session.run(None, {name: batch})]


def toy(*, block: int | None, axis: int, seed: int, shape: tuple[int, int] = (6, 10)) -> Any:
    """A network (1, 6) -> (1, 10) with quantised weights, as the OpenCV Zoo writes them."""
    generator = np.random.default_rng(seed)
    values = generator.integers(-128, 128, shape).astype(np.int8)
    steps: tuple[int, ...] = () if axis < 0 else (shape[axis],)
    if block:
        steps = tuple(-(-n // block) if i == axis else n for i, n in enumerate(shape))
    scale = generator.uniform(0.01, 2, steps).astype(np.float32)
    zero = generator.integers(-5, 5, steps).astype(np.int8)
    options: dict[str, Any] = {} if axis < 0 else {"axis": axis}
    options |= {"block_size": block} if block else {}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["flat"], **options),
        helper.make_node("Reshape", ["flat", "shape"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Relu", ["y"], ["unused"]),
    ]
    arrays: dict[str, np.ndarray] = {
        "q": values,
        "s": scale,
        "z": zero,
        "shape": np.array(shape, np.int64),
    }
    initializers = [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, k])
        for n, k in (("x", shape[0]), ("y", shape[1]))
    ]
    graph = helper.make_graph(nodes, "toy", infos[:1], infos[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def as_file(model: Any) -> ModelFile:
    return ModelFile("sface", model.SerializeToString(), "", "MIT", "here", "a test")


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([(None, -1), (None, 0), (None, 1), (2, 0), (4, 1), (5, 1)]), st.integers(0, 9)
)
def test_folding_keeps_what_a_network_computes(blocks: tuple[int | None, int], seed: int) -> None:
    """Against onnx's own reference implementation, on the network as it was."""
    model = toy(block=blocks[0], axis=blocks[1], seed=seed)
    batch = np.random.default_rng(seed).normal(size=(3, 6)).astype(np.float32)
    (found,) = start(folded(as_file(model)))(batch)
    for row, expected in zip(batch, found, strict=True):
        reference: Any = ReferenceEvaluator(model).run(None, {"x": row[None]})
        np.testing.assert_allclose(expected[None], reference[0], rtol=1e-5, atol=1e-4)


def test_a_block_that_is_cut_short_by_the_end() -> None:
    model = toy(block=4, axis=1, seed=0)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    fold_constants(model)
    (weights,) = [numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "w"]
    for i in range(6):
        for j in range(10):
            q, s, z = (float(arrays[n][i, j if n == "q" else j // 4]) for n in "qsz")
            assert weights[i, j] == np.float32((q - z) * np.float32(s))


def test_only_what_is_needed_is_left() -> None:
    model = onnx.ModelProto.FromString(folded(as_file(toy(block=2, axis=0, seed=0))))
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]
    onnx.checker.check_model(model, full_check=True)


def test_bytes_do_not_tell_who_wrote_them() -> None:
    model = toy(block=2, axis=0, seed=0)
    plain = folded(as_file(model))
    model.producer_name, model.producer_version, model.doc_string = "somebody", "9", "a remark"
    model.model_version, model.domain = 3, "example.org"
    model.metadata_props.add(key="made", value="today")
    model.graph.doc_string = model.graph.node[2].doc_string = "another"
    model.graph.value_info.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [6, 10]))
    assert folded(as_file(model)) == plain
    changed = toy(block=2, axis=0, seed=1)
    assert folded(as_file(changed)) != plain


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("sface", "39a9b7677f76ec891319424af4b50542a66510350eb66f2aeba06021beb6acc6"),
        ("yunet", "41e5d9a51fae8c7c513490de93f1f3f458773fc7c4063eaa8b919ffad1f8672e"),
    ],
)
def test_the_networks_have_one_hash_everywhere(name: Any, sha256: str) -> None:
    """It was the same with onnx 1.17, 1.19 and 1.23, with protobuf 5 and 7, in C and in Python.

    Galleries are bound to it: where it changes, no gallery made before takes an embedding.
    """
    file = model_file(name, may_download=False)
    assert hashlib.sha256(folded(replace(file, folded_sha256=""))).hexdigest() == sha256
    assert file.folded_sha256 == sha256


def test_sface_is_what_opencv_computes_from_the_int8_file() -> None:
    """OpenCV runs the file as it is; three together are three apart."""
    file = model_file("sface", may_download=False)
    run = start(folded(file))
    batch = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    (together,) = run(batch)
    apart = np.concatenate([run(batch[i : i + 1])[0] for i in range(3)])
    np.testing.assert_allclose(together, apart, atol=1e-4)
    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(file.content, np.uint8))
    net.setInput(batch[:1])
    np.testing.assert_allclose(np.asarray(net.forward()), together[:1], atol=1e-3)


def test_yunet_takes_many_pictures_of_any_size() -> None:
    run = start(folded(model_file("yunet", may_download=False)))
    batch = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    together = run(batch)
    assert [found.shape[:2] for found in together[:3]] == [(2, 96), (2, 24), (2, 6)]
    for i in range(2):
        for one, both in zip(run(batch[i : i + 1]), together, strict=True):
            np.testing.assert_allclose(one[0], both[i], atol=1e-4)


def test_it_is_made_once_and_verified_when_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path))
    file = model_file("yunet", may_download=False)
    content = folded(file)
    (kept,) = (tmp_path / "models").iterdir()
    assert kept.read_bytes() == content
    with monkeypatch.context() as patch:
        patch.setattr("ilk.model_files.folding._fold", lambda file: b"made again")
        assert folded(file) == content
        kept.write_bytes(content[:-1] + b"?")
        with pytest.raises(WrongWeights, match=r"onnx .* makes"):
            folded(file)
    assert folded(file) == content
    assert kept.read_bytes() == content


def test_a_full_disk_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "file"))
    file = model_file("yunet", may_download=False)
    assert hashlib.sha256(folded(file)).hexdigest() == file.folded_sha256


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"<html>no such page</html>"])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(WrongWeights, match="expected a network in ONNX form"):
        folded(ModelFile("sface", content, "", "", "", "somewhere"))


def test_without_onnx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ModuleNotFoundError(name="onnx")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r'pip install "ilk\[faces\]"'):
        folded(ModelFile("sface", b"", "", "", "", ""))


def test_plain_bytes_are_still_the_network() -> None:
    model = toy(block=None, axis=-1, seed=0)
    before = ReferenceEvaluator(model).run(None, {"x": np.ones((1, 6), np.float32)})
    after = ReferenceEvaluator(onnx.ModelProto.FromString(plain_bytes(model)))
    np.testing.assert_array_equal(after.run(None, {"x": np.ones((1, 6), np.float32)}), before)
