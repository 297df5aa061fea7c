"""`ilk verify GALLERY LABEL FILE...`: is it of this class?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import gallery_argument, json_option, threads_option
from ilk.cli.sources import choice_option, detector_option, require_readable

if TYPE_CHECKING:
    from ilk.detecting import Choice

__all__ = ["verify"]


@click.command()
@gallery_argument
@click.argument("label")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--target-fmr",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The share of strangers that may be accepted as this class.",
)
@detector_option
@choice_option("only")
@threads_option
@json_option
def verify(
    gallery: Path,
    label: str,
    files: tuple[str, ...],
    target_fmr: float,
    detector: str | None,
    choice: Choice,
    num_threads: int | None,
    as_json: bool,
) -> None:
    """Say of each picture whether it is of a given class.

    The threshold is that of class LABEL alone, chosen on the distances of the calibration strangers
    to it. The exit status is 0 whatever the answer, and 1 if none of the FILEs can be read.
    """
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_table
    from ilk.datasets.files import open_files
    from ilk.documents import threshold_facts, verification
    from ilk.recognizer import Recognizer
    from ilk.results import Verification
    from ilk.words import told_threshold

    items = open_files(files)
    with Recognizer.open(gallery, detector=detector, num_threads=num_threads) as recognizer:
        answers = recognizer.verify(label, items.items, target_fmr=target_fmr, choice=choice)
    answers += [
        Verification(
            label=label, is_accepted=False, reason=p.reason, name=p.name, code="unreadable"
        )
        for p in items.problems
    ]
    threshold = next((a.threshold for a in answers if a.threshold is not None), None)
    if as_json:
        listed = [verification(answer) for answer in answers]
        facts = {"gallery": str(gallery), "label": label, "threshold": threshold_facts(threshold)}
        print_document("verify", **facts, answers=listed)
        require_readable(answers)
        return
    require_readable(answers)
    rows = [
        (
            answer.name,
            "yes"
            if answer.is_accepted
            else "no"
            if answer.distance is not None
            else "not assessable",
            "" if answer.distance is None else f"{answer.distance:.4f}",
            "" if answer.p_value is None else f"{answer.p_value:.3g}",
            answer.reason if answer.distance is None else "",
        )
        for answer in answers
    ]
    print_table(("probe", f"{label}?", "distance", "p", ""), rows, right="distance p")
    if threshold is not None:
        click.echo(f"\nthreshold: {told_threshold(threshold)}")
