"""From a plan to the objects that do the work: contents in memory, the module, its batches."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import torch

from ilk.embedding import EmbeddingCache
from ilk.preprocess import Preprocess
from ilk.split import class_parents
from ilk.training.data import TrainingData
from ilk.training.frozen import load_features
from ilk.training.hardware import to_channels_last
from ilk.training.inputs import PlainInputs, TrainingInputs
from ilk.training.loading import Contents, load_contents
from ilk.training.module import Phases, TrainingModule
from ilk.training.optimizer import parameter_groups
from ilk.training.plan import Plan
from ilk.training.progress import Display
from ilk.training.schedule import CosineSchedule

__all__ = ["items_hash", "load_parts", "make_data", "make_module"]

_DEVICES = {"gpu": "cuda", "mps": "mps", "cpu": "cpu"}


def load_parts(plan: Plan, display: Display) -> tuple[Contents, Contents]:
    """Decode training and validation items, or compute their features in mode "head".

    Args:
        plan: Says what and how.
        display: Takes a line per item that is skipped, and shows how far it is.

    Raises:
        UnreadableItem: An item cannot be read, and that should stop.
    """
    run, preprocess = plan.run, plan.encoder.preprocess
    contents: list[Contents] = []
    left = run.data.cache_mib << 20
    for part, items in (("training", plan.split.training), ("validation", plan.split.validation)):
        if run.trainer.mode == "head":
            device = torch.device(
                {"gpu": "cuda"}.get(run.trainer.accelerator, run.trainer.accelerator)
            )
            display.tell(f"running the backbone over {len(items):,} {part} items")
            with display.count(f"{part} items through the backbone") as count:
                loaded: Contents = load_features(
                    plan.encoder,
                    items,
                    device=device,
                    on_unreadable=run.data.on_unreadable,
                    cache=EmbeddingCache(),
                    progress=count,
                )
        else:
            with display.count(f"{part} items read") as count:
                loaded = load_contents(
                    items,
                    _enlarged(plan) if part == "training" else preprocess,
                    limit_bytes=left,
                    on_unreadable=run.data.on_unreadable,
                    num_threads=int(run.data.num_threads),
                    progress=count,
                )
        left -= loaded.num_bytes
        contents.append(loaded)
    # What was left out before the split is a problem of both parts.
    for problem in dict.fromkeys(p for loaded in contents for p in loaded.items.problems):
        display.tell(f"skipped {problem.name}: {problem.reason}")
    return contents[0], contents[1]


def _enlarged(plan: Plan) -> Preprocess:
    """Return the preprocessing for training: frames as large as the augmentation wants them."""
    preprocess = plan.encoder.preprocess
    size = plan.augment.frame_size(preprocess.size_pixels)
    if preprocess.modality == "array" or size == preprocess.size_pixels:
        return preprocess
    return replace(preprocess, size_pixels=size, crop_fraction=1.0)


def make_module(plan: Plan, training: Contents, validation: Contents) -> TrainingModule:
    """Return the module that trains the plan's encoder on these contents."""
    run, encoder = plan.run, plan.encoder
    is_head = run.trainer.mode == "head"
    plain = PlainInputs(Preprocess(modality="array") if is_head else encoder.preprocess)
    prepares_pictures = not is_head and encoder.preprocess.modality == "image"
    distorting = TrainingInputs(
        encoder.preprocess,
        plan.augment,
        rotations_as_classes=run.augment.rotations_as_classes,
        turned_alike=torch.from_numpy(class_parents(training.items))
        if run.batch.classes_per_parent > 1
        else None,
    )
    rates = run.optimizer
    parts: list[tuple[str, torch.nn.Module, Any]] = [
        ("head", encoder.head, rates.learning_rate),
        ("class_weights", plan.loss, rates.class_weights_learning_rate),
    ]
    if not is_head:
        parts.insert(0, ("backbone", encoder.backbone, rates.backbone_learning_rate))
        to_channels_last(encoder)
    batch_size = int(run.batch.classes) * int(run.batch.items_per_class)
    epoch = -(-len(training.items) // batch_size)
    return TrainingModule(
        backbone=torch.nn.Identity() if is_head else encoder.backbone,
        head=encoder.head,
        loss=plan.loss,
        groups=parameter_groups(parts, weight_decay=rates.weight_decay),
        schedule=CosineSchedule(
            num_steps=int(run.schedule.steps),
            warm_up=run.schedule.warm_up,
            final=run.schedule.final,
        ),
        training_inputs=distorting if prepares_pictures else plain,
        validation_inputs=plain,
        training_class_ids=training.items.class_ids,
        validation_class_ids=validation.items.class_ids,
        seed=run.seed,
        phases=Phases(
            head_only_steps=round(float(run.schedule.head_only_epochs) * epoch),
            freeze_batch_norm=run.trainer.freeze_batch_norm is True,
        ),
        average=run.trainer.average,
        log_every=run.trainer.log_every,
    )


def make_data(
    plan: Plan, training: Contents, validation: Contents, module: TrainingModule
) -> TrainingData:
    """Return the batches of the plan, from the module's step on."""
    run = plan.run
    return TrainingData(
        training,
        validation,
        classes_per_batch=int(run.batch.classes),
        items_per_class=int(run.batch.items_per_class),
        classes_per_parent=run.batch.classes_per_parent,
        num_steps=int(run.schedule.steps),
        validate_every=int(run.schedule.validate_every),
        seed=run.seed,
        current_step=lambda: module.step,
    )


def items_hash(training: Contents, validation: Contents) -> str:
    """Return a hash of which items train and which validate."""
    digest = hashlib.sha256()
    for contents in (training, validation):
        for item in contents.items.items:
            digest.update(f"{item.name}\0{item.label}\0{item.box}\n".encode())
    return digest.hexdigest()
