"""From a trained encoder to an artifact: network, weights, cohort and card, checked against torch.

Shapes: N items, C, H, W channels, height and width of an input, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ilk.artifact import (
    ArtifactParts,
    Cohort,
    Parity,
    check_output,
    class_hash,
    installed_versions,
    short_hash,
    write_artifact,
)
from ilk.card import CardFacts, render_card
from ilk.distances import Distance
from ilk.embedding import Embedded, embed_items
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ArtifactError, InvalidInput, UnreadableItem
from ilk.evaluation.figures import Figure
from ilk.items import Item, Items
from ilk.radii import Radii
from ilk.training.graph import frozen_copy, measure_parity, serving_encoder, to_onnx
from ilk.unreadable import OnUnreadable

__all__ = ["MAX_RELATIVE_DIFFERENCE", "export_artifact"]

MAX_RELATIVE_DIFFERENCE = 1e-3
"""How far distances by the exported network may be from those by the trained one."""

_NUM_PARITY_ITEMS = 64
_LIBRARIES = (
    "ilk",
    "lightning",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
)


def export_artifact(
    encoder: TrainableEncoder,
    *,
    distance: Distance,
    cohort: Items,
    training_items: Items,
    config: Mapping[str, Any],
    metrics: Sequence[Figure],
    output: str | Path,
    seed: int = 0,
    training_hashes: Sequence[str] | None = None,
    limits: Sequence[str] = (),
    on_unreadable: OnUnreadable = "stop",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the artifact of a trained encoder and return its folder.

    The encoder itself is left as it is, in whatever mode and on whatever device: a float32 copy
    in evaluation mode is exported. Distances among up to 64 real items must be the same by torch
    and by ONNX Runtime. The same encoder, items and name of the folder give the same bytes.

    Args:
        encoder: What was trained.
        distance: Under which it was trained.
        cohort: Items of held-out classes; their embeddings travel with the artifact.
        training_items: What weights were fitted to; only hashes of them are kept.
        config: The resolved settings of the run; plain data. Its mappings "encoder" and "loss"
            are what manifest and card say about those.
        metrics: Validation figures.
        output: The folder to make.
        seed: Of the run.
        training_hashes: `Item.content_hash` of the training items, if they are known already.
        limits: What the card should say beside what it says of every encoder, a sentence each.
        on_unreadable: Whether an item that cannot be read stops the export.
        overwrite: Whether an artifact at `output` is replaced.
        progress: Called with (items done, items in all) while the cohort is embedded.

    Raises:
        ArtifactError: The network cannot be exported, or the exported one gives other distances,
            or `output` exists and is not to be replaced.
        UnreadableItem: An item cannot be read, and is not to be skipped.
        InvalidInput: Fewer than two items can be read, or `config` is not plain data.
    """
    check_output(output, overwrite=overwrite)
    frozen = frozen_copy(encoder)
    inputs = _real_inputs(frozen, cohort if len(cohort) > 1 else training_items, on_unreadable)
    onnx = to_onnx(frozen, inputs)
    serving, one_at_a_time = serving_encoder(onnx, frozen, inputs)
    parity = measure_parity(frozen, serving, inputs, distance)
    _check_parity(parity)
    held_out = embed_items(serving, cohort, on_unreadable=on_unreadable, progress=progress)
    if training_hashes is None:
        training_hashes = _content_hashes(training_items, on_unreadable)
    parts = ArtifactParts(
        onnx=onnx,
        weights=_weights(frozen),
        cohort=_cohort(held_out),
        encoder=_describe(frozen, config),
        preprocess=frozen.preprocess,
        distance=distance,
        embedding_size=frozen.embedding_size,
        training_classes=tuple(map(class_hash, training_items.classes)),
        validation_classes=tuple(map(class_hash, held_out.items.classes)),
        item_hashes=tuple(map(short_hash, (*training_hashes, *held_out.hashes))),
        metrics=tuple(asdict(figure) for figure in metrics),
        versions=installed_versions(_LIBRARIES),
        config=config,
        seed=seed,
        parity=parity,
        one_at_a_time=one_at_a_time,
        weights_licence=frozen.weights_licence,
        pretrained_on=frozen.pretrained_on,
    )
    name = Path(output).resolve().name
    card = _card(name, parts, training_items, held_out.items, serving.fingerprint, limits)
    return write_artifact(output, replace(parts, card=card), overwrite=overwrite)


