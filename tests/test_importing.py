"""Importing: any network in ONNX form that is an encoder, and a clear word where it is none."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ilk.artifact import Artifact, class_hash, find_overlap
from ilk.datasets import open_source
from ilk.detector import Region
from ilk.distances import Cosine, Euclidean
from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder
from ilk.errors import ArtifactError, DataError, InvalidInput, UnreadableItem
from ilk.evaluation import evaluate
from ilk.importing import import_encoder, read_network
from ilk.items import Item, Items
from ilk.preprocess import Preprocess

SIZE, D = 8, 5
GREY = Preprocess(size_pixels=SIZE, channels=1, mean=(0.0,), std=(1.0,))
WEIGHTS = np.random.default_rng(0).normal(size=(SIZE * SIZE, D)).astype(np.float32)
FLOAT = TensorProto.FLOAT

Node = Any


def info(name: str, shape: list[Any] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def network(
    nodes: list[Node],
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
    **arrays: np.ndarray,
) -> bytes:
    """The bytes of a network of these nodes; one grey picture in, one embedding out."""
    graph = helper.make_graph(
        nodes,
        "toy",
        inputs or [info("x", [1, 1, SIZE, SIZE])],
        outputs or [info("y", [1, D])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


FLAT = helper.make_node("Flatten", ["x"], ["flat"])
TIMES = helper.make_node("MatMul", ["flat", "w"], ["y"])
LINEAR = network([FLAT, TIMES], w=WEIGHTS)


def pictures(num_classes: int = 4, each: int = 3) -> Items:
    generator = np.random.default_rng(1)
    contents, labels = [], []
    for k in range(num_classes):
        plain = generator.integers(0, 256, (SIZE, SIZE, 3))
        for _ in range(each):
            noisy = plain + generator.integers(-9, 10, plain.shape)
            contents.append(noisy.clip(0, 255).astype(np.uint8))
            labels.append(f"class {k}")
    return replace(Items.from_arrays(contents, labels), origin="noise of a test")


def imported(tmp_path: Path, onnx_bytes: bytes | Path = LINEAR, **options: Any) -> Artifact:
    defaults: dict[str, Any] = {"preprocess": GREY, "distance": Euclidean()}
    return Artifact.load(
        import_encoder(onnx_bytes, output=tmp_path / "toy.ilk", **{**defaults, **options})
    )


def test_an_imported_encoder_computes_what_the_network_says(tmp_path: Path) -> None:
    artifact = imported(tmp_path, licence="MIT", pretrained_on="noise", source="https://x.org/n")
    items = pictures()
    found = embed_items(open_encoder(artifact), items).embeddings
    grey = GREY.inputs([GREY.load(item) for item in items.items])
    np.testing.assert_allclose(found, grey.reshape(len(items), -1) @ WEIGHTS, rtol=1e-5, atol=1e-5)
    manifest = artifact.manifest
    assert (manifest.weights_licence, manifest.pretrained_on) == ("MIT", "noise")
    assert manifest.encoder == {"name": "onnx", "num_parameters": SIZE * SIZE * D}
    assert manifest.config["imported"] == {
        "sha256": hashlib.sha256(LINEAR).hexdigest(),
        "source": "https://x.org/n",
    }
    assert (manifest.training_classes, manifest.embedding_size) == ((), D)
    assert manifest.parity.num_items == 0
    assert "weights.safetensors" not in manifest.files


def test_the_cohort_is_embedded_measured_and_known_again(tmp_path: Path) -> None:
    items = pictures()
    stages: set[str] = set()
    artifact = imported(tmp_path, cohort=items, progress=lambda stage, *_: stages.add(stage))
    embedded = embed_items(open_encoder(artifact), items)
    np.testing.assert_array_equal(artifact.cohort.embeddings, embedded.embeddings)
    assert artifact.cohort.class_hashes == tuple(map(class_hash, items.classes))
    measured = {figure["name"]: figure for figure in artifact.manifest.metrics}
    again = evaluate(embedded.embeddings, items.labels, Euclidean())
    assert measured["recall_at_1"]["value"] == again.figure("recall_at_1").value == 1.0
    assert len(measured) == len(again.figures)
    assert find_overlap(artifact.manifest, ["class 2", "new"], ()).classes == ("class 2",)
    assert find_overlap(artifact.manifest, [], embedded.hashes[:2]).items
    assert stages == {"Embedding", "Measuring"}
    card = artifact.read("CARD.md").decode()
    assert "On 4 classes (12 items) of noise of a test, which are also the calibration" in card


def test_without_a_cohort_it_says_that_nothing_is_calibrated(tmp_path: Path) -> None:
    told: list[str] = []
    artifact = imported(tmp_path, tell=told.append)
    assert len(artifact.cohort) == 0
    assert artifact.cohort.embeddings.shape == (0, D)
    assert artifact.manifest.metrics == ()
    assert "ilk gallery calibrate GALLERY --strangers SOURCE" in told[0]
    assert "no calibration cohort" in artifact.read("CARD.md").decode()


class Corners:
    """Finds two regions in a wide picture and none in a small one; cuts them out."""

    noun, is_whole = "corner", False

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": "corners", "size_pixels": SIZE}

    def detect(self, image: np.ndarray, *, box: Any = None) -> tuple[Region, ...]:
        starts = range(0, image.shape[1] - SIZE + 1, SIZE) if image.shape[0] >= SIZE else ()
        return tuple(Region(box=(x, 0, x + SIZE, SIZE + x)) for x in starts)

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        x = int(region.box[0])
        return image[:SIZE, x : x + SIZE]


def test_a_detector_stands_before_the_cohort_and_in_the_manifest(tmp_path: Path) -> None:
    small, one, two = (np.full(shape, 9, np.uint8) for shape in ((2, 8, 3), (9, 9, 3), (8, 16, 3)))
    one[2:5], two[3:5, :8], two[:4, 8:] = 90, 200, 30
    items = Items.from_arrays([small, one, two, one + 1], ["a", "a", "b", "b"])
    told: list[str] = []
    artifact = imported(tmp_path, cohort=items, detector=Corners(), tell=told.append)
    assert artifact.manifest.config["detector"] == {"name": "corners", "size_pixels": SIZE}
    assert artifact.detector == {"name": "corners", "size_pixels": SIZE}
    assert len(artifact.cohort) == 2
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == ["row 0", "row 2"]
    largest = Artifact.load(
        import_encoder(
            LINEAR,
            preprocess=GREY,
            distance=Cosine(),
            output=tmp_path / "largest",
            cohort=items,
            detector=Corners(),
            choice="largest",
        )
    )
    assert len(largest.cohort) == 3


def test_nothing_found_in_the_whole_cohort_is_an_error(tmp_path: Path) -> None:
    items = Items.from_arrays([np.zeros((2, 9, 3), np.uint8)] * 2, ["a", "b"])
    with pytest.raises(DataError, match=r"expected a corner .*row 0: no corner .*whole_image"):
        imported(tmp_path, cohort=items, detector=Corners())
    with pytest.raises(DataError, match="expected a cohort of labelled items"):
        imported(tmp_path, cohort=Items(()))
    assert not (tmp_path / "toy.ilk").exists()


def test_detectors_are_kept_as_they_were_said(tmp_path: Path) -> None:
    boxes = imported(tmp_path, detector="boxes")
    assert boxes.detector == {"name": "boxes"}
    plain = imported(tmp_path, detector="whole_image", overwrite=True)
    assert "detector" not in plain.manifest.config


def test_an_item_that_cannot_be_read(tmp_path: Path, picture_folder: Path) -> None:
    (picture_folder / "owl" / "bad.png").write_bytes(b"no picture")
    items = open_source(picture_folder, on_unreadable="skip")
    items = replace(
        items, items=(*items.items, Item(picture_folder / "owl" / "bad.png", "owl", "bad.png"))
    )
    with pytest.raises(UnreadableItem, match=r"bad\.png"):
        imported(tmp_path, cohort=items)
    told: list[str] = []
    artifact = imported(tmp_path, cohort=items, on_unreadable="skip", tell=told.append)
    assert len(artifact.cohort) == 6
    assert any("bad.png" in line for line in told)


def test_what_is_there_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    first = imported(tmp_path)
    with pytest.raises(ArtifactError, match="exists already"):
        imported(tmp_path)
    assert imported(tmp_path, overwrite=True).fingerprint == first.fingerprint


def test_the_same_network_has_the_same_fingerprint_whoever_wrote_it(tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(LINEAR)
    model.producer_name = "somebody else"
    path = tmp_path / "n.onnx"
    path.write_bytes(model.SerializeToString())
    found = imported(tmp_path / "2", path)
    assert found.fingerprint == imported(tmp_path).fingerprint
    assert found.manifest.config["imported"]["file"] == "n.onnx"


def test_a_fixed_batch_is_made_free() -> None:
    model = onnx.ModelProto.FromString(read_network(LINEAR, GREY).onnx)
    (dims,) = (
        [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim]
        for i in model.graph.input
    )
    assert dims == ["N", 1, SIZE, SIZE]
    (dims,) = (
        [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim]
        for i in model.graph.output
    )
    assert dims == ["N", D]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("is_node", [False, True])
def test_a_reshape_to_a_fixed_batch_is_made_free(rows: int, is_node: bool) -> None:
    shape = np.array([rows, -1], np.int64)
    made = helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(shape))
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["flat"]), TIMES]
    given = network(
        [made, *nodes] if is_node else nodes,
        [info("x", [rows, 1, SIZE, SIZE])],
        [info("y", [rows, D])],
        w=WEIGHTS,
        **({} if is_node else {"shape": shape}),
    )
    found = read_network(given, GREY)
    assert found.embedding_size == D
    left = onnx.ModelProto.FromString(found.onnx).graph
    assert len(left.initializer) == 2, "the weights and the new shape"
    assert len(left.node) == 2


def test_block_quantised_weights_are_unpacked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-128, 128, (SIZE * SIZE, D)).astype(np.int8)
    scale = np.random.default_rng(1).uniform(0.1, 1, (SIZE, D)).astype(np.float32)
    unpack = helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0, block_size=SIZE)
    model = onnx.ModelProto.FromString(network([unpack, FLAT, TIMES], q=values, s=scale))
    model.opset_import[0].version, model.ir_version = 21, 10
    found = onnx.ModelProto.FromString(read_network(model.SerializeToString(), GREY).onnx)
    assert [node.op_type for node in found.graph.node] == ["Flatten", "MatMul"]


def test_weights_in_a_file_beside_are_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    model = onnx.ModelProto.FromString(LINEAR)
    onnx.save_model(model, path, save_as_external_data=True, location="big.data", size_threshold=0)
    assert (tmp_path / "big.data").exists()
    assert read_network(path, GREY).onnx == read_network(LINEAR, GREY).onnx
    (tmp_path / "big.data").unlink()
    with pytest.raises(InvalidInput, match="with all its files"):
        read_network(path, GREY)


def test_one_of_several_outputs_is_chosen_by_name() -> None:
    scores = helper.make_node("MatMul", ["y", "c"], ["scores"])
    given = network(
        [FLAT, TIMES, scores],
        outputs=[info("scores", [1, 9]), info("y", [1, D])],
        w=WEIGHTS,
        c=np.ones((D, 9), np.float32),
    )
    with pytest.raises(InvalidInput, match=r"one output, got 2: 'scores' \(1, 9\) float, 'y'"):
        read_network(given, GREY)
    assert read_network(given, GREY, output="y").onnx == read_network(LINEAR, GREY).onnx
    assert read_network(given, GREY, output="scores").embedding_size == 9
    assert read_network(given, GREY, output="flat").embedding_size == SIZE * SIZE
    with pytest.raises(InvalidInput, match="did you mean 'scores'"):
        read_network(given, GREY, output="score")


def test_arrays_of_any_modality(tmp_path: Path) -> None:
    """One row of 7 numbers; then rows of any length, whose shape only the cohort tells."""
    given = network(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [info("x", [1, 7])],
        w=np.random.default_rng(0).normal(size=(7, D)).astype(np.float32),
    )
    arrays = [np.random.default_rng(i).normal(size=7) for i in range(6)]
    items = Items.from_arrays(arrays, ["a", "a", "b", "b", "c", "c"])
    way = Preprocess(modality="array", shape=(7,))
    assert len(imported(tmp_path / "1", given, preprocess=way, cohort=items).cohort) == 6
    assert read_network(given, Preprocess(modality="array")).embedding_size == D
    any_length = network(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[2], keepdims=0),
            helper.make_node("MatMul", ["m", "w"], ["y"]),
        ],
        [info("x", ["batch", 3, "time"])],
        [info("y", ["batch", D])],
        w=np.random.default_rng(0).normal(size=(3, D)).astype(np.float32),
    )
    free = Preprocess(modality="array")
    with pytest.raises(InvalidInput, match="set shape of preprocess, or give a cohort"):
        read_network(any_length, free)
    sounds = [np.random.default_rng(i).normal(size=(3, 20)) for i in range(6)]
    artifact = imported(
        tmp_path / "2", any_length, preprocess=free, cohort=Items.from_arrays(sounds, "aabbcc")
    )
    assert len(artifact.cohort) == 6


def test_channels_may_be_wanted_blue_first(tmp_path: Path) -> None:
    """The mean of each channel is the embedding."""
    given = network(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        [info("x", [1, 3, SIZE, SIZE])],
        [info("y", [1, 3])],
    )
    colour = np.full((8, 8, 3), (255, 51, 0), np.uint8)
    colour[0, 0], colour[0, 1] = (255, 50, 0), (255, 52, 0)
    red = Items.from_arrays([colour], ["red"])
    plain = Preprocess(size_pixels=SIZE, mean=(0.0,), std=(1.0,))
    for order, expected in (("rgb", [1, 0.2, 0]), ("bgr", [0, 0.2, 1])):
        way = replace(plain, channel_order=order)  # type: ignore[arg-type]
        artifact = imported(tmp_path / order, given, preprocess=way)
        assert artifact.preprocess == way
        found = embed_items(open_encoder(artifact), red).embeddings[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)


BAD = {
    "two inputs": (
        network(
            [helper.make_node("Add", ["x", "z"], ["s"]), helper.make_node("Flatten", ["s"], ["y"])],
            [info("x", [1, 1, SIZE, SIZE]), info("z", [1, 1, SIZE, SIZE])],
            [info("y", [1, SIZE * SIZE])],
        ),
        r"one input, got 2: 'x' \(1, 1, 8, 8\) float, 'z'",
    ),
    "half precision": (
        network(
            [helper.make_node("Flatten", ["x"], ["y"])],
            [info("x", [1, 1, SIZE, SIZE], TensorProto.FLOAT16)],
            [info("y", [1, SIZE * SIZE], TensorProto.FLOAT16)],
        ),
        r"a float32 input, got 'x' \(1, 1, 8, 8\) float16; export it",
    ),
    "double output": (
        network(
            [FLAT, helper.make_node("Cast", ["flat"], ["y"], to=TensorProto.DOUBLE)],
            outputs=[info("y", [1, SIZE * SIZE], TensorProto.DOUBLE)],
        ),
        "expected float32 embeddings, got float64",
    ),
    "another size": (
        network([FLAT, TIMES], [info("x", [1, 1, 16, 16])], w=WEIGHTS),
        r"\(N, 1, 8, 8\), got 'x' \(1, 1, 16, 16\) float; set size_pixels=16 and channels=1",
    ),
    "another size that is not declared": (
        network([FLAT, TIMES], [info("x", [1, 1, None, None])], w=WEIGHTS[:49]),
        r"takes inputs \(1, 1, 8, 8\), it does not .*; change preprocess",
    ),
    "channels last": (
        network([FLAT, TIMES], [info("x", [1, SIZE, SIZE, 3])], w=WEIGHTS),
        "it takes the channels last: export it with the channels first",
    ),
    "flat input": (
        network([TIMES], [info("flat", [1, SIZE * SIZE])], w=WEIGHTS),
        "change preprocess to what it was trained with",
    ),
    "a map of places": (
        network([helper.make_node("Relu", ["x"], ["y"])], outputs=[info("y", [1, 1, SIZE, SIZE])]),
        r"got \(1, 1, 8, 8\) for one input; that is a map of places",
    ),
    "tokens": (
        network(
            [helper.make_node("Squeeze", ["x", "one"], ["y"])],
            outputs=[info("y", [1, SIZE, SIZE])],
            one=np.array([1]),
        ),
        "that is an embedding per place or token",
    ),
    "one number": (
        network(
            [FLAT, helper.make_node("ReduceMean", ["flat"], ["y"], axes=[1], keepdims=0)],
            outputs=[info("y", [1])],
        ),
        r"got \(1,\) for one input; that is no more than one number",
    ),
    "not a number": (
        network(
            [
                FLAT,
                TIMES,
                helper.make_node("Neg", ["y"], ["n"]),
                helper.make_node("Abs", ["y"], ["a"]),
                helper.make_node("Neg", ["a"], ["b"]),
                helper.make_node("Sqrt", ["b"], ["e"]),
            ],
            outputs=[info("e", [1, D])],
            w=WEIGHTS,
        ),
        "gives NaN or infinity for usual inputs; check mean and std",
    ),
    "always the same": (
        network([FLAT, TIMES], w=np.zeros_like(WEIGHTS)),
        "different embeddings for different inputs",
    ),
    "one row at a time": (
        network(
            [
                helper.make_node("Expand", ["x", "s"], ["big"]),
                helper.make_node("Flatten", ["big"], ["flat"]),
                TIMES,
            ],
            s=np.array([2, 1, SIZE, SIZE]),
            w=WEIGHTS,
        ),
        r"got \(2, 5\) for one input",
    ),
    "an operation that nobody has": (
        network([helper.make_node("Fly", ["x"], ["y"])]),
        "can be run, this one cannot: ONNX Runtime .*Fly",
    ),
    "nothing in it": (b"", "without a single operation"),
    "no network": (b"\xff\xff", "expected a network in ONNX form, got what cannot be read"),
    "a page": (b"<!doctype html>" * 9, "expected a network in ONNX form"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=list(BAD))
def test_what_is_no_encoder_is_refused_with_advice(
    tmp_path: Path, given: bytes, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        imported(tmp_path, given)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "toy.ilk").exists()


def singly(artifact: Artifact) -> bool:
    """Whether an artifact embeds one input at a time, which also gives the same in any company."""
    encoder = open_encoder(artifact)
    inputs = GREY.inputs([GREY.load(item) for item in pictures().items])
    alone = np.concatenate([encoder.embed(inputs[i : i + 1]) for i in range(len(inputs))])
    np.testing.assert_allclose(encoder.embed(inputs), alone, rtol=1e-4, atol=1e-4)
    return artifact.manifest.one_at_a_time


LOOK = network(
    [
        FLAT,
        helper.make_node("ReduceMean", ["flat"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["m", "half"], ["h"]),
        helper.make_node("Sub", ["flat", "h"], ["y"]),
    ],
    outputs=[info("y", [1, SIZE * SIZE])],
    half=np.array(0.5, np.float32),
)
CUT = network(
    [
        FLAT,
        helper.make_node("Slice", ["flat", "a", "b"], ["first"]),
        helper.make_node("MatMul", ["first", "w"], ["y"]),
    ],
    w=WEIGHTS,
    a=np.array([0]),
    b=np.array([1]),
)
CLASS_TOKEN = network(
    [
        helper.make_node("Squeeze", ["x", "one"], ["patches"]),
        helper.make_node("Concat", ["token", "patches"], ["all"], axis=1),
        helper.make_node("ReduceMean", ["all"], ["y"], axes=[1], keepdims=0),
    ],
    outputs=[info("y", [1, SIZE])],
    one=np.array([1]),
    token=np.ones((1, 1, SIZE), np.float32),
)
QUANTIZED = network(
    [
        FLAT,
        helper.make_node("DynamicQuantizeLinear", ["flat"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["float"], to=FLOAT),
        helper.make_node("Mul", ["float", "s"], ["y"]),
    ],
    [info("x", ["N", 1, SIZE, SIZE])],
    w=np.random.default_rng(0).integers(-127, 128, (SIZE * SIZE, D)).astype(np.int8),
)
FOR_ONE = {
    "rows that look at each other": (LOOK, r"moves by up to .* of its length"),
    "rows that are cut to the first": (CUT, r"of 4 at once it makes an output \(1, 5\)"),
    "a class token of one": (CLASS_TOKEN, "refuses 4 at once"),
    "dynamic quantisation": (QUANTIZED, "as after dynamic quantisation"),
}


@pytest.mark.parametrize(("given", "reason"), FOR_ONE.values(), ids=list(FOR_ONE))
def test_what_depends_on_its_company_is_run_alone(
    tmp_path: Path, given: bytes, reason: str
) -> None:
    told: list[str] = []
    artifact = imported(tmp_path, given, cohort=pictures(), tell=told.append)
    assert singly(artifact)
    (line,) = told
    assert "run on one input at a time, which takes longer" in line
    assert re.search(reason, line)
    assert "| Inputs at once | one" in artifact.read("CARD.md").decode()
    items = pictures()
    apart = [embed_items(open_encoder(artifact), items.take([i])) for i in range(len(items))]
    expected = np.concatenate([each.embeddings for each in apart])
    np.testing.assert_array_equal(artifact.cohort.embeddings, expected)


def test_what_real_pictures_show_counts_too(tmp_path: Path) -> None:
    """Noise of four strengths moves nothing here: only a bright picture beside others does."""
    bright = helper.make_node("ReduceMax", ["mean"], ["most"], axes=[0], keepdims=1)
    given = network(
        [
            FLAT,
            helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
            bright,
            helper.make_node("Sub", ["most", "limit"], ["over"]),
            helper.make_node("Relu", ["over"], ["glare"]),
            helper.make_node("Add", ["flat", "glare"], ["lit"]),
            helper.make_node("MatMul", ["lit", "w"], ["y"]),
        ],
        w=WEIGHTS,
        limit=np.array(0.9, np.float32),
    )
    assert not imported(tmp_path / "1", given).manifest.one_at_a_time
    noise = np.random.default_rng(0).integers(0, 5, (4, 9, 9, 3))
    rows = [(v + each).astype(np.uint8) for v, each in zip((9, 250, 9, 90), noise, strict=True)]
    white = Items.from_arrays(rows, "aabb")
    told: list[str] = []
    artifact = imported(tmp_path / "2", given, cohort=white, tell=told.append)
    assert artifact.manifest.one_at_a_time
    assert "moves by up to" in told[0]


def test_running_alone_is_of_a_format_that_says_so(tmp_path: Path) -> None:
    """An earlier ilk would embed many at once, so it must refuse; all else it goes on reading."""
    versions = {
        name: json.loads((imported(tmp_path / name, given).path / "manifest.json").read_text())
        for name, given in (("many", LINEAR), ("one", QUANTIZED))
    }
    assert versions["many"]["format_version"] == 1
    assert "one_at_a_time" not in versions["many"]
    assert (versions["one"]["format_version"], versions["one"]["one_at_a_time"]) == (2, True)


def test_an_output_of_another_number_of_rows_is_refused() -> None:
    add = helper.make_node("Add", ["flat", "c"], ["first"])
    row = np.arange(2 * SIZE * SIZE, dtype=np.float32).reshape(2, -1)
    pair = network([FLAT, add, helper.make_node("MatMul", ["first", "w"], ["y"])], w=WEIGHTS, c=row)
    with pytest.raises(InvalidInput, match="one embedding per input"):
        read_network(pair, GREY)


@pytest.mark.parametrize("shape", [(-1, D, 1, 1), (-1, 1, D), (D,), (1, D, 1)])
def test_axes_of_length_one_are_no_hindrance(tmp_path: Path, shape: tuple[int, ...]) -> None:
    given = network(
        [
            FLAT,
            helper.make_node("MatMul", ["flat", "w"], ["e"]),
            helper.make_node("Reshape", ["e", "shape"], ["y"]),
        ],
        outputs=[info("y", None)],
        w=WEIGHTS,
        shape=np.array(shape),
    )
    artifact = imported(tmp_path, given)
    items = pictures()
    grey = GREY.inputs([GREY.load(item) for item in items.items])
    found = embed_items(open_encoder(artifact), items).embeddings
    np.testing.assert_allclose(found, grey.reshape(len(items), -1) @ WEIGHTS, rtol=1e-5, atol=1e-5)
    onnx.checker.check_model(onnx.ModelProto.FromString(artifact.onnx()), full_check=True)


def test_a_reshape_of_weights_alone_stays_as_it_is() -> None:
    """A bias that is made (1, D) says nothing of rows, though a batch of one is also 1."""
    given = network(
        [
            helper.make_node("Reshape", ["x", "flat_shape"], ["flat"]),
            helper.make_node("Transpose", ["b"], ["turned"]),
            helper.make_node("Reshape", ["turned", "bias_shape"], ["bias"]),
            helper.make_node("MatMul", ["flat", "w"], ["e"]),
            helper.make_node("Add", ["e", "bias"], ["y"]),
        ],
        w=WEIGHTS,
        b=np.arange(D, dtype=np.float32).reshape(D, 1),
        flat_shape=np.array([1, -1]),
        bias_shape=np.array([1, D]),
    )
    found = read_network(given, GREY)
    assert (found.embedding_size, found.reason_for_one) == (D, "")


def test_a_network_for_exactly_four_is_refused_where_it_cannot_be_opened() -> None:
    given = network(
        [FLAT, TIMES, helper.make_node("Add", ["y", "each"], ["e"])],
        [info("x", [4, 1, SIZE, SIZE])],
        [info("e", [4, D])],
        w=WEIGHTS,
        each=np.ones((4, D), np.float32),
    )
    with pytest.raises(InvalidInput, match=r"takes exactly 4, and .*; export it with a dynamic"):
        read_network(given, GREY)


def test_an_input_without_a_shape_gets_that_of_preprocess(tmp_path: Path) -> None:
    given = network([FLAT, TIMES], [info("x", None)], w=WEIGHTS)
    artifact = imported(tmp_path, given)
    assert not singly(artifact)
    assert artifact.manifest.embedding_size == D
    with pytest.raises(InvalidInput, match=r"takes inputs \(1, 1, 4, 4\), it does not"):
        read_network(given, replace(GREY, size_pixels=4))


def test_a_network_that_fails_on_what_it_says_it_takes_is_told_so() -> None:
    far = helper.make_node("Gather", ["flat", "far"], ["y"], axis=1)
    given = network([FLAT, far], w=WEIGHTS, far=np.array([10**6]))
    with pytest.raises(InvalidInput, match="it says of itself that it does: export it again"):
        read_network(given, GREY)


def test_weights_beside_are_told_and_never_a_link(tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(LINEAR)
    path = tmp_path / "n.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="n.data", size_threshold=0)
    told: list[str] = []
    imported(tmp_path, path, tell=told.append)
    assert told[0] == "took in the weights in n.data beside it"
    (tmp_path / "n.data").rename(tmp_path / "other")
    (tmp_path / "n.data").symlink_to(tmp_path / "other")
    with pytest.raises(InvalidInput, match=r"'n\.data' are not in a file beside it"):
        read_network(path, GREY)


@pytest.mark.parametrize("name", ["", "nowhere.onnx"])
def test_a_file_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected a network in ONNX form, a \.onnx file"):
        read_network(tmp_path / name, GREY)


def test_the_manifest_is_plain(tmp_path: Path) -> None:
    artifact = imported(tmp_path, cohort=pictures(), detector="whole_image")
    json.loads((artifact.path / "manifest.json").read_text())
    assert artifact.preprocess == GREY
