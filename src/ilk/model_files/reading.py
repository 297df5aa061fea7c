"""What a network in ONNX form says of itself, read without running it and without `onnx`.

A file from elsewhere is looked at before an engine gets it. Only the structure is walked, as
https://protobuf.dev/programming-guides/encoding and onnx.proto3 have it; weights are stepped over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["NetworkFacts", "read_facts"]

_PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""The messages within each message, by the number of their field."""

_LOOPS = frozenset(("Loop", "Scan"))
_SHAPES = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""What makes much out of little, and which of its inputs says how much."""
_MOST_VALUES = 1 << 28
_WHOLE = 7
"""TensorProto.INT64."""


@final
@dataclass(frozen=True)
class NetworkFacts:
    """What matters of a network before it is run."""

    has_loops: bool
    """Whether it repeats something, so that nothing says that it ends."""
    outside: tuple[str, ...]
    """The names of weights that are not in it but in other files."""


def read_facts(onnx: bytes) -> NetworkFacts:
    """Look over a network in ONNX form.

    Raises:
        InvalidInput: It is not whole, or asks for more memory than any encoder needs.
    """
    found = _Found([], [], {})
    try:
        _walk(memoryview(onnx), found)
        loops = any(kind in _LOOPS for kind, _ in found.nodes)
        sizes = [_values(found, kind, inputs) for kind, inputs in found.nodes if kind in _SHAPES]
    except (IndexError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"it is no whole network in ONNX form ({error}); copy it again"
        ) from None
    if max(sizes, default=0) > _MOST_VALUES:
        raise InvalidInput(
            f"it asks for {max(sizes):,} numbers at once, more than {_MOST_VALUES:,}, which no "
            "encoder needs; do not use it"
        )
    return NetworkFacts(loops, tuple(found.outside))


@final
@dataclass
class _Found:
    """What was met on the way."""

    nodes: list[tuple[str, list[str]]]
    """What each operation is, and the names of its inputs."""
    outside: list[str]
    whole: dict[str, memoryview]
    """Small tensors of whole numbers, by name."""


def _walk(model: memoryview, found: _Found) -> None:
    todo = [("model", model, "")]
    while todo:
        kind, message, name = todo.pop()
        if kind == "tensor":
            _note_tensor(message, found, name)
            continue
        parts, operation, inner = _PARTS[kind], "", []
        names: dict[int, list[str]] = {1: [], 2: []}  # of inputs and outputs, by field
        for number, content in _fields(message):
            if isinstance(content, int):
                continue
            if number in parts:
                inner.append((parts[number], content))
            elif kind == "node" and number in (1, 2):
                names[number].append(_text(content))
            elif kind == "node" and number == 4:
                operation = _text(content)
        if kind == "node":
            found.nodes.append((operation, names[1]))
            name = names[2][0] if operation == "Constant" and names[2] else ""
        todo += [(part, content, name) for part, content in inner]


def _note_tensor(message: memoryview, found: _Found, name: str) -> None:
    """Note where a tensor is; `name` is that of the Constant which it belongs to, or empty."""
    own, is_outside, kind = "", False, 0
    for number, content in _fields(message):
        if number == 8 and not isinstance(content, int):
            own = _text(content)
        elif number == 2 and isinstance(content, int):
            kind = content
        is_outside |= number == 13 or (number == 14 and content == 1)
    if is_outside:
        found.outside.append(own)
    if kind == _WHOLE and len(message) < 1000:
        found.whole[name or own] = message


def _values(found: _Found, kind: str, inputs: list[str]) -> int:
    """Return how many numbers an operation makes, if a constant says that; else 0."""
    place = _SHAPES[kind]
    message = found.whole.get(inputs[place]) if len(inputs) > place else None
    if message is None:
        return 0
    values: list[int] = []
    for number, content in _fields(message):
        if number == 9 and not isinstance(content, int):
            values += np.frombuffer(content, "<i8").tolist()
        elif number == 7:
            values += [content] if isinstance(content, int) else list(_varints(content))
    return math.prod(abs(value) for value in values)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield (number, content) of each field; numbers of a fixed length are left out."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, form = tag >> 3, tag & 7
        if form == 0:
            value, at = _varint(message, at)
            yield number, value
        elif form == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("it is cut off")
            yield number, message[at : at + length]
            at += length
        elif form in (1, 5):
            at += 8 if form == 1 else 4
        else:
            raise ValueError(f"it has a field of the unknown form {form}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number in it does not end")


def _varints(content: memoryview) -> Iterator[int]:
    at = 0
    while at < len(content):
        value, at = _varint(content, at)
        yield value


def _text(content: memoryview) -> str:
    return str(content, "utf-8", "replace")
