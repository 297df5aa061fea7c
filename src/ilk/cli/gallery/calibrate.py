"""`ilk gallery calibrate`: choose which share of strangers may get a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ilk.cli.galleries import actor_option, gallery_argument, json_option, threads_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import detector_option

if TYPE_CHECKING:
    from ilk.gallery import Gallery
    from ilk.gallery.settings import Basis
    from ilk.items import Problem
    from ilk.recognizer import Recognizer

__all__ = ["calibrate"]

_NUM_NAMED = 20


@click.command()
@gallery_argument
@click.option(
    "--target-fpir",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The share of strangers that may get a name. Default: as before; 0.01 at first.",
)
@click.option(
    "--basis",
    type=click.Choice(["cohort", "strangers", "leave-one-out"]),
    help="Who stands for strangers: the artifact's held-out classes, strangers that you brought, "
    "or the gallery's own exemplars, each compared with the other classes. Default: as before.",
)
@click.option(
    "--strangers",
    metavar="SOURCE",
    help="Things that are not enrolled, a folder per class; they replace earlier ones.",
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    help="How close a second class must come to make an answer ambiguous, as a share of the "
    "threshold.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Keep the share with this probability over the draw of the strangers, such as 0.95. "
    "Default: on average over such draws, which takes fewer classes of strangers.",
)
@click.option(
    "--on-unreadable",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="What to do about strangers that cannot be compared: skip and list them, or stop.",
)
@detector_option
@threads_option
@actor_option
@json_option
def calibrate(
    gallery: Path,
    target_fpir: float | None,
    basis: Basis | None,
    strangers: str | None,
    margin: float | None,
    confidence: float | None,
    on_unreadable: Literal["stop", "skip"],
    detector: str | None,
    num_threads: int | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Choose which share of strangers may get a name.

    A stranger is a new class: the threshold is chosen so that a random picture of a class like
    those of the basis gets a name with at most that probability, and is chosen anew whenever the
    gallery changes. If the classes are too few for the rate, it is refused: 1 % takes 99 classes of
    strangers, or 199 of the gallery's own.
    """
    from ilk.gallery import Gallery
    from ilk.recognizer import Recognizer

    if strangers is not None and basis not in (None, "strangers"):
        raise click.UsageError("--strangers goes with --basis strangers.")
    with Gallery.open(gallery, actor=actor) as opened:
        target = opened.settings.target_fpir if target_fpir is None else target_fpir
        if strangers is None:
            opened.calibrate(target, basis=basis, margin=margin, confidence=confidence)
        else:
            recognizer = Recognizer.of(opened, detector=detector, num_threads=num_threads)
            _bring(recognizer, strangers, target, margin, confidence, on_unreadable)
        _tell(opened, as_json=as_json)


def _bring(
    recognizer: Recognizer,
    source: str,
    target_fpir: float,
    margin: float | None,
    confidence: float | None,
    on_unreadable: Literal["stop", "skip"],
) -> None:
    from ilk.datasets import open_source
    from ilk.datasets.files import open_files
    from ilk.embedding import EmbeddingCache
    from ilk.gallery.forgetting import forget_in_caches
    from ilk.words import counted

    if _is_flat(source):
        items = open_files([source])
        click.echo(
            f"no folder says which of the {counted(len(items), 'picture')} show the same: each "
            "counts as a class of its own, so give one picture of each",
            err=True,
        )
    else:
        items = open_source(source, on_unreadable=on_unreadable)
    skipped: list[Problem] = []
    with progress_bar() as progress:
        recognizer.calibrate(
            target_fpir,
            strangers=items,
            margin=margin,
            confidence=confidence,
            on_unreadable=on_unreadable,
            cache=EmbeddingCache(),
            progress=lambda done, of: progress("Embedding", done, of),
            skipped=skipped.append,
        )
    forget_in_caches(recognizer.gallery.access)  # what was erased was embedded to be left out
    for problem in skipped[:_NUM_NAMED]:
        click.echo(f"skipped: {problem.name}: {problem.reason}", err=True)
    if len(skipped) > _NUM_NAMED:
        click.echo(f"skipped: and {len(skipped) - _NUM_NAMED:,} more", err=True)


def _is_flat(source: str) -> bool:
    """Whether this is a folder of pictures without a folder per class."""
    from ilk.datasets.folder import list_pictures

    root = Path(source)
    if not root.is_dir():
        return False
    found = [path for path, reason in list_pictures(root) if reason is None]
    return bool(found) and all(path.parent == root for path in found)


def _tell(gallery: Gallery, *, as_json: bool) -> None:
    from ilk.cli.documents import print_document
    from ilk.cli.gallery.info import report_facts, report_rows
    from ilk.cli.words import print_facts

    report = gallery.report()
    if as_json:
        print_document("gallery.calibration", calibration=report_facts(report))
    else:
        print_facts(report_rows(report))
