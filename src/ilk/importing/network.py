"""A network from elsewhere: read, given the form that an encoder has, and tried out.

It is changed in form only: one output, any number of inputs at once, block-quantised values
unpacked. Whether it then is an encoder is found by running it.

Shapes: N inputs, D embedding size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from ilk.cache_folder import home_expanded
from ilk.errors import InvalidInput
from ilk.importing.trial import try_out
from ilk.model_files import graph as edits
from ilk.preprocess import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

__all__ = ["Network", "read_network"]

_BATCH = "N"


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is an encoder: (N, ...) float32 in, (N, D) float32 out, row by row."""

    onnx: bytes
    """What to run: the bytes depend on what it computes, not on who wrote it when."""
    embedding_size: int
    """D."""
    num_parameters: int
    file_name: str
    """What the file was called; empty if it came as bytes."""
    sha256: str
    """Of the file as it was given."""


def read_network(
    source: bytes | str | Path,
    preprocess: Preprocess,
    *,
    output: str | None = None,
    examples: np.ndarray | None = None,
) -> Network:
    """Read a network in ONNX form and make sure that it is an encoder.

    Args:
        source: The file, or its bytes. Weights in files beside it are taken in.
        preprocess: What makes its inputs.
        output: The name of the output that is the embedding, or of any value inside; needed if
            there are several outputs.
        examples: Inputs to try it with, (N, ...); noise of the right shape if not given.

    Raises:
        InvalidInput: It is not a network, or not an encoder; the message says why, and what to do.
        MissingExtra: `onnx` is not installed.
    """
    model, digest, name = _read(source)
    if any(_is_blocked(node) for node in model.graph.node):
        edits.fold_constants(model)
    _choose_output(model, output)
    edits.drop_unused(model, output)
    length = _free_batch(model, preprocess)
    inputs = examples if examples is not None else _noise(model, preprocess)
    try:
        embedding_size = try_out(edits.plain_bytes(model), inputs)
    except InvalidInput:
        if not edits.free_reshapes(model, length):
            raise
        edits.drop_unused(model)
        embedding_size = try_out(edits.plain_bytes(model), inputs)
    _declare_output(model.graph.output[0], embedding_size)
    return Network(
        onnx=edits.plain_bytes(model),
        embedding_size=embedding_size,
        num_parameters=sum(int(np.prod(t.dims)) for t in model.graph.initializer),
        file_name=name,
        sha256=digest,
    )


def _read(source: bytes | str | Path) -> tuple[ModelProto, str, str]:
    """Return the network, the SHA-256 of its file, and what that is called."""
    onnx = edits.onnx_package()
    path = None if isinstance(source, bytes) else home_expanded(source)
    where = "the bytes" if path is None else str(path)
    if path is not None and not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise InvalidInput(f"{path}: expected a network in ONNX form, a .onnx file, got {what}")
    content = source if isinstance(source, bytes) else Path(path or "").read_bytes()
    try:
        model = onnx.ModelProto.FromString(content)
        if path is not None:
            onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # protobuf and onnx raise many kinds for a foreign file
        raise InvalidInput(
            f"{where}: expected a network in ONNX form, got what cannot be read as one ({error}); "
            "export it to ONNX, or copy it again with all its files"
        ) from None
    if not len(model.graph.node):
        raise InvalidInput(
            f"{where}: expected a network in ONNX form, got one without a single operation; "
            "export it again"
        )
    return model, hashlib.sha256(content).hexdigest(), path.name if path is not None else ""


def _is_blocked(node: NodeProto) -> bool:
    """Whether it unpacks values that were quantised in blocks, which not every engine can."""
    return node.op_type == "DequantizeLinear" and any(
        attribute.name == "block_size" and attribute.i for attribute in node.attribute
    )


