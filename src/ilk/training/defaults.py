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

from torch.nn.modules.batchnorm import _BatchNorm

from ilk.config import Run
from ilk.data_rules import DataFacts, batch_size
from ilk.detecting import WHOLE_IMAGE
from ilk.encoders.trainable import TrainableEncoder
from ilk.training.hardware import choose_accelerator, choose_precision

__all__ = ["EncoderFacts", "choose_encoder", "resolve"]

_AREA_OF_CROPS = 0.8
"""Smallest part of a detector's crop that augmentation takes, as a share of its area."""
_HEAD_PATIENCE = 3
"""How many validations in a row a head alone may be worse; one in ten of its steps each."""
_SMALL_SET = 20_000
"""Up to this many items, the statistics of a pretrained batch norm are better than one's own."""


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
    run = _resolve_mode(run, facts, encoder)
    run = _resolve_augment(run, facts)
    run = _resolve_loss(run, encoder)
    run = _resolve_batch(run, facts)
    run = _resolve_schedule(run, facts, encoder)
    run = _resolve_hardware(run)
    return _resolve_optimizer(run, facts, encoder)


def _resolve_mode(run: Run, facts: DataFacts, encoder: EncoderFacts) -> Run:
    """Leave a backbone that knows something as it is where there are few classes to learn from.

    A small net knows little before it has learnt, but what it passes on has served better than
    what it learns from a few classes of drawings.
    """
    mode = run.trainer.mode
    if mode == "auto":
        is_worth_keeping = encoder.is_pretrained or run.encoder.name == "small"
        is_few = facts.has_few_classes and not run.augment.rotations_as_classes
        is_fixed = is_few and is_worth_keeping and encoder.has_head and facts.kind != "array"
        mode = "head" if is_fixed else "whole"
    return replace(run, trainer=replace(run.trainer, mode=mode))


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
    """Choose a loss by what learns, as docs/training.md shows, and a margin for triplets.

    An untrained net, whose cosines start close together, is asked for a wider one.
    """
    loss = run.loss
    if loss.name == "auto":
        name = "normalized_softmax" if run.trainer.mode == "head" else "triplet"
        loss = replace(loss, name=name)
    if loss.name == "triplet" and run.distance.name == "cosine" and "margin" not in loss.options:
        margin = 0.1 if encoder.is_pretrained else 0.2
        loss = replace(loss, options={**loss.options, "margin": margin})
    return replace(run, loss=loss)


def _resolve_batch(run: Run, facts: DataFacts) -> Run:
    fitting = zip((run.batch.classes, run.batch.items_per_class), batch_size(facts), strict=True)
    classes, items_per_class = (fits if own == "auto" else own for own, fits in fitting)
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
    patience = schedule.patience
    if patience == "auto":
        patience = _HEAD_PATIENCE if run.trainer.mode == "head" else 0
    return replace(
        run,
        schedule=replace(
            schedule,
            steps=steps,
            epochs=0.0,
            head_only_epochs=head_only,
            validate_every=every,
            patience=patience,
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
