"""The demo: learn a distance on some scripts, recognise characters of others, meet strangers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from ilk.datasets import open_source
from ilk.evaluation import EvaluationSettings
from ilk.evaluation.contact_sheet import write_contact_sheet
from ilk.evaluation.sheet_sample import sample_decisions
from ilk.recipes import recipe
from ilk.thresholds import within
from ilk.whole_run import Outcome, train_and_measure

__all__ = ["Tally", "demo", "tally"]

TARGET_FPIR = 0.05
"""The share of strangers that the demo lets get a name: a rate that 459 characters can carry."""


@final
@dataclass(frozen=True)
class Tally:
    """What became of the probes of one draw."""

    num_enrolled: int
    num_mated: int
    right: int
    wrong: int
    unknown: int
    num_strangers: int
    named: int
    """Strangers that got a name."""


def demo(
    output: Path,
    *,
    seed: int = 0,
    overrides: tuple[str, ...] = (),
    tell: Callable[[str], None],
    show_bar: bool = False,
) -> tuple[Outcome, Tally]:
    """Run the main job end to end on characters drawn here, and write it all to `output`.

    Args:
        output: A folder: artifact, figures, report page and contact sheet.
        seed: Decides the drawings, the training and the draws.
        overrides: `key=value` changes of the recipe.
        tell: Takes lines about what is happening.
        show_bar: Whether to draw a progress bar on standard error.

    Raises:
        IlkError: Whatever training or evaluation refuses.
        OSError: The output cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    training, unseen = open_source("glyphs:train"), open_source("glyphs:test")
    tell(
        f"drew {len(training):,} pictures of {len(training.classes):,} characters to learn from, "
        f"and {len(unseen):,} of {len(unseen.classes):,} characters of other scripts"
    )
    settings = EvaluationSettings(num_draws=3, fpir_targets=(TARGET_FPIR, 0.01), seed=seed)
    outcome = train_and_measure(
        recipe("glyphs", (f"seed={seed}", *overrides)),
        training,
        unseen,
        output,
        settings,
        title="Characters of scripts that training never saw",
        tell=tell,
        show_bar=show_bar,
    )
    counted = tally(outcome)
    decisions = sample_decisions(
        outcome.evaluation,
        outcome.embedded.items,
        outcome.embedded.embeddings,
        outcome.artifact.distance,
        num_mated=12,
        num_strangers=6,
        seed=seed,
    )
    write_contact_sheet(
        output / "decisions.png",
        decisions,
        title="Which character is this? Or is it none that I know?",
        subtitle=f"Scripts that training never saw, {counted.num_enrolled} characters enrolled "
        f"with 5 examples each, at most {TARGET_FPIR:.0%} of strangers named",
    )
    return outcome, counted


def tally(outcome: Outcome) -> Tally:
    """Count what the first draw of the evaluation's gallery answered.

    Raises:
        NotEnoughTrials: The unseen classes carry no threshold, so nothing was decided.
    """
    from ilk.errors import NotEnoughTrials

    trial, threshold = outcome.evaluation.open_set, outcome.evaluation.threshold
    if threshold is None:
        raise NotEnoughTrials("the unseen classes are too few to choose a threshold on")
    mated, is_named = trial.is_mated, within(trial.distance, threshold.value)
    is_right = mated & is_named & (trial.closest == trial.true)
    return Tally(
        num_enrolled=len(np.unique(trial.true[mated])),
        num_mated=int(mated.sum()),
        right=int(is_right.sum()),
        wrong=int((mated & is_named & ~is_right).sum()),
        unknown=int((mated & ~is_named).sum()),
        num_strangers=int((~mated).sum()),
        named=int((~mated & is_named).sum()),
    )
