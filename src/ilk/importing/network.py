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
from ilk.importing.trial import embed_apart, start, try_together
from ilk.model_files import graph as edits
from ilk.preprocess import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

__all__ = ["Network", "read_network"]

_BATCH = "N"


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is an encoder: (N, ...) float32 in, (N, D) float32 out, row by row.

    N is 1 where there is a `reason_for_one`.
    """

    onnx: bytes
    """What to run: the bytes depend on what it computes, not on who wrote it when."""
    embedding_size: int
    """D."""
    num_parameters: int
    file_name: str
    """What the file was called; empty if it came as bytes."""
    sha256: str
    """Of the file as it was given."""
    weights_beside: tuple[str, ...] = ()
    """The names of further files that weights were taken from."""
    reason_for_one: str = ""
    """Why it is to be run on one input at a time, in words; empty if it takes any number."""


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
    model, digest, name, beside = _read(source)
    if any(_is_blocked(node) for node in model.graph.node):
        edits.fold_constants(model)
    _choose_output(model, output)
    edits.drop_unused(model, output)
    length, is_declared = _check_input(model, preprocess)
    inputs = examples if examples is not None else _noise(model, preprocess)
    session = start(edits.plain_bytes(model))
    singly, shape = embed_apart(
        session, inputs, at_once=length or 1, is_declared=is_declared and not _is_open(model)
    )
    if not is_declared:
        _declare(model.graph.input[0], [_BATCH, *inputs.shape[1:]])
    if len(shape) != 2 or shape[0] != (length or 1):
        edits.flatten_output(model, singly.shape[1])
    found, reason = _opened(model, length, inputs, singly)
    if found is None and length > 1:
        raise InvalidInput(
            f"expected a network for any number of inputs, this one takes exactly {length}, and "
            f"{reason}; export it with a dynamic first axis (torch.onnx.export: dynamic_axes)"
        )
    kept = model if found is None else found
    rows = _BATCH if found is not None or not length else length
    _declare(kept.graph.output[0], [rows, singly.shape[1]])
    return Network(
        onnx=edits.plain_bytes(kept),
        embedding_size=singly.shape[1],
        num_parameters=sum(int(np.prod(t.dims)) for t in model.graph.initializer),
        file_name=name,
        sha256=digest,
        weights_beside=beside,
        reason_for_one=reason if found is None else "",
    )


def _opened(
    model: ModelProto, length: int, inputs: np.ndarray, singly: np.ndarray
) -> tuple[ModelProto | None, str]:
    """Return the network in a form that takes any number of inputs, or why there is none."""
    reason = ""
    for frees_reshapes in (False, True):
        form = type(model).FromString(model.SerializeToString())
        edits.free_axes(form.graph.input, {0: _BATCH})
        if frees_reshapes:
            if not edits.free_reshapes(form, length or 1):
                break
            edits.drop_unused(form)
        is_one, why = try_together(edits.plain_bytes(form), inputs, singly)
        if is_one:
            return form, ""
        reason = reason or why
    return None, reason


def _read(source: bytes | str | Path) -> tuple[ModelProto, str, str, tuple[str, ...]]:
    """Return the network, the SHA-256 of its file, what that is called, and files beside it."""
    onnx = edits.onnx_package()
    path = None if isinstance(source, bytes) else home_expanded(source)
    where = "the bytes" if path is None else str(path)
    if path is not None and not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise InvalidInput(f"{path}: expected a network in ONNX form, a .onnx file, got {what}")
    content = source if isinstance(source, bytes) else Path(path or "").read_bytes()
    beside: tuple[str, ...] = ()
    try:
        model = onnx.ModelProto.FromString(content)
        if path is not None:
            beside = _files_beside(model, path.parent)
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
    digest = hashlib.sha256(content).hexdigest()
    return model, digest, path.name if path is not None else "", beside


def _files_beside(model: ModelProto, folder: Path) -> tuple[str, ...]:
    """Return the names of the files in the same folder that hold weights of it, sorted.

    Raises:
        InvalidInput: One is somewhere else, or a link.
    """
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    tensors = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    names = sorted({str(ExternalDataInfo(tensor).location) for tensor in tensors})
    for name in names:
        file = folder / name
        if Path(name).name != name or file.is_symlink() or not file.is_file():
            raise InvalidInput(f"its weights in {name!r} are not in a file beside it")
    return tuple(names)


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


def _check_input(model: ModelProto, preprocess: Preprocess) -> tuple[int, bool]:
    """Return how many rows the one input is fixed to, 0 if to none, and whether it has a shape."""
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
    model.graph.output[0].type.tensor_type.ClearField("shape")
    expected = preprocess.input_shape
    if not kind.HasField("shape"):
        return 0, False
    dims = list(kind.shape.dim)
    if not dims or expected is not None:
        _check_shape([d.dim_value or None for d in dims], expected or (), inputs[0])
    return dims[0].dim_value, True


def _is_open(model: ModelProto) -> bool:
    """Whether an axis of the input, other than that of the rows, may have any length."""
    return any(not d.dim_value for d in list(model.graph.input[0].type.tensor_type.shape.dim)[1:])


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
    elif len(expected) == 3 and len(sides) == 2 and all(sides) and declared[1]:
        size = sides[0] if sides[0] == sides[1] else f"{sides[0]}x{sides[1]}"
        advice = f"set size_pixels={size} and channels={declared[1]} of preprocess"
    row = ", ".join(map(str, expected))
    raise InvalidInput(
        f"expected a network that takes what preprocess makes, (N, {row}), got {_told(info)}; "
        f"{advice}"
    )


def _noise(model: ModelProto, preprocess: Preprocess) -> np.ndarray:
    """Return inputs of noise, from strong to weak, as bright and dull pictures are."""
    generator = np.random.default_rng(0)
    strengths = (1.0, 0.2, 0.5, 0.8)
    if preprocess.modality == "image":
        channels, *sides = preprocess.input_shape or ()
        frames = [s * generator.integers(0, 256, (*sides, channels)) for s in strengths]
        return preprocess.normalize(np.stack(frames).astype(np.uint8))
    shape = preprocess.shape
    if shape is None:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        shape = tuple(dim.dim_value for dim in list(dims)[1:])
        if not len(dims) or not all(shape):
            raise InvalidInput(
                "expected preprocess with the shape of one array, since the network takes arrays "
                "of several; set shape of preprocess, or give a cohort to try it with"
            )
    rows = [s * generator.normal(size=shape) for s in strengths]
    return np.stack(rows).astype(np.float32)


def _declare(info: ValueInfoProto, lengths: list[int | str]) -> None:
    """Say which shape an input or output has; a text is a length that may be any."""
    shape = info.type.tensor_type.shape
    del shape.dim[:]
    for length in lengths:
        shape.dim.add(**{"dim_param" if isinstance(length, str) else "dim_value": length})


def _told(info: ValueInfoProto) -> str:
    """Return an input or output in words, as "data (1, 3, 112, 112) FLOAT"."""
    kind = info.type.tensor_type
    names = edits.onnx_package().TensorProto.DataType.Name(kind.elem_type).lower()
    dims = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim)
    return f"{info.name!r} ({dims}) {names}"
