"""From a run to an artifact: the one place that turns settings into objects and lets them work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

from ilk.config import Run
from ilk.datasets import open_source
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import ConfigError, NothingLearnt
from ilk.items import Items
from ilk.radii import Radii
from ilk.training.assembly import items_hash, load_parts, make_data, make_module
from ilk.training.batches import in_order
from ilk.training.bound import set_scale
from ilk.training.callbacks import Keeper, Patience, Stopper, has_lost_patience
from ilk.training.cutting import cut_out
from ilk.training.export import export_artifact
from ilk.training.folder import RunFolder
from ilk.training.loading import Contents
from ilk.training.logs import log_settings, logger_name, make_loggers
from ilk.training.module import TrainingModule
from ilk.training.plan import Plan, make_plan
from ilk.training.progress import Display, Progress
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
    allow_untrained: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    show_bar: bool = False,
) -> Path:
    """Train an encoder as a run says, and write its artifact.

    Where a detector is set, what it finds is cut out of the pictures first, and kept for the next
    run. Some classes are held back, and the weights that do best on them are exported. Items of
    other splits, such as "test", are not touched. The same run on the same items and machine gives
    the same artifact, stopped and resumed or not.

    Args:
        run: What to do; "auto" is resolved, and the artifact records how.
        items: Instead of `run.data.source`.
        encoder: Instead of the one that the run names; its weights are changed.
        output: The folder to make. Beside it, OUTPUT.run holds settings, checkpoints and logs.
        resume: Whether to go on with a run that was stopped.
        overwrite: Whether to replace an artifact, and forget a run that was stopped.
        allow_untrained: Whether to write the weights that training started from, where no step
            validated as well.
        tell: Takes lines about what is happening.
        show_bar: Whether to draw a progress bar on standard error.

    Returns:
        The folder of the artifact.

    Raises:
        ConfigError: A setting contradicts another or the data, or `output` is taken.
        DataError: The items cannot be used: too few classes, one unreadable, none or several of
            what the detector looks for in a picture.
        MissingWeights: Pretrained weights are not on this machine.
        NothingLearnt: No step validated as well as the weights before the first.
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
    display = Display(tell, is_terminal=show_bar and is_main)
    with display.count("pictures looked at") as count:
        plan = make_plan(run, items, encoder, cut=partial(cut_out, tell=tell, progress=count))
    folder.require_room(_COPIES * sum(p.numel() * 4 for p in plan.encoder.parameters()))
    if is_main:
        folder.keep_settings(plan.run, resume=resume)
    for line in plan.lines():
        tell(line)
    gpus = range(run.trainer.devices) if plan.run.trainer.accelerator == "gpu" else ()
    with torch.random.fork_rng(devices=gpus):
        done = _train(plan, folder, display, resume=resume)
        if done is None:
            return folder.output
        limits = _limits(done.module, folder, display, allow_untrained=allow_untrained)
        return _export(plan, folder, display, done, limits, overwrite=overwrite)


@final
@dataclass(frozen=True, eq=False)
class _Done:
    """A module with the best of its weights, and what it learnt and was judged by."""

    module: TrainingModule
    training: Contents
    validation: Contents


def _train(
    plan: Plan,
    folder: RunFolder,
    display: Display,
    *,
    resume: bool,
) -> _Done | None:
    """Train, and return what came of it in the main process."""
    run, tell = plan.run, display.tell
    training, validation = load_parts(plan, display)
    module = make_module(plan, training, validation)
    keeper = Keeper(folder.checkpoints, {"items": items_hash(training, validation)})
    if resume:
        keeper.restore(module)
        tell(f"going on after step {module.step}")
    else:
        set_scale(module, training)
    steps, every = int(run.schedule.steps), int(run.schedule.validate_every)
    patience = int(run.schedule.patience)
    how = f"go on with --resume, what is needed is in {folder.path}"
    with Stopper(keeper, validate_every=every, num_steps=steps, how_to_continue=how) as stopper:
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
                callbacks=[keeper, stopper, Patience(patience), Progress(display, num_steps=steps)],
                num_steps=steps - module.step,
            )
            data = make_data(plan, training, validation, module)
            if not module.scores:
                # What training does to the weights it starts from may be to spoil them.
                trainer.validate(module, datamodule=data, verbose=False)
            log_settings(loggers, run, module)
            if module.step < steps and not has_lost_patience(module.scores, patience):
                trainer.fit(module, datamodule=data)
    trainer.strategy.barrier()
    if module.step < steps:
        tell(
            f"stopped early, at step {module.step} of {steps}: the last {patience} validations "
            "were worse than the best (schedule.patience=0 goes on to the end)"
        )
    keeper.load_best(module)
    tell(f"taking the weights of step {keeper.best_step}")
    return _Done(module, training, validation) if trainer.is_global_zero else None


def _limits(
    module: TrainingModule, folder: RunFolder, display: Display, *, allow_untrained: bool
) -> tuple[str, ...]:
    """Return what the card should say of a run that learnt nothing, if that is allowed.

    Raises:
        NothingLearnt: It is not.
    """
    scores = module.scores
    if max(scores, key=lambda step: (scores[step], step)):
        return ()
    later = max((score for step, score in scores.items() if step), default=float("nan"))
    found = (
        f"validation MAP@R was {scores[0]:.3f} before the first step and at most {later:.3f} after "
        "it, so training learnt nothing that helps on other classes"
    )
    if not allow_untrained:
        raise NothingLearnt(
            f"{found}; no artifact was written. Give it more classes (`ilk check`), more steps, "
            "another loss or a lower optimizer.learning_rate, or take the weights that it started "
            f"from with --resume --allow-untrained; the run is in {folder.path}"
        )
    display.tell(f"WARNING        {found}; these are the weights that it started from")
    return (f"These are the weights that training started from: {found}.",)


def _export(
    plan: Plan,
    folder: RunFolder,
    display: Display,
    done: _Done,
    limits: Sequence[str],
    *,
    overwrite: bool,
) -> Path:
    module, training, validation = done.module, done.training, done.validation
    embeddings, positions = module.embed(validation.batches(in_order(len(validation.items), 256)))
    class_ids = validation.items.class_ids[positions.numpy()]
    if radii := Radii.of(embeddings.numpy(), plan.distance):
        display.tell(f"radii          {radii.line()}")
        if radii.warning:
            display.tell(f"WARNING        {radii.warning}")
    display.tell("writing the artifact")
    with display.count("items embedded") as count:
        return export_artifact(
            plan.encoder,
            distance=plan.distance,
            cohort=validation.items,
            training_items=training.items,
            config=_stated(plan),
            metrics=validation_figures(embeddings, class_ids, plan.distance, seed=plan.run.seed),
            output=folder.output,
            seed=plan.run.seed,
            on_unreadable=plan.run.data.on_unreadable,
            progress=count,
            limits=limits,
            overwrite=overwrite,
        )


def _stated(plan: Plan) -> dict[str, Any]:
    """Return the settings for the manifest, whose detector is ready to be opened again."""
    settings = plan.run.as_dict()
    settings["trainer"]["loggers"] = [logger_name(one) for one in plan.run.trainer.loggers]
    choice = settings["detector"]["choice"]
    settings["detector"] = dict(plan.detector.settings)
    return settings if plan.detector.is_whole else {**settings, "detector_choice": choice}