def _real_inputs(frozen: TrainableEncoder, items: Items, on_unreadable: OnUnreadable) -> np.ndarray:
    """Return inputs of up to 64 items spread evenly over `items`, (N, C, H, W)."""
    positions = np.unique(np.linspace(0, len(items) - 1, _NUM_PARITY_ITEMS).astype(int))
    loaded = []
    for item in items.take(positions).items if len(items) else ():
        try:
            loaded.append(frozen.preprocess.load(item))
        except UnreadableItem:
            if on_unreadable == "stop":
                raise
    if len(loaded) < 2:
        raise InvalidInput(
            "checking the exported network against the trained one needs at least two items that "
            f"can be read, got {len(loaded)}; give more items"
        )
    return frozen.preprocess.inputs(loaded)


def _check_parity(parity: Parity) -> None:
    if not parity.max_relative_difference <= MAX_RELATIVE_DIFFERENCE:
        raise ArtifactError(
            "distances by the exported network must be within a relative difference of "
            f"{MAX_RELATIVE_DIFFERENCE:g} of those by the trained one, got "
            f"{parity.max_relative_difference:.2g}; nothing was written: its forward does "
            "something that ONNX cannot hold, such as looking at the batch"
        )


def _content_hashes(items: Items, on_unreadable: OnUnreadable) -> list[str]:
    def read(item: Item) -> str | None:
        try:
            return item.content_hash()
        except OSError as error:
            if on_unreadable == "stop":
                raise UnreadableItem(f"{item.name}: {error.strerror or error}") from None
            return None

    with ThreadPoolExecutor() as pool:
        return [found for found in pool.map(read, items.items) if found is not None]


def _cohort(held_out: Embedded) -> Cohort:
    return Cohort(
        embeddings=held_out.embeddings,
        class_ids=held_out.items.class_ids,
        class_hashes=tuple(map(class_hash, held_out.items.classes)),
    )


def _weights(frozen: nn.Module) -> bytes:
    """Return the weights in safetensors form; tensors that share memory are written apart."""
    from safetensors.torch import save

    return save({name: tensor.clone().contiguous() for name, tensor in frozen.state_dict().items()})


def _describe(frozen: TrainableEncoder, config: Mapping[str, Any]) -> dict[str, Any]:
    stated = config.get("encoder")
    settings = dict(stated) if isinstance(stated, Mapping) else {"name": type(frozen).__name__}
    return settings | {"num_parameters": sum(p.numel() for p in frozen.parameters())}


def _card(
    name: str,
    parts: ArtifactParts,
    training: Items,
    held_out: Items,
    fingerprint: str,
    limits: Sequence[str],
) -> str:
    loss = parts.config.get("loss")
    radii = Radii.of(parts.cohort.embeddings, parts.distance)
    words = [parts.encoder.get("name", ""), parts.encoder.get("backbone", "")]
    facts = CardFacts(
        name=name,
        encoder=" ".join(str(word) for word in words if word),
        embedding_size=parts.embedding_size,
        num_classes=len(training.classes),
        num_items=len(training),
        distance=parts.distance.settings,
        preprocess=parts.preprocess.settings,
        loss=loss if isinstance(loss, Mapping) else {},
        recipe=parts.config,
        figures=parts.metrics,
        source=training.origin,
        num_validation_classes=len(held_out.classes),
        num_validation_items=len(held_out),
        num_parameters=parts.encoder["num_parameters"],
        pretrained_on=parts.pretrained_on,
        weights_licence=parts.weights_licence,
        one_at_a_time=parts.one_at_a_time,
        parity=parts.parity.max_relative_difference,
        seed=parts.seed,
        versions=parts.versions,
        fingerprint=fingerprint,
        limits=limits,
        radii=radii.to_json() if radii else {},
    )
    return render_card(facts)
