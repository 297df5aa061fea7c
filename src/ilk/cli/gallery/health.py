"""`ilk gallery health`: what is wrong, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import gallery_argument, json_option
from ilk.cli.output import echo_bold

if TYPE_CHECKING:
    from ilk.gallery.drift import Drift
    from ilk.gallery.findings import Health

__all__ = ["health"]

_TITLES = {
    "contradiction": "exemplars that are ruled out by their own content",
    "collision": "classes within the threshold of each other",
    "duplicate": "exemplars that are nearly the same",
    "outlier": "exemplars far from their class",
    "few": "classes with fewer than three exemplars",
    "wolf": "classes whose examples would be given the names of many others",
    "lamb": "classes whose name many others would be given",
    "goat": "classes whose own examples would not be recognised",
}


@click.command()
@gallery_argument
@click.option(
    "--show",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many findings of each kind to show.",
)
@json_option
def health(gallery: Path, show: int, as_json: bool) -> None:
    """Find what makes a gallery err, with a command for each finding.

    Nothing is changed. A removal or a merge is offered only where exemplars that are left out are
    answered as well or better with it; elsewhere the command shows the class. Read a command before
    you run it. Findings are reported and do not count as
    errors: the exit status is 0.
    """
    from ilk.cli.documents import print_document
    from ilk.cli.progress import progress_bar
    from ilk.documents import number
    from ilk.errors import NotCalibrated
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        with progress_bar() as progress:
            found = opened.health(
                max_findings=100 if as_json else show,
                progress=lambda done, of: progress("Looking", done, of),
            )
        try:
            drift = opened.drift()
        except NotCalibrated:
            drift = None
    if as_json:
        content = found.to_json()
        for name in ("threshold", "almost_zero"):
            content[name] = number(content[name])
        print_document("gallery.health", **content, drift=drift.to_json() if drift else None)
        return
    _print(found, drift)


def _print(found: Health, drift: Drift | None) -> None:
    from ilk.words import counted

    click.echo(
        f"{counted(found.num_classes, 'class', 'classes')}, "
        f"{counted(found.num_exemplars, 'exemplar')}"
    )
    for problem in found.problems:
        click.echo(f"DAMAGED: {problem}")
    for kind, title in _TITLES.items():
        findings = [finding for finding in found.findings if finding.kind == kind]
        if not findings:
            continue
        echo_bold(f"\n{title}: {found.counts[kind]:,}")
        for finding in findings:
            click.echo(f"  {finding.reason}\n    {finding.command}")
        if found.counts[kind] > len(findings):
            click.echo(f"  and {found.counts[kind] - len(findings):,} more (--show, --json)")
    if found.is_well:
        click.echo("nothing stands out")
    click.echo("")
    for note in found.notes:
        click.echo(f"note: {note}")
    if drift is not None:
        click.echo(f"drift: {drift.reason}")
