"""The demo: learn a distance on some scripts, recognise characters of others, meet strangers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ilk.datasets import open_source
from ilk.evaluation import EvaluationSettings
from ilk.evaluation.contact_sheet import write_contact_sheet
from ilk.evaluation.sheet_sample import sample_decisions
from ilk.recipes import recipe
from ilk.whole_run import Outcome, train_and_measure

__all__ = ["TARGET_FPIR", "demo"]

TARGET_FPIR = 0.05
"""The share of strangers that the demo lets get a name: a rate that 459 characters can carry."""


def demo(
    output: Path,
    *,
    seed: int = 0,
    overrides: tuple[str, ...] = (),
    tell: Callable[[str], None],
    show_bar: bool = False,
) -> Outcome:
    """Run the main job end to end on characters drawn here, and write it all to `output`.

    Args:
        output: A folder: artifact, figures, report page and contact sheet.
        seed: Decides the training and every draw.
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
    decisions = sample_decisions(
        outcome.evaluation,
        outcome.embedded.items,
        outcome.embedded.embeddings,
        outcome.artifact.distance,
        num_mated=8,
        num_strangers=4,
        seed=seed,
    )
    num_enrolled = outcome.evaluation.counts["enrolled_classes"]
    write_contact_sheet(
        output / "decisions.png",
        decisions,
        title="Which character is this? Or is it none that I know?",
        subtitle=f"Scripts that training never saw, {num_enrolled} characters enrolled with 5 "
        f"examples each, at most {TARGET_FPIR:.0%} of strangers named",
    )
    return outcome
