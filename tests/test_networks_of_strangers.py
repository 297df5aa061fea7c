"""Networks that somebody made to do harm, or that came to harm: one clear line, in bounds."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ilk.artifact import Cohort
from ilk.encoders import session
from ilk.encoders.onnx import OnnxEncoder
from ilk.errors import ArtifactError, DamagedArtifact, InvalidInput
from ilk.importing import read_network
from ilk.model_files import read_facts
from ilk.preprocess import Preprocess

PREPROCESS = Preprocess(modality="array", shape=(4,))
FLOAT = TensorProto.FLOAT
WEIGHTS = np.arange(8, dtype=np.float32).reshape(4, 2)


def info(name: str, shape: list[Any] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def network(nodes: list[Any], tensors: list[Any], functions: tuple[Any, ...] = ()) -> bytes:
    graph = helper.make_graph(nodes, "g", [info("x", ["N", 4])], [info("y", ["N", 2])], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)
    return bytes(model.SerializeToString())


def outside(location: str) -> Any:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


TIMES = helper.make_node("MatMul", ["x", "w"], ["y"])
INSIDE = numpy_helper.from_array(WEIGHTS, "w")
SOUND = network([TIMES], [INSIDE])


def start(onnx_bytes: bytes) -> OnnxEncoder:
    return OnnxEncoder(onnx_bytes, preprocess=PREPROCESS, embedding_size=2, fingerprint="p")


def test_weights_in_another_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime would read them from the current folder, whatever the manifest says."""
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    monkeypatch.chdir(tmp_path)
    for location in ("w.bin", "../w.bin", str(tmp_path / "w.bin"), "*/_ORT_MEM_ADDR_/*"):
        given = network([TIMES], [outside(location)])
        with pytest.raises(DamagedArtifact, match="'w' are in another file"):
            start(given)
        with pytest.raises(InvalidInput, match="'w' are in another file"):
            read_network(given, PREPROCESS)


def branch(tensor: Any) -> Any:
    return helper.make_graph([helper.make_node("Identity", ["w"], ["o"])], "b", [], [], [tensor])


HIDDEN = {
    "in a branch": network(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch(outside("a")))], []
    ),
    "in a constant": network([helper.make_node("Constant", [], ["w"], value=outside("a"))], []),
    "in a function": network(
        [helper.make_node("F", ["x"], ["y"], domain="own")],
        [],
        (
            helper.make_function(
                "own",
                "F",
                ["a"],
                ["b"],
                [helper.make_node("Constant", [], ["b"], value=outside("a"))],
                [helper.make_opsetid("", 17)],
            ),
        ),
    ),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_weights_in_another_file_are_found_wherever_they_hide(where: str) -> None:
    assert read_facts(HIDDEN[where]).outside == ("w",)
    assert read_facts(SOUND).outside == ()


def endless() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["u"])],
        "body",
        [info("i", [], TensorProto.INT64), info("c", [], TensorProto.BOOL), info("v", None)],
        [info("d", [], TensorProto.BOOL), info("u", None)],
    )
    tensors = [
        INSIDE,
        numpy_helper.from_array(np.array(1 << 62), "n"),
        numpy_helper.from_array(np.array(True), "t"),
    ]
    times = helper.make_node("MatMul", ["x", "w"], ["once"])
    return network([times, helper.make_node("Loop", ["n", "t", "once"], ["y"], body=body)], tensors)


def test_a_network_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_SECONDS", 0.05)
    monkeypatch.setattr(session, "_SECONDS_PER_ROW", 0.01)
    assert not read_facts(SOUND).has_loops
    encoder = start(endless())
    with pytest.raises(ArtifactError, match=r"a network that ends, it went on for 0\.07 s"):
        encoder.embed(np.ones((2, 4)))
    with pytest.raises(ArtifactError, match="a network that ends"):
        read_network(endless(), PREPROCESS)


