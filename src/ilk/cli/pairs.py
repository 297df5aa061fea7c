"""What commands that run a pairs file share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.progress import progress_bar
from ilk.cli.unseen import detector_of, refuse_overlap

if TYPE_CHECKING:
    from ilk.artifact import Artifact
    from ilk.detecting import Choice
    from ilk.evaluation import Evaluation, EvaluationSettings
    from ilk.evaluation.acquisition import Acquired
    from ilk.evaluation.pairs import Pairs
    from ilk.items import Items

__all__ = ["by_option", "evaluate_pairs", "fmr_option", "pairs_file", "refuse_seen_people"]

by_option = click.option(
    "--by",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Report rates for each group in this column of the table. Repeatable.",
)
"""Adds --by, as `columns`."""

fmr_option = click.option(
    "--fmr",
    default=0.001,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="For pairs: the share of impostors that the threshold may accept.",
)
"""Adds --fmr."""


def pairs_file(source: str, pairs: Path | None) -> Path:
    """Return the pairs file that is meant: the one that is named, or pairs.txt in the source."""
    if pairs is not None:
        return pairs
    beside = Path(source) / "pairs.txt"
    if not beside.is_file():
        raise click.UsageError(f"--protocol lfw needs --pairs FILE, as there is no {beside}.")
    return beside


def refuse_seen_people(artifact: Artifact, pairs: Pairs, pictures: Items, *, allow: bool) -> None:
    """Refuse pairs of people whom training saw, or warn of it if it is allowed.

    Raises:
        ClassOverlap: The pairs name one, or a picture that they show is labelled so.
    """
    ends = pairs.positions([item.name for item in pictures.items])
    shown = {pictures.items[at].label for end in ends for at in end.tolist() if at >= 0}
    named = {name for both in pairs.people for name in both}
    refuse_overlap(artifact, shown | named, (), allow=allow)


def evaluate_pairs(
    artifact: Artifact,
    source: str,
    file: Path,
    *,
    detector: str | None,
    choice: Choice,
    batch_size: int,
    fmr: float,
    columns: Sequence[str],
    settings: EvaluationSettings,
    allow: bool,
) -> tuple[Evaluation, Acquired]:
    """Return what a pairs file finds in a source."""
    from ilk.datasets import open_source
    from ilk.embedding import EmbeddingCache
    from ilk.evaluation import read_pairs
    from ilk.evaluation.pairs_run import as_evaluation
    from ilk.whole_run import measure_pairs

    asked = read_pairs(file)
    items = open_source(source, on_unreadable="skip")
    refuse_seen_people(artifact, asked, items, allow=allow)
    with progress_bar() as progress:
        run = measure_pairs(
            artifact,
            asked,
            items,
            detector_of(artifact, detector),
            choice=choice,
            target_fmr=fmr,
            by=columns,
            settings=settings,
            batch_size=batch_size,
            cache=EmbeddingCache(),
            progress=progress,
        )
    refuse_overlap(artifact, (), run.acquired.embedded.hashes, allow=allow)
    return as_evaluation(run, artifact.distance), run.acquired
