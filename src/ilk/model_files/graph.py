"""Edits of ONNX networks that change their form and nothing of what they compute.

The networks are `onnx.ModelProto`; the edits are in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ilk.errors import MissingExtra

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

__all__ = [
    "drop_unused",
    "flatten_output",
    "fold_constants",
    "free_axes",
    "free_reshapes",
    "onnx_package",
    "plain_bytes",
]


def onnx_package() -> Any:
    """Return the package `onnx`, which reads and writes networks.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import onnx
        import onnx.numpy_helper
    except ModuleNotFoundError:
        raise MissingExtra(
            'changing the form of a network needs onnx, which is not installed; pip install "ilk'
            '[faces]"'
        ) from None
    return onnx


def fold_constants(model: ModelProto) -> None:
    """Replace quantised initialisers by what they stand for, in float32.

    What a DequantizeLinear, and a Reshape behind it, makes of initialisers alone is computed once.
    The step of a block is repeated over the values of the block, as the operator is defined from
    opset 21 on.
    """
    graph = model.graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        is_constant = all(name in known for name in node.input)
        if node.op_type == "DequantizeLinear" and is_constant:
            known[node.output[0]] = _tensor(node.output[0], _dequantized(node, known))
        elif node.op_type == "Reshape" and is_constant:
            values, shape = (_values(known[name]) for name in node.input)
            known[node.output[0]] = _tensor(node.output[0], values.reshape(shape))
        else:
            kept.append(node)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(known.values())


def _dequantized(node: NodeProto, known: dict[str, TensorProto]) -> np.ndarray:
    """Return (values - zero point) * scale, in float32."""
    options = {attribute.name: attribute.i for attribute in node.attribute}
    values = _values(known[node.input[0]]).astype(np.float32)
    scale = _values(known[node.input[1]]).astype(np.float32)
    zero = np.zeros_like(scale)
    if len(node.input) > 2 and node.input[2]:
        zero = _values(known[node.input[2]]).astype(np.float32)
    axis, block = options.get("axis", 1), options.get("block_size", 0)
    if block:
        scale, zero = (_per_value(each, values.shape[axis], axis, block) for each in (scale, zero))
    elif scale.ndim == 1 and scale.size > 1:
        shape = [1] * values.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (values - zero) * scale


def _per_value(per_block: np.ndarray, length: int, axis: int, block: int) -> np.ndarray:
    return np.repeat(per_block, block, axis=axis).take(range(length), axis=axis)


def drop_unused(model: ModelProto, output: str | None = None) -> None:
    """Leave out what no output needs, and inputs that are initialisers.

    Args:
        model: The network.
        output: The name of the output to keep; None keeps all.
    """
    graph = model.graph
    if output is not None:
        _replace(graph.output, [info for info in graph.output if info.name == output])
    needed = {info.name for info in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input) | _outer_names(node)
    _replace(graph.node, kept[::-1])
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    constants = {tensor.name for tensor in graph.initializer}
    _replace(graph.input, [i for i in graph.input if i.name not in constants and i.name in needed])


def _outer_names(node: NodeProto) -> set[str]:
    """Return the names that graphs within a node, such as the branches of an If, look up."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return {
        name
        for graph in inner
        for each in graph.node
        for name in (*each.input, *_outer_names(each))
    } | {info.name for graph in inner for info in graph.output}


def free_axes(infos: Iterable[ValueInfoProto], names: Mapping[int, str]) -> None:
    """Make axes of inputs or outputs take any length.

    Args:
        infos: The inputs or outputs.
        names: Of each axis that is to be free; axes of one name have one length, "" is of none.
    """
    for info in infos:
        dims = info.type.tensor_type.shape.dim
        for axis, name in names.items():
            if axis < len(dims):
                dims[axis].Clear()
                if name:
                    dims[axis].dim_param = name


def free_reshapes(model: ModelProto, length: int) -> int:
    """Let reshapes to a fixed number of rows keep as many rows as come in, and count them.

    A network exported for one input at a time often says "1 row" where it means "as many rows".
    Only what comes of an input is reshaped to rows: a bias that is made (1, C, 1, 1) stays so.

    Args:
        model: The network.
        length: The fixed number of rows.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    num_freed, of_rows = 0, {info.name for info in graph.input} - constants.keys()
    for node in graph.node:
        if not of_rows.isdisjoint({*node.input, *_outer_names(node)}):
            of_rows.update(node.output)
        is_fixed = node.op_type == "Reshape" and node.input[1] in constants
        if not is_fixed or node.input[0] not in of_rows:  # weights alone have no rows
            continue
        shape = _values(constants[node.input[1]]).astype(np.int64)
        if len(shape) < 2 or shape[0] != length:
            continue
        shape[0] = 0  # as many as come in
        num_freed += 1
        name = f"{node.input[1]}_free_{num_freed}"
        graph.initializer.append(_tensor(name, shape))
        node.input[1] = name
    return num_freed


def flatten_output(model: ModelProto, embedding_size: int) -> None:
    """Make the one output (N, D), of one that has further axes of length 1, or none of rows."""
    onnx, graph = onnx_package(), model.graph
    name = graph.output[0].name
    graph.initializer.append(_tensor(f"{name}_shape", np.array([-1, embedding_size], np.int64)))
    flat = onnx.helper.make_node("Reshape", [name, f"{name}_shape"], [f"{name}_flat"])
    graph.node.append(flat)
    graph.output[0].name = f"{name}_flat"


def plain_bytes(model: ModelProto) -> bytes:
    """Return the network in bytes without anything that does not matter to what it computes.

    Remarks, shapes in between and who made it are left out. What is left is written by protobuf
    in the order of its fields, whatever version of `onnx` is installed.
    """
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        model.ClearField(field)
    del model.metadata_props[:], model.graph.value_info[:]
    model.graph.ClearField("doc_string")
    for each in (*model.graph.node, *model.graph.initializer, *model.graph.input):
        each.ClearField("doc_string")
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.DEFAULT:
            tensor.ClearField("data_location")  # said or not, it means the same
    return bytes(model.SerializeToString(deterministic=True))


def _values(tensor: TensorProto) -> np.ndarray:
    return np.asarray(onnx_package().numpy_helper.to_array(tensor))


def _tensor(name: str, values: np.ndarray) -> TensorProto:
    """Return an initialiser with raw, little-endian values: the form of which there is only one."""
    kind: Any = onnx_package().TensorProto
    is_whole = values.dtype == np.int64
    tensor: TensorProto = kind(name=name, dims=values.shape)
    tensor.data_type = kind.INT64 if is_whole else kind.FLOAT
    tensor.raw_data = np.ascontiguousarray(values, dtype="<i8" if is_whole else "<f4").tobytes()
    return tensor


def _replace(field: Any, items: list[Any]) -> None:
    kept = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(kept)