RAW = numpy_helper.from_array(np.array([1 << 16, 1 << 16]), "s")
ONE_BY_ONE = helper.make_tensor("s", TensorProto.INT64, [2], [1 << 16, 1 << 16])


@pytest.mark.parametrize("shape", [RAW, ONE_BY_ONE], ids=["raw", "one by one"])
@pytest.mark.parametrize("is_node", [False, True])
@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_much_out_of_little_is_refused(operator: str, is_node: bool, shape: Any) -> None:
    inputs = ["s"] if operator == "ConstantOfShape" else ["x", "s"]
    nodes = [helper.make_node(operator, inputs, ["y"])]
    if is_node:
        nodes.insert(0, helper.make_node("Constant", [], ["s"], value=shape))
    with pytest.raises(DamagedArtifact, match=r"asks for 4,294,967,296 numbers at once"):
        start(network(nodes, [INSIDE] if is_node else [INSIDE, shape]))


def test_memory_that_is_not_there_is_one_line() -> None:
    """Its size is computed, so that nobody sees it before it is asked for."""
    side = numpy_helper.from_array(np.array([1 << 24]), "s")
    nodes = [
        helper.make_node("Mul", ["s", "s"], ["t"]),
        helper.make_node("ConstantOfShape", ["t"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "r"], ["y"]),
    ]
    encoder = start(network(nodes, [INSIDE, side]))
    with pytest.raises(ArtifactError, match="in the memory of this process, it takes more"):
        encoder.embed(np.ones((1, 4)))


@given(st.integers(0, len(SOUND) - 1), st.binary(max_size=3))
def test_damage_anywhere_is_found_or_does_not_matter(at: int, put: bytes) -> None:
    for content in (SOUND[:at] + put, SOUND[:at] + put + SOUND[at + len(put) :]):
        with suppress(InvalidInput):  # and nothing else
            read_facts(content)


def npz(**arrays: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """The bytes of an array that says it had another shape."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(file, header | {"shape": shape or array.shape})
    return file.getvalue() + array.tobytes()


ROWS, IDS, NAMES = np.ones((2, 3), np.float32), np.zeros(2, np.int64), np.array(["a"])


def test_a_cohort_takes_no_more_memory_than_its_file_has_bytes() -> None:
    good = {"embeddings": npy(ROWS), "class_ids": npy(IDS), "class_hashes": npy(NAMES)}
    np.testing.assert_array_equal(Cohort.from_bytes(npz(**good)).embeddings, ROWS)
    huge = npz(**good | {"embeddings": npy(ROWS, (1 << 40, 3))})
    with pytest.raises(InvalidInput, match="does not have the 13,194,139,533,312 bytes that it"):
        Cohort.from_bytes(huge)
    file = io.BytesIO()
    np.savez_compressed(file, embeddings=np.zeros((1 << 16, 3)), class_ids=IDS, class_hashes=NAMES)
    with pytest.raises(InvalidInput, match="embeddings is compressed"):
        Cohort.from_bytes(file.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        npz(embeddings=npy(ROWS), class_ids=npy(IDS)),
        npz(embeddings=b"junk", class_ids=npy(IDS), class_hashes=npy(NAMES)),
        npz(embeddings=npy(ROWS, (-2, -3)), class_ids=npy(IDS), class_hashes=npy(NAMES)),
        npz(embeddings=npy(ROWS.astype(complex)), class_ids=npy(IDS), class_hashes=npy(NAMES)),
        npz(embeddings=npy(np.asfortranarray(ROWS)), class_ids=npy(IDS), class_hashes=npy(NAMES)),
    ],
)
def test_a_cohort_of_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="as ilk writes it"):
        Cohort.from_bytes(content)


def test_onnx_agrees_on_what_is_sound() -> None:
    onnx.checker.check_model(onnx.ModelProto.FromString(SOUND))
    np.testing.assert_array_equal(start(SOUND).embed(np.eye(4)), WEIGHTS)
