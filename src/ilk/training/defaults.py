"""What "auto" means: the one place where settings are chosen for the data and the encoder.

The learning rates, the frozen batch norm, the head-only start and the batch follow what published
recipes of metric learning have in common: 1e-4 for convolutional and 1e-5 for transformer
backbones with AdamW, class weights 10 to 100 times faster, the head alone for an epoch, batch
norm frozen on small data sets, 2 to 10 items of a class.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from torch.nn.modules.batchnorm import _BatchNorm

from ilk.config import Run
from ilk.detecting import WHOLE_IMAGE
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import UnreadableItem
from ilk.items import Items
from ilk.preprocess import read_image
from ilk.training.hardware import choose_accelerator, choose_precision

__all__ = ["DataFacts", "EncoderFacts", "choose_encoder", "look_at", "resolve"]

Kind = Literal["drawing", "photo", "array"]

_SMALL_PIXELS = 160
"""Pictures whose median longer side is at most this are small."""
_NUM_LOOKED_AT = 32
_AREA_OF_CROPS = 0.8
"""Smallest part of a detector's crop that augmentation takes, as a share of its area."""
_SMALL_SET = 20_000
"""Up to this many items, the statistics of a pretrained batch norm are better than one's own."""


@final
@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the training items are like."""

    kind: Kind
    num_items: int
    num_classes: int
    median_class_size: int


@final
@dataclass(frozen=True, kw_only=True)
class EncoderFacts:
    """What the encoder is like."""

    is_pretrained: bool
    has_attention: bool
    has_batch_norm: bool
    has_head: bool = True
    """Whether the head has weights to learn."""

    @staticmethod
    def of(encoder: TrainableEncoder) -> EncoderFacts:
        """Look at an encoder."""
        layers = list(encoder.backbone.modules())
        return EncoderFacts(
            is_pretrained=bool(encoder.pretrained_on),
            has_attention=any("Attention" in type(layer).__name__ for layer in layers),
            has_batch_norm=any(isinstance(layer, _BatchNorm) for layer in layers),
            has_head=any(True for _ in encoder.head.parameters()),
        )


def look_at(items: Items) -> DataFacts:
    """Return what training items are like, from all labels and a few pictures.

    Small grey pictures are drawings, other pictures are photographs.
    """
    sizes = sorted(items.class_sizes.values())
    return DataFacts(
        kind=_kind(items),
        num_items=len(items),
        num_classes=len(items.classes),
        median_class_size=sizes[len(sizes) // 2],
    )


def choose_encoder(run: Run, facts: DataFacts) -> Run:
    """Return the run with an encoder by name: the small net for drawings, else one of timm."""
    if run.encoder.name != "auto":
        return run
    has_backbone = "backbone" in run.encoder.options
    name = "small" if facts.kind == "drawing" and not has_backbone else "timm"
    return replace(run, encoder=replace(run.encoder, name=name))


def resolve(run: Run, facts: DataFacts, encoder: EncoderFacts) -> Run:
    """Return the run without any "auto" left.

    Args:
        run: With an encoder by name.
        facts: Of the training items, without those of validation.
        encoder: What the encoder is like.
    """
    run = _resolve_augment(run, facts)
    run = _resolve_loss(run, encoder)
    run = _resolve_batch(run, facts)
    run = _resolve_schedule(run, facts, encoder)
    run = _resolve_hardware(run)
    return _resolve_optimizer(run, facts, encoder)


def _resolve_augment(run: Run, facts: DataFacts) -> Run:
    by_kind = {"drawing": "drawing", "photo": "photo", "array": "none"}
    name = by_kind[facts.kind] if run.augment.name == "auto" else run.augment.name
    if run.trainer.mode == "head":
        name = "none"
    options = dict(run.augment.options)
    is_cut_out = run.detector.name != WHOLE_IMAGE["name"]
    if run.augment.name == "auto" and name == "photo" and is_cut_out:
        # What a detector cuts out is where the encoder expects it, and is to stay about there.
        options = {"min_area": _AREA_OF_CROPS, **options}
    return replace(run, augment=replace(run.augment, name=name, options=options))


def _resolve_loss(run: Run, encoder: EncoderFacts) -> Run:
    """Ask for a wider margin of an untrained net, whose cosines start close together."""
    if run.loss.name != "triplet" or run.distance.name != "cosine" or "margin" in run.loss.options:
        return run
    margin = 0.1 if encoder.is_pretrained else 0.2
    return replace(run, loss=replace(run.loss, options={**run.loss.options, "margin": margin}))


def _resolve_batch(run: Run, facts: DataFacts) -> Run:
    items_per_class = run.batch.items_per_class
    if items_per_class == "auto":
        most = 8 if facts.kind == "drawing" else 4
        items_per_class = max(2, min(most, facts.median_class_size))
    classes = run.batch.classes
    if classes == "auto":
        classes = max(2, min(32, facts.num_classes))
    return replace(run, batch=replace(run.batch, classes=classes, items_per_class=items_per_class))


def _resolve_schedule(run: Run, facts: DataFacts, encoder: EncoderFacts) -> Run:
    schedule = run.schedule
    batch_size = int(run.batch.classes) * int(run.batch.items_per_class)
    epoch = math.ceil(facts.num_items / batch_size)
    steps = schedule.steps
    if schedule.epochs:
        steps = max(1, round(schedule.epochs * epoch))
    elif steps == "auto" and run.trainer.mode == "head":
        steps = max(200, min(2000, 30 * epoch))
    elif steps == "auto":
        steps = max(200, min(20_000, 20 * epoch)) if encoder.is_pretrained else 1200
    head_only = schedule.head_only_epochs
    if head_only == "auto":
        share = 0.2 * int(steps) / epoch
        starts_alone = encoder.is_pretrained and encoder.has_head and run.trainer.mode == "whole"
        head_only = round(min(1.0, share), 3) if starts_alone else 0.0
    every = schedule.validate_every
    if every == "auto":
        every = max(1, math.ceil(int(steps) / 10))
    return replace(
        run,
        schedule=replace(
            schedule, steps=steps, epochs=0.0, head_only_epochs=head_only, validate_every=every
        ),
    )


def _resolve_hardware(run: Run) -> Run:
    """A head alone is small, and trains in float32; nets train in what the hardware is fast at."""
    accelerator = choose_accelerator(run.trainer.accelerator)
    precision = run.trainer.precision
    if precision == "auto":
        is_head = run.trainer.mode == "head"
        precision = "float32" if is_head else choose_precision(accelerator)
    num_threads = run.data.num_threads
    if num_threads == "auto":
        num_threads = os.cpu_count() or 1
    return replace(
        run,
        data=replace(run.data, num_threads=num_threads),
        trainer=replace(run.trainer, accelerator=accelerator, precision=precision),
    )


def _resolve_optimizer(run: Run, facts: DataFacts, encoder: EncoderFacts) -> Run:
    """Learning rates: one for what is fitted from scratch, smaller ones for what is pretrained."""
    from_scratch = 2e-3
    if run.trainer.mode == "head":
        backbone, head = 0.0, 1e-3
    elif not encoder.is_pretrained:
        backbone = head = 3e-4 if encoder.has_attention else from_scratch
    elif encoder.has_attention:
        backbone, head = 1e-5, 1e-4
    else:
        backbone, head = 1e-4, 1e-3
    own = run.optimizer
    freeze = run.trainer.freeze_batch_norm
    if freeze == "auto":
        is_small = facts.num_items <= _SMALL_SET
        freeze = encoder.has_batch_norm and encoder.is_pretrained and is_small
    return replace(
        run,
        optimizer=replace(
            own,
            learning_rate=_or(own.learning_rate, head),
            backbone_learning_rate=_or(own.backbone_learning_rate, backbone),
            class_weights_learning_rate=_or(own.class_weights_learning_rate, 10 * head),
        ),
        trainer=replace(run.trainer, freeze_batch_norm=freeze),
    )


def _or(value: float | Literal["auto"], automatic: float) -> float:
    return automatic if value == "auto" else value


def _kind(items: Items) -> Kind:
    """Tell drawings from photographs by pictures spread over the items."""
    positions = np.unique(np.linspace(0, len(items) - 1, _NUM_LOOKED_AT).astype(int))
    sides, are_grey = [], []
    for item in items.take(positions).items:
        if isinstance(item.source, np.ndarray) and not _is_picture(item.source):
            return "array"
        try:
            picture = read_image(item.source, name=item.name, box=item.box)
        except (UnreadableItem, OSError):
            continue
        sides.append(max(picture.shape[:2]))
        spread = picture.max(2).astype(int) - picture.min(2)
        are_grey.append(float(np.mean(spread > 16)) < 0.01)
    is_drawing = bool(sides) and np.median(sides) <= _SMALL_PIXELS and np.mean(are_grey) > 0.9
    return "drawing" if is_drawing else "photo"


def _is_picture(array: np.ndarray) -> bool:
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    return array.dtype == np.uint8 and is_shaped
