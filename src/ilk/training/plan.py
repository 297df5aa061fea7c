"""Everything a run needs, decided before the first step: what is trained on what, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import torch

from ilk import plugins
from ilk.config import Encoder, Run
from ilk.data_rules import (
    FEW_VALIDATION_CLASSES,
    DataFacts,
    few_classes_reason,
    few_validation_reason,
    look_at,
)
from ilk.detecting import WHOLE_IMAGE
from ilk.detector import Detector
from ilk.distances import Distance, Hyperbolic, distance_from_settings
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ConfigError, InvalidInput
from ilk.items import Items
from ilk.losses import Loss
from ilk.split import Split, merge_splits, split_items, takes_part
from ilk.training.augment import Augment, make_augment
from ilk.training.bound import bound_head
from ilk.training.construct import construct, with_defaults
from ilk.training.cutting import make_detector
from ilk.training.defaults import EncoderFacts, choose_encoder, resolve
from ilk.training.hardware import describe_device
from ilk.words import counted

__all__ = ["Plan", "make_plan"]


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """A run with all its objects."""

    run: Run
    """Resolved: no "auto" is left."""
    split: Split
    detector: Detector
    encoder: TrainableEncoder
    distance: Distance
    loss: Loss
    augment: Augment
    notes: tuple[str, ...] = ()
    """Why something is other than usual, a sentence each."""

    def lines(self) -> list[str]:
        """Return in a few lines what is going to happen."""
        run, split, encoder = self.run, self.split, self.encoder
        num_parameters = sum(p.numel() for p in encoder.parameters())
        weights = f"pretrained on {encoder.pretrained_on}" if encoder.pretrained_on else "untrained"
        shape = " x ".join(map(str, encoder.preprocess.input_shape or ("array",)))
        left_out = ", ".join(f"{name} {count:,}" for name, count in sorted(split.left_out.items()))
        return [
            *self._detector_lines(),
            f"training on    {_count(split.training)}",
            f"validation on  {_count(split.validation)}, other classes"
            + (f"; {_others(split)} ({left_out})" if left_out else ""),
            f"encoder        {run.encoder.name}, {num_parameters / 1e6:.2f} M parameters, "
            f"{weights}, {shape} -> {encoder.embedding_size}",
            f"learning       {run.loss.name} loss, {run.distance.name} distance, "
            f"{run.batch.classes} x {run.batch.items_per_class} per batch, {run.schedule.steps} "
            + ("steps of the head alone" if run.trainer.mode == "head" else "steps"),
            f"device         {describe_device(run.trainer.accelerator, run.trainer.devices)}",
            *(f"note           {note}" for note in self.notes),
        ]

    def _detector_lines(self) -> list[str]:
        if self.detector.is_whole:
            return []
        choice = "the only one" if self.run.detector.choice == "only" else "the largest"
        return [f"detector       {self.run.detector.name}, {choice} of a picture"]


def make_plan(
    run: Run,
    items: Items,
    encoder: TrainableEncoder | None = None,
    *,
    cut: Callable[[Run, Detector, Items], Items] = lambda run, detector, items: items,
) -> Plan:
    """Split the items, build detector, encoder, distance and loss, and resolve the run.

    Args:
        run: Possibly with "auto" in it.
        items: The whole source, test items included; those are left alone.
        encoder: Instead of the one that the run names.
        cut: Puts what the detector finds in the place of pictures, before they are split.

    Raises:
        DataError: There are too few classes.
        ConfigError: A setting contradicts another, or an option is unknown.
        MissingWeights: Pretrained weights are not on this machine.
        PluginError: There is no detector, encoder or loss of that name.
    """
    looks = run.detector.name != WHOLE_IMAGE["name"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        items = merge_splits(items) if run.data.merge_splits else items
        # Crops are as large as the encoder takes them, so it comes first where they are to be cut.
        split = None if looks else _split(run, items)
        facts = look_at(items.where(takes_part) if split is None else split.training)
        is_given = encoder is not None
        run, encoder = _build_encoder(run, encoder, facts)
        run, detector = _build_detector(run, encoder)
        if not (is_given or detector.is_whole):  # what was cut out is not to be cut again
            encoder.preprocess = replace(encoder.preprocess, crop_fraction=1.0)
        if split is None:
            split = _split(run, cut(run, detector, items))
            # What the pictures are like does not change by cutting; how many there are does.
            facts = replace(look_at(split.training), kind=facts.kind)
        is_open = run.trainer.mode == "auto"
        run = resolve(run, facts, EncoderFacts.of(encoder))
        _refuse_contradictions(run, encoder)
        distance = _build_distance(run)
        if isinstance(distance, Hyperbolic):
            bound_head(encoder, distance)
        run, loss = _build_loss(run, distance, encoder, facts)
    run, augment = _build_augment(run, encoder)
    notes = []
    if is_open and run.trainer.mode == "head":
        notes.append(f"{few_classes_reason(facts)} (trainer.mode=whole trains all)")
    if (num_classes := len(split.validation.classes)) < FEW_VALIDATION_CLASSES:
        notes.append(few_validation_reason(num_classes))
    return Plan(run, split, detector, encoder, distance, loss, augment, tuple(notes))


def _split(run: Run, items: Items) -> Split:
    data = run.data
    return split_items(
        items, fraction=data.validation_fraction, by=data.validation_by, seed=run.seed
    )


def _build_detector(run: Run, encoder: TrainableEncoder) -> tuple[Run, Detector]:
    is_image = encoder.preprocess.modality == "image"
    run, detector = make_detector(run, encoder.preprocess.size_pixels if is_image else None)
    if not (is_image or detector.is_whole):
        raise ConfigError(
            f"detector.name: {run.detector.name} looks at pictures, and this encoder takes arrays; "
            "use whole_image"
        )
    return run, detector


def _build_encoder(
    run: Run, given: TrainableEncoder | None, facts: DataFacts
) -> tuple[Run, TrainableEncoder]:
    """Return the encoder that is given, or the one that the run names, and its name in the run."""
    if given is not None:
        kind = type(given)
        return replace(run, encoder=Encoder(name=f"{kind.__module__}:{kind.__qualname__}")), given
    run = choose_encoder(run, facts)
    if facts.kind == "array":
        raise ConfigError(
            "arrays need an encoder of yours: ilk.training.fit(run, items=..., "
            "encoder=ModuleEncoder(...))"
        )
    factory = plugins.load("encoders", run.encoder.name)
    options = with_defaults(factory, run.encoder.options)
    encoder = construct(factory, run.encoder.options, path="encoder.options")
    return replace(run, encoder=replace(run.encoder, options=options)), encoder


def _build_distance(run: Run) -> Distance:
    try:
        return distance_from_settings({**run.distance.options, "name": run.distance.name})
    except InvalidInput as error:
        raise ConfigError(f"distance: {error}") from None


def _build_loss(
    run: Run, distance: Distance, encoder: TrainableEncoder, facts: DataFacts
) -> tuple[Run, Loss]:
    factory: Any = plugins.load("losses", run.loss.name)
    least = factory.min_per_class
    if int(run.batch.items_per_class) < least:
        raise ConfigError(
            f"batch.items_per_class: the {run.loss.name} loss needs at least {least} items of a "
            f"class, got {run.batch.items_per_class}"
        )
    given: dict[str, Any] = {"distance": distance}
    if factory.needs_classes:
        given["num_classes"] = facts.num_classes * (4 if run.augment.rotations_as_classes else 1)
        given["embedding_size"] = encoder.embedding_size
    loss: Loss = construct(factory, run.loss.options, path="loss.options", **given)
    options = with_defaults(factory, run.loss.options)
    return replace(run, loss=replace(run.loss, options=options)), loss


def _build_augment(run: Run, encoder: TrainableEncoder) -> tuple[Run, Augment]:
    """Build the augmentation; that of photographs is told what size should come out."""
    try:
        augment = make_augment(run.augment.name, **run.augment.options)
        options = with_defaults(type(augment), run.augment.options)
        given = dict(run.augment.options)
        if run.augment.name == "photo":
            given["size_pixels"] = encoder.preprocess.size_pixels
            options.pop("size_pixels", None)
        augment = make_augment(run.augment.name, **given)
    except (ConfigError, InvalidInput) as error:
        raise ConfigError(f"augment.options: {error}") from None
    return replace(run, augment=replace(run.augment, options=options)), augment


def _refuse_contradictions(run: Run, encoder: TrainableEncoder) -> None:
    is_head = run.trainer.mode == "head"
    has_head = EncoderFacts.of(encoder).has_head
    if is_head and run.augment.rotations_as_classes:
        raise ConfigError(
            "augment.rotations_as_classes rotates pictures, and with trainer.mode = 'head' the "
            "head sees none; set one of them otherwise"
        )
    if is_head and not has_head:
        raise ConfigError(
            "trainer.mode = 'head' trains the head alone, and this encoder's head has nothing to "
            "train; give it one, or use mode 'whole'"
        )
    if float(run.schedule.head_only_epochs) and not has_head:
        raise ConfigError(
            "schedule.head_only_epochs: this encoder's head has nothing to train; set it to 0"
        )
    if run.augment.rotations_as_classes and not isinstance(encoder.preprocess.size_pixels, int):
        raise ConfigError(
            "augment.rotations_as_classes turns pictures by quarters, which needs a square "
            f"encoder, got one of {encoder.preprocess.size_pixels} pixels; set either otherwise"
        )
    distorts = run.augment.name != "none" or run.augment.rotations_as_classes
    if encoder.preprocess.modality == "array" and distorts:
        raise ConfigError("augment: arrays cannot be distorted; set augment.name to none")


def _others(split: Split) -> str:
    count = sum(split.left_out.values())
    return f"{counted(count, 'item')} of other splits {'is' if count == 1 else 'are'} not touched"


def _count(items: Items) -> str:
    return f"{counted(len(items), 'item')} of {counted(len(items.classes), 'class', 'classes')}"
