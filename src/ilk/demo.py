"""The demo: learn a distance on some scripts, recognise characters of others, meet strangers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ilk.datasets import open_source
from ilk.evaluation import EvaluationSettings
from ilk.evaluation.contact_sheet import write_contact_sheet
from ilk.meeting import Meeting, draw_roles, meet
from ilk.recipes import recipe
from ilk.recognizer import Recognizer
from ilk.whole_run import Outcome, train_and_measure

__all__ = ["TARGET_FPIR", "Demo", "demo"]

TARGET_FPIR = 0.05
"""The share of strangers that the demo lets get a name."""

_NUM_EXEMPLARS = 5


@final
@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo did."""

    outcome: Outcome
    meeting: Meeting
    gallery: Path
    sheet: Path


def demo(
    output: Path,
    *,
    seed: int = 0,
    overrides: tuple[str, ...] = (),
    tell: Callable[[str], None],
    show_bar: bool = False,
) -> Demo:
    """Run the main job end to end on characters drawn here, and write it all to `output`.

    Args:
        output: A folder: artifact, figures, report page, gallery and contact sheet.
        seed: Decides the training and every draw.
        overrides: `key=value` changes of the recipe.
        tell: Takes lines about what is happening.
        show_bar: Whether to draw a progress bar on standard error.

    Raises:
        IlkError: Whatever training, evaluation or the gallery refuses.
        OSError: The output cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    training, unseen = open_source("glyphs:train"), open_source("glyphs:test")
    tell(
        f"drew {len(training):,} pictures of {len(training.classes):,} characters to learn from, "
        f"and {len(unseen):,} of {len(unseen.classes):,} characters of other scripts"
    )
    outcome = train_and_measure(
        recipe("glyphs", (f"seed={seed}", *overrides)),
        training,
        unseen,
        output,
        EvaluationSettings(num_draws=3, fpir_targets=(TARGET_FPIR, 0.01), seed=seed),
        title="Characters of scripts that training never saw",
        tell=tell,
        show_bar=show_bar,
    )
    location, sheet = output / "characters.gallery", output / "decisions.png"
    if (location / "CURRENT").exists():
        shutil.rmtree(location)
    roles = draw_roles(unseen, num_exemplars=_NUM_EXEMPLARS, seed=seed)
    with Recognizer.create(location, outcome.artifact) as recognizer:
        meeting = meet(recognizer, roles, target_fpir=TARGET_FPIR, tell=tell)
    write_contact_sheet(
        sheet,
        meeting.decisions(num_mated=8, num_strangers=4, seed=seed),
        title="Which character is this? Or is it none that I know?",
        subtitle=f"Scripts that training never saw, {meeting.num_enrolled} characters enrolled "
        f"with {_NUM_EXEMPLARS} examples each, at most {TARGET_FPIR:.0%} of strangers named",
    )
    return Demo(outcome, meeting, location, sheet)
