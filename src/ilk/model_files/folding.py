"""From a block-quantised int8 network to the float32 one that ONNX Runtime runs."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from ilk.cache_folder import find_cache_folder
from ilk.errors import WrongWeights
from ilk.model_files.downloading import write_whole
from ilk.model_files.finding import ModelFile
from ilk.model_files.graph import (
    drop_unused,
    fold_constants,
    free_axes,
    free_reshapes,
    onnx_package,
    plain_bytes,
)

__all__ = ["folded"]


def folded(file: ModelFile) -> bytes:
    """Return a model file as a float32 network in ONNX form, for any number of inputs at once.

    YuNet also takes pictures of any size whose sides are multiples of 32.

    It is made once and kept in the cache; what is read from there has the hash it was written
    with. The bytes are the same on every machine, so fingerprints of encoders made of them are.

    Raises:
        WrongWeights: The file is not a network that can be read.
        MissingExtra: It is not in the cache, and making it needs `onnx`.
    """
    kept = _kept(file)
    if kept is not None:
        with suppress(OSError):
            content = kept.read_bytes()
            if hashlib.sha256(content).hexdigest() == file.folded_sha256:
                return content
    content = _fold(file)
    digest = hashlib.sha256(content).hexdigest()
    if file.folded_sha256 and digest != file.folded_sha256:
        version = onnx_package().__version__
        raise WrongWeights(
            f"{file.name}: expected the float32 network with SHA-256 {file.folded_sha256}, onnx "
            f"{version} makes {digest}; install another version of onnx"
        )
    if kept is not None:
        with suppress(OSError):
            write_whole(kept, content)
    return content


def _kept(file: ModelFile) -> Path | None:
    """Return where in the cache it is kept, if there is a cache, and a hash to know it by."""
    folder = find_cache_folder("models")
    if not file.folded_sha256 or folder is None:
        return None
    return folder / f"{file.name}_float32_{file.folded_sha256[:16]}.onnx"


def _fold(file: ModelFile) -> bytes:
    onnx = onnx_package()
    try:
        model = onnx.ModelProto.FromString(file.content)
        fold_constants(model)
    except Exception as error:  # protobuf and NumPy raise many kinds for a foreign file
        raise WrongWeights(
            f"{file.found}: expected a network in ONNX form, got a file that cannot be read as "
            f"one ({error})"
        ) from None
    free_reshapes(model, 1)
    drop_unused(model)
    takes_any_size = file.name == "yunet"
    free_axes(model.graph.input, {0: "N", 2: "", 3: ""} if takes_any_size else {0: "N"})
    free_axes(model.graph.output, {0: "N", 1: ""} if takes_any_size else {0: "N"})
    return plain_bytes(model)
