"""Published protocols, from data in a folder that the user names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ilk.datasets.omniglot import omniglot
from ilk.evaluation import EvaluationSettings
from ilk.evaluation.one_shot import OneShot, one_shot
from ilk.recipes import recipe
from ilk.whole_run import Outcome, train_and_measure

__all__ = ["reproduce_omniglot"]

_NUM_RUNS = 900
"""Runs of the one-shot figure: a hundred of each of the nine alphabets of twenty characters. The
twenty of the published protocol would weigh two of them three times and the others twice."""


def reproduce_omniglot(
    data: Path,
    output: Path,
    *,
    seed: int = 0,
    overrides: tuple[str, ...] = (),
    tell: Callable[[str], None],
    show_bar: bool = False,
) -> tuple[Outcome, OneShot]:
    """Train on twenty alphabets of Omniglot and measure on the ten that are held out.

    Args:
        data: The folder that holds `images_background` or its zip file.
        output: A folder: artifact, figures and report page.
        seed: Decides the training and every draw.
        overrides: `key=value` changes of the recipe.
        tell: Takes lines about what is happening.
        show_bar: Whether to draw a progress bar on standard error.

    Returns:
        The outcome, and the within-alphabet 20-way one-shot error over 900 runs, which are drawn
        here: the twenty published ones are of the evaluation set, whose alphabets are others.

    Raises:
        IlkError: The data are not there, or training or evaluation refuses.
        OSError: The output cannot be written.
    """
    training, unseen = omniglot("train", root=data), omniglot("test", root=data)
    output.mkdir(parents=True, exist_ok=True)
    outcome = train_and_measure(
        recipe("omniglot", (f"seed={seed}", *overrides)),
        training,
        unseen,
        output,
        EvaluationSettings(seed=seed),
        title="Omniglot: ten alphabets that training never saw",
        tell=tell,
        show_bar=show_bar,
    )
    embedded = outcome.embedded
    groups = [item.group for item in embedded.items.items]
    shots = one_shot(
        embedded.embeddings,
        list(embedded.items.labels),
        groups,
        outcome.artifact.distance,
        num_runs=_NUM_RUNS,
        seed=seed,
    )
    (output / "one_shot.json").write_text(json.dumps(asdict(shots), indent=2))
    return outcome, shots
