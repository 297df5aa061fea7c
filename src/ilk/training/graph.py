"""From a torch encoder to a network in ONNX form that runs anywhere, and proof that it is the same.

Shapes: N items, C, H, W channels, height and width of an input, D embedding size.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ilk.artifact import Parity
from ilk.distances import Distance
from ilk.encoder import Encoder, encoder_fingerprint
from ilk.encoders.onnx import MAX_EFFECT, OnnxEncoder, effect_of_company
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ArtifactError, InvalidInput

if TYPE_CHECKING:
    import onnx

__all__ = ["frozen_copy", "measure_parity", "serving_encoder", "to_onnx"]

_OPSET = 18
"""Old enough for every ONNX Runtime that is supported, new enough for every operator in use."""

_NEAR = 1e-3
"""The share of the distance between opposite embeddings below which a difference is absolute."""

_ODD_BATCH_SIZE = 7


def frozen_copy(encoder: TrainableEncoder) -> TrainableEncoder:
    """Return what serving shall be equal to: a copy in float32, on the CPU, in evaluation mode."""
    frozen = copy.deepcopy(encoder).to("cpu", torch.float32).eval()
    return frozen.requires_grad_(False)


def to_onnx(frozen: TrainableEncoder, example: np.ndarray) -> bytes:
    """Return the network as one ONNX file that takes any batch size.

    Equal networks give equal bytes: paths, stack traces and names of the exporting machine are
    left out.

    Args:
        frozen: What `frozen_copy` returns.
        example: At least two real inputs, (N, C, H, W).

    Raises:
        ArtifactError: torch cannot export it.
    """
    try:
        program = torch.onnx.export(
            frozen,
            (torch.from_numpy(example[:2]),),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["inputs"],
            output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    except Exception as error:  # torch and its exporter raise classes of many roots
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise ArtifactError(
            f"{type(frozen).__name__} cannot be exported to ONNX: {reason.strip()}; its forward "
            "must be the same for every batch size and must not look at values"
        ) from error
    if program is None:
        raise ArtifactError("torch exported nothing; upgrade torch and onnxscript")
    return _strip(program.model_proto).SerializeToString(deterministic=True)


def serving_encoder(
    onnx_bytes: bytes, frozen: TrainableEncoder, inputs: np.ndarray
) -> tuple[OnnxEncoder, bool]:
    """Return what will embed once the artifact is opened, and whether one input at a time.

    That is so where the `inputs` (N, C, H, W), embedded together, are embedded otherwise than each
    by itself.
    """
    digest = hashlib.sha256(onnx_bytes).hexdigest()
    fingerprint = encoder_fingerprint(digest, frozen.preprocess, frozen.embedding_size)

    def started(**options: int) -> OnnxEncoder:
        return OnnxEncoder(
            onnx_bytes,
            preprocess=frozen.preprocess,
            embedding_size=frozen.embedding_size,
            fingerprint=fingerprint,
            **options,
        )

    encoder = started()
    one_at_a_time = effect_of_company(encoder, inputs) > MAX_EFFECT
    return (started(batch_size=1) if one_at_a_time else encoder), one_at_a_time


def measure_parity(
    frozen: TrainableEncoder, serving: Encoder, inputs: np.ndarray, distance: Distance
) -> Parity:
    """Return how far distances by the exported network are from those by the torch network.

    The difference of a distance is divided by the distance or, where that is less, by a
    thousandth of the mean distance between an embedding and its opposite: below that, rounding
    in float32 is all that can be seen. Torch sees one batch and the other encoder several, so
    that a batch size frozen into the graph is noticed, too.

    Args:
        frozen: What `frozen_copy` returns.
        serving: What shall be equal to it.
        inputs: Real inputs, (N, C, H, W), at least two.
        distance: Under which embeddings will be compared.

    Raises:
        InvalidInput: There are fewer than two inputs, so there is no distance.
        ArtifactError: torch gives something that is not finite.
    """
    if len(inputs) < 2:
        raise InvalidInput(
            f"checking the export needs at least two items that can be read, got {len(inputs)}"
        )
    with torch.inference_mode():
        expected = frozen(torch.from_numpy(inputs)).numpy().astype(np.float64)
    if not np.isfinite(expected).all():
        raise ArtifactError(
            "the trained network gives NaN or infinity; train again with a lower learning rate"
        )
    starts = range(0, len(inputs), _ODD_BATCH_SIZE)
    parts = [serving.embed(inputs[s : s + _ODD_BATCH_SIZE]) for s in starts]
    came = np.concatenate(parts).astype(np.float64)
    should, found = (distance.pairwise(x, x) for x in (expected, came))
    floor = _NEAR * distance.paired(expected, -expected).mean()
    difference = abs(found - should) / np.maximum(np.maximum(should, floor), np.finfo(float).tiny)
    return Parity(max_relative_difference=float(difference.max()), num_items=len(inputs))


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes about itself and its machine, in every graph."""
    parts: list[Any] = [model, *model.functions]
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        parts += [graph, *graph.node, *graph.value_info]
        if graph is model.graph or hasattr(graph, "initializer"):
            parts += [*graph.initializer, *graph.input, *graph.output]
        for node in graph.node:
            for attribute in node.attribute:
                parts.append(attribute)
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs
    for part in parts:
        for note in ("doc_string", "metadata_props"):
            if note in part.DESCRIPTOR.fields_by_name:
                part.ClearField(note)
    return model
