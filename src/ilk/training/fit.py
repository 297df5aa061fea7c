"""From a run to an artifact: the one place that turns settings into objects and lets them work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ilk.config import Run
from ilk.datasets import open_source
from ilk.embedding import EmbeddingCache
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ConfigError
from ilk.items import Items
from ilk.preprocess import Preprocess
from ilk.training.batches import in_order
from ilk.training.callbacks import Keeper, Stopper
from ilk.training.data import TrainingData
from ilk.training.export import export_artifact
from ilk.training.folder import RunFolder
from ilk.training.frozen import load_features
from ilk.training.hardware import has_gpu, to_channels_last
from ilk.training.inputs import PlainInputs, TrainingInputs
from ilk.training.loading import Contents, load_contents
from ilk.training.logs import make_loggers
from ilk.training.module import Phases, TrainingModule
from ilk.training.optimizer import parameter_groups
from ilk.training.plan import Plan, make_plan
from ilk.training.progress import Progress
from ilk.training.schedule import CosineSchedule
from ilk.training.trainer import make_trainer, quiet
from ilk.training.validation import validation_figures

__all__ = ["fit"]

_COPIES = 8
"""How often the weights are written: weights, average, two of the optimizer, best, artifact."""


def fit(
    run: Run,
    *,
    items: Items | None = None,
    encoder: TrainableEncoder | None = None,
    output: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    show_bar: bool = False,
) -> Path:
    """Train an encoder as a run says, and write its artifact.

    Some classes are held back, and the weights that do best on them are exported. Items of other
    splits, such as "test", are not touched. The same run on the same items and machine gives the
    same artifact, stopped and resumed or not.

    Args:
        run: What to do; "auto" is resolved, and the artifact records how.
        items: Instead of `run.data.source`.
        encoder: Instead of the one that the run names; its weights are changed.
        output: The folder to make. Beside it, OUTPUT.run holds settings, checkpoints and logs.
        resume: Whether to go on with a run that was stopped.
        overwrite: Whether to replace an artifact, and forget a run that was stopped.
        tell: Takes lines about what is happening.
        show_bar: Whether to draw a progress bar on standard error.

    Returns:
        The folder of the artifact.

    Raises:
        ConfigError: A setting contradicts another or the data, or `output` is taken.
        DataError: The items cannot be used: too few classes, one unreadable.
        MissingWeights: Pretrained weights are not on this machine.
        TrainingStopped: Ctrl-C or SIGTERM; `resume` goes on.
        TrainingDiverged: The loss is not a finite number any more.
        OSError: The output cannot be written.
    """
    folder = RunFolder(Path(output))
    is_main = os.environ.get("LOCAL_RANK", "0") == "0"
    if items is None:
        if not run.data.source:
            raise ConfigError("data.source: expected a source of items, got none; name one")
        items = open_source(run.data.source, on_unreadable=run.data.on_unreadable)
    if is_main:
        folder.prepare(resume=resume, overwrite=overwrite)
    plan = make_plan(run, items, encoder)
    folder.require_room(_COPIES * sum(p.numel() * 4 for p in plan.encoder.parameters()))
    if is_main:
        folder.keep_settings(plan.run, resume=resume)
    for line in plan.lines():
        tell(line)
    return _train(plan, folder, resume=resume, overwrite=overwrite, tell=tell, show_bar=show_bar)


def _train(
    plan: Plan,
    folder: RunFolder,
    *,
    resume: bool,
    overwrite: bool,
    tell: Callable[[str], None],
    show_bar: bool,
) -> Path:
    run = plan.run
    training, validation = _load(plan, tell)
    module = _module(plan, training, validation)
    keeper = Keeper(folder.checkpoints, {"items": _identity(training, validation)})
    if resume:
        keeper.restore(module)
        tell(f"going on after step {module.step}")
    steps, every = int(run.schedule.steps), int(run.schedule.validate_every)
    how = f"go on with --resume, what is needed is in {folder.path}"
    with Stopper(keeper, validate_every=every, num_steps=steps, how_to_continue=how) as stopper:
        progress = Progress(num_steps=steps, tell=tell, is_terminal=show_bar)
        loggers = make_loggers(
            run.trainer.loggers,
            folder.logs,
            run_name=folder.output.name,
            version=f"from_step_{module.step}",
        )
        with quiet():
            trainer = make_trainer(
                run,
                loggers=loggers,
                callbacks=[keeper, stopper, progress],
                num_steps=steps - module.step,
            )
            if module.step < steps:
                trainer.fit(module, datamodule=_data(plan, training, validation, module))
    trainer.strategy.barrier()
    keeper.load_best(module)
    if not trainer.is_global_zero:
        return folder.output
    return _export(plan, folder, module, training, validation, overwrite=overwrite, tell=tell)


def _load(plan: Plan, tell: Callable[[str], None]) -> tuple[Contents, Contents]:
    """Decode the items, or compute their features where the backbone does not learn."""
    run, preprocess = plan.run, plan.encoder.preprocess
    contents: list[Contents] = []
    left = run.data.cache_mib << 20
    for part, items in (("training", plan.split.training), ("validation", plan.split.validation)):
        if run.trainer.mode == "head":
            device = torch.device("cuda" if has_gpu(run.trainer.accelerator) else "cpu")
            tell(f"running the backbone over {len(items):,} {part} items")
            loaded: Contents = load_features(
                plan.encoder,
                items,
                device=device,
                on_unreadable=run.data.on_unreadable,
                cache=EmbeddingCache(),
            )
        else:
            loaded = load_contents(
                items,
                _enlarged(plan) if part == "training" else preprocess,
                limit_bytes=left,
                on_unreadable=run.data.on_unreadable,
                num_workers=_num_workers(run),
            )
        left -= loaded.num_bytes
        contents.append(loaded)
    for problem in (p for loaded in contents for p in loaded.items.problems):
        tell(f"skipped {problem.name}: {problem.reason}")
    return contents[0], contents[1]


def _enlarged(plan: Plan) -> Preprocess:
    """Return the preprocessing for training: frames as large as the augmentation wants them."""
    preprocess = plan.encoder.preprocess
    size = plan.augment.frame_size(preprocess.size_pixels)
    if preprocess.modality == "array" or size == preprocess.size_pixels:
        return preprocess
    return replace(preprocess, size_pixels=size, crop_fraction=1.0)


def _num_workers(run: Run) -> int:
    if run.data.num_workers == "auto":
        return max(1, (os.cpu_count() or 1) - 1)
    return run.data.num_workers


def _module(plan: Plan, training: Contents, validation: Contents) -> TrainingModule:
    run, encoder = plan.run, plan.encoder
    is_head = run.trainer.mode == "head"
    plain = PlainInputs(Preprocess(modality="array") if is_head else encoder.preprocess)
    prepares_pictures = not is_head and encoder.preprocess.modality == "image"
    distorting = TrainingInputs(
        encoder.preprocess, plan.augment, rotations_as_classes=run.augment.rotations_as_classes
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


def _data(
    plan: Plan, training: Contents, validation: Contents, module: TrainingModule
) -> TrainingData:
    run = plan.run
    return TrainingData(
        training,
        validation,
        classes_per_batch=int(run.batch.classes),
        items_per_class=int(run.batch.items_per_class),
        num_steps=int(run.schedule.steps),
        validate_every=int(run.schedule.validate_every),
        seed=run.seed,
        current_step=lambda: module.step,
    )


def _export(
    plan: Plan,
    folder: RunFolder,
    module: TrainingModule,
    training: Contents,
    validation: Contents,
    *,
    overwrite: bool,
    tell: Callable[[str], None],
) -> Path:
    embeddings, positions = module.embed(validation.batches(in_order(len(validation.items), 256)))
    class_ids = validation.items.class_ids[positions.numpy()]
    tell("writing the artifact")
    return export_artifact(
        plan.encoder,
        distance=plan.distance,
        cohort=validation.items,
        training_items=training.items,
        config=plan.run.as_dict(),
        metrics=validation_figures(embeddings, class_ids, plan.distance, seed=plan.run.seed),
        output=folder.output,
        seed=plan.run.seed,
        on_unreadable=plan.run.data.on_unreadable,
        overwrite=overwrite,
    )


def _identity(training: Contents, validation: Contents) -> str:
    """Return a hash of which items train and which validate."""
    digest = hashlib.sha256()
    for contents in (training, validation):
        for item in contents.items.items:
            digest.update(f"{item.name}\0{item.label}\0{item.box}\n".encode())
    return digest.hexdigest()