def _choose_output(model: ModelProto, output: str | None) -> None:
    """Make sure that it is clear which output is the embedding; one inside becomes an output."""
    outputs = {info.name: _told(info) for info in model.graph.output}
    listed = ", ".join(outputs.values())
    if output is None:
        if len(outputs) > 1:
            raise InvalidInput(
                f"expected a network with one output, got {len(outputs)}: {listed}; say which is "
                "the embedding (--embedding NAME)"
            )
        return
    if output in outputs:
        return
    inside = [name for node in model.graph.node for name in node.output if name]
    if output not in inside:
        near = get_close_matches(output, [*outputs, *inside], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidInput(f"expected the name of an output ({listed}), got {output!r}{hint}")
    onnx = edits.onnx_package()
    kind = onnx.TensorProto.FLOAT
    model.graph.output.append(onnx.helper.make_tensor_value_info(output, kind, None))


def _free_batch(model: ModelProto, preprocess: Preprocess) -> int:
    """Check the input, make its first axis free, and return how many rows it was fixed to."""
    inputs = list(model.graph.input)
    if len(inputs) != 1:
        listed = ", ".join(map(_told, inputs)) or "none"
        raise InvalidInput(
            f"expected a network with one input, got {len(inputs)}: {listed}; export the part of "
            "it that takes preprocessed pictures or arrays and gives embeddings"
        )
    kind = inputs[0].type.tensor_type
    if kind.elem_type != edits.onnx_package().TensorProto.FLOAT:
        raise InvalidInput(
            f"expected a network with a float32 input, got {_told(inputs[0])}; export it with one"
        )
    dims = kind.shape.dim
    length = dims[0].dim_value if len(dims) else 0
    expected = preprocess.input_shape
    if kind.HasField("shape") and expected is not None:
        _check_shape([d.dim_value or None for d in dims], expected, inputs[0])
    edits.free_axes(inputs, {0: _BATCH})
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    return length or 1


def _check_shape(
    declared: list[int | None], expected: tuple[int, ...], info: ValueInfoProto
) -> None:
    fits = len(declared) == 1 + len(expected) and all(
        length in (None, wanted) for length, wanted in zip(declared[1:], expected, strict=True)
    )
    if fits:
        return
    advice = "change preprocess to what it was trained with"
    sides = declared[2:] if len(declared) == 4 else []
    if len(expected) == 3 and len(declared) == 4 and declared[3] in (1, 3):
        advice = "it takes the channels last: export it with the channels first"
    elif len(expected) == 3 and len(sides) == 2 and sides[0] == sides[1] and sides[0]:
        advice = f"set size_pixels={sides[0]} and channels={declared[1]} of preprocess"
    row = ", ".join(map(str, expected))
    raise InvalidInput(
        f"expected a network that takes what preprocess makes, (N, {row}), got {_told(info)}; "
        f"{advice}"
    )


def _noise(model: ModelProto, preprocess: Preprocess) -> np.ndarray:
    """Return three inputs of noise."""
    generator = np.random.default_rng(0)
    if preprocess.modality == "image":
        side, channels = preprocess.size_pixels, preprocess.channels
        frames = generator.integers(0, 256, (3, side, side, channels), np.uint8)
        return preprocess.normalize(frames)
    shape = preprocess.shape
    if shape is None:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        shape = tuple(dim.dim_value for dim in list(dims)[1:])
        if not len(dims) or not all(shape):
            raise InvalidInput(
                "expected preprocess with the shape of one array, since the network takes arrays "
                "of several; set shape of preprocess, or give a cohort to try it with"
            )
    return generator.normal(size=(3, *shape)).astype(np.float32)


def _declare_output(info: ValueInfoProto, embedding_size: int) -> None:
    """Say of the output that it is (N, D)."""
    shape = info.type.tensor_type.shape
    shape.dim.add().dim_param = _BATCH
    shape.dim.add().dim_value = embedding_size


def _told(info: ValueInfoProto) -> str:
    """Return an input or output in words, as "data (1, 3, 112, 112) FLOAT"."""
    kind = info.type.tensor_type
    names = edits.onnx_package().TensorProto.DataType.Name(kind.elem_type).lower()
    dims = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim)
    return f"{info.name!r} ({dims}) {names}"
