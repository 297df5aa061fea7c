"""`ilk demo faces`: a gallery of people from a folder of photographs, and the page for it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.items import Items
    from ilk.recognizer import Recognizer
    from ilk.results import Enrollment

__all__ = ["faces"]

_NUM_NAMED = 20


@click.command()
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with a folder of photographs per person. Default: drawn people.",
)
@click.option(
    "--strangers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Photographs of people who are not enrolled, to calibrate with; best a folder per person.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-faces"),
    show_default=True,
    help="The folder to write to.",
)
@click.option("--keep-crops", is_flag=True, help="Keep a small picture of each face, to look at.")
@choice_option("only")
@click.option("--no-page", is_flag=True, help="Build the gallery, and open no page.")
@click.option("--no-browser", is_flag=True, help="Print the page's address, and open no browser.")
@click.option(
    "--port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port of the page; 0 takes any free one.",
)
def faces(
    photos: Path | None,
    strangers: Path | None,
    output: Path,
    keep_crops: bool,
    choice: Choice,
    no_page: bool,
    no_browser: bool,
    port: int,
) -> None:
    """Enroll people from photographs, then ask who is in a picture or before the camera.

    Builds a gallery in the output folder and opens its page on this machine. Enroll people who have
    agreed to it. Without --photos it enrolls drawn people and meets strangers, all offline.
    """
    from ilk.cli.serve import open_page
    from ilk.face_demo import open_gallery

    if photos is None and (strangers is not None or keep_crops or choice == "largest"):
        raise click.UsageError("--strangers, --keep-crops and --largest go with --photos.")
    others = None if strangers is None else _open_strangers(strangers)
    location = output / ("drawn.gallery" if photos is None else "people.gallery")
    with open_gallery(location, tell=click.echo) as recognizer:
        if photos is None:
            _drawn(recognizer, output)
        else:
            _enroll(recognizer, photos, choice, keep_crops)
            _calibrate(recognizer, others)
            _health(recognizer, location)
        _next(location, photos is None)
        if not no_page:
            open_page(recognizer, port=port, no_browser=no_browser, keep_crops=keep_crops)


def _enroll(recognizer: Recognizer, photos: Path, choice: Choice, keep_crops: bool) -> None:
    from ilk.datasets import open_source
    from ilk.errors import DataError
    from ilk.words import counted

    items = open_source(photos, on_unreadable="skip")
    click.echo(
        f"looking for the faces of {counted(len(items.classes), 'person', 'people')} in "
        f"{counted(len(items), 'photograph')}"
    )
    with progress_bar() as progress:
        answers = recognizer.enroll(
            items,
            choice=choice,
            keep_crops=keep_crops,
            progress=lambda done, of: progress("Enrolling", done, of),
        )
    _tell_enrolled(answers)
    if not any(answer.exemplar_id is not None for answer in answers):
        raise DataError(f"expected photographs of faces in {photos}, but none could be enrolled")


def _tell_enrolled(answers: list[Enrollment]) -> None:
    from ilk.words import counted

    enrolled = [answer for answer in answers if answer.is_enrolled]
    there = [a for a in answers if not a.is_enrolled and a.exemplar_id is not None]
    refused = [a for a in answers if not a.is_enrolled and a.exemplar_id is None]
    people = {answer.label for answer in enrolled}
    click.echo(
        f"enrolled {counted(len(enrolled), 'photograph')} of "
        f"{counted(len(people), 'person', 'people')}"
        + (f"; {len(there):,} enrolled before" if there else "")
    )
    without = sorted({a.label for a in refused if a.label} - people - {a.label for a in there})
    if without:
        click.echo(f"not one photograph was enrolled of {', '.join(without[:_NUM_NAMED])}")
    warned = [answer for answer in enrolled if answer.reason]
    for title, group in (("not enrolled", refused), ("look at", warned)):
        for answer in group[:_NUM_NAMED]:
            click.echo(f"  {title}: {answer.name}: {answer.reason}")
        if len(group) > _NUM_NAMED:
            click.echo(f"  {title}: and {len(group) - _NUM_NAMED:,} more")
    several = sum(answer.code.startswith("several_") for answer in refused)
    if several:
        click.echo(
            f"{counted(several, 'photograph')} with several faces: run this again with --largest "
            "to take the largest face of each, or enroll them on the page, where you choose"
        )


def _open_strangers(folder: Path) -> Items:
    """Return photographs by person, or each of somebody else where there are no folders."""
    from ilk.datasets import open_source
    from ilk.datasets.files import open_files

    if any(path.is_dir() for path in folder.iterdir()):
        return open_source(folder, on_unreadable="skip")
    found = open_files([folder])
    return replace(found, items=tuple(replace(item, label=item.name) for item in found.items))


def _calibrate(recognizer: Recognizer, strangers: Items | None) -> None:
    from ilk.errors import NotCalibrated
    from ilk.face_demo import calibrate

    try:
        with progress_bar() as progress:
            told = calibrate(recognizer, strangers=strangers, progress=progress)
    except NotCalibrated as error:
        told = f"no names can be given yet: {error}"
    click.echo(told)


def _health(recognizer: Recognizer, location: Path) -> None:
    from ilk.shell import command_line

    found = recognizer.gallery.health(max_findings=3)
    for finding in found.findings:
        click.echo(f"  look at: {finding.reason}\n    {finding.command}")
    if sum(found.counts.values()) > len(found.findings):
        click.echo(f"  and more: {command_line('ilk gallery health', location)}")


def _drawn(recognizer: Recognizer, output: Path) -> None:
    from ilk.face_demo import go_to_party, meet_drawn_people
    from ilk.words import counted, percent

    started = time.perf_counter()
    with progress_bar() as progress:
        meeting = meet_drawn_people(recognizer, tell=click.echo, progress=progress)
    party = go_to_party(recognizer, output)
    shares, (named, (low, high)) = meeting.shares(), meeting.named_strangers()
    click.echo(
        f"\nof the enrolled, {shares['right']:.0%} of {len(meeting.mated)} pictures are named "
        f"rightly, {shares['wrong']:.0%} wrongly\n"
        f"of {counted(len(meeting.strangers), 'stranger')}, {named:.0%} get a name "
        f"(95 %: {low:.0%} to {high:.0%}; promised: at most "
        f"{percent(meeting.threshold.target_fpir)})\n"
        f"in the group picture {party.num_right} of {party.num_enrolled} enrolled people are named "
        f"rightly, {party.num_named} of {party.num_strangers} strangers get a name\n"
        "these are drawings: the figures say nothing about photographs of people\n\n"
        f"took {time.perf_counter() - started:.0f} s; look at {party.drawing}, and drop "
        f"{party.picture} on the page"
    )


def _next(location: Path, is_drawn: bool) -> None:
    from ilk.shell import command_line

    click.echo(f"open it again: {command_line('ilk serve', location)}")
    if is_drawn:
        click.echo("your own: ilk demo faces --photos DIR, with DIR/NAME/*.jpg")
    else:
        click.echo(f"erase somebody for good: {command_line('ilk gallery erase', location)} NAME")
