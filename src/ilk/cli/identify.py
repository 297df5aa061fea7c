"""`ilk identify GALLERY FILE...`: which class is it, or is it none that is enrolled?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.drawings import draw_option, plan_drawings, write_drawings
from ilk.cli.galleries import actor_option, gallery_argument, json_option, threads_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, detector_option, require_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ilk.detecting import Choice
    from ilk.items import Items
    from ilk.recognizer import Recognizer
    from ilk.results import Identification, PictureAnswer

__all__ = ["identify"]


@click.command()
@gallery_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--set", "as_set", is_flag=True, help="All FILEs show the same thing: give one answer."
)
@click.option(
    "--candidates",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the closest classes --json lists.",
)
@draw_option
@click.option(
    "--keep-unknown",
    is_flag=True,
    help="Keep unknown probes, for a person to look through with `ilk unknown list`.",
)
@click.option(
    "--keep-crops", is_flag=True, help="With --keep-unknown: keep a small picture of each, too."
)
@detector_option
@choice_option("all")
@threads_option
@actor_option
@json_option
def identify(
    gallery: Path,
    files: tuple[str, ...],
    as_set: bool,
    candidates: int,
    draw: Path | None,
    keep_unknown: bool,
    keep_crops: bool,
    detector: str | None,
    choice: Choice,
    num_threads: int | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Name the class of each picture, or say unknown.

    FILE is a picture, a folder of pictures or a pattern such as 'in/*.jpg'. The decision is
    "identified", "ambiguous" (two classes are close), "unknown" or "not_assessable" (it cannot be
    read, or nothing in it is good enough). The exit status is 0 whatever the decision, and 1 if
    none of the FILEs can be read.
    """
    from ilk.datasets.files import open_files
    from ilk.recognizer import Recognizer

    if as_set and (keep_unknown or draw is not None):
        what = "--keep-unknown keeps" if keep_unknown else "--draw shows"
        raise click.UsageError(f"{what} single probes; it does not go with --set.")
    if keep_crops and not keep_unknown:
        raise click.UsageError("--keep-crops goes with --keep-unknown.")
    items = open_files(files)
    targets = plan_drawings(draw, items.items) if draw is not None else None
    with Recognizer.open(
        gallery, detector=detector, num_threads=num_threads, actor=actor
    ) as recognizer:
        if as_set:
            one = _ask_set(recognizer, items, candidates, choice)
            _tell(recognizer, [], [], [one], as_json=as_json)
            return
        pictures = _ask(recognizer, items, candidates, choice, keep_unknown, keep_crops)
        drawn: list[Path | None] = [None] * len(pictures)
        if targets is not None:
            noun = recognizer.detector.noun
            of_items = pictures[: len(items)]
            drawn[: len(items)] = write_drawings(items.items, of_items, targets, noun)
        _tell(recognizer, pictures, drawn, [], as_json=as_json)


def _ask(
    recognizer: Recognizer,
    items: Items,
    num_candidates: int,
    choice: Choice,
    keep: bool,
    keep_crops: bool,
) -> list[PictureAnswer]:
    """Answer about each picture, then about each problem that the items came with."""
    from ilk.results import PictureAnswer

    with progress_bar(len(items)) as progress:

        def advance(done: int, of: int) -> None:
            progress("Embedding", done, of)

        pictures = recognizer.identify_pictures(
            items.items,
            num_candidates=num_candidates,
            choice=choice,
            keep_unknown=keep,
            keep_crops=keep_crops,
            progress=advance,
        )
    refused = [(_unreadable(p.reason, p.name), p.name) for p in items.problems]
    return pictures + [
        PictureAnswer(name=name, answers=(answer,), unknown_ids=(None,)) for answer, name in refused
    ]


def _ask_set(
    recognizer: Recognizer, items: Items, num_candidates: int, choice: Choice
) -> Identification:
    from ilk.unreadable import verify_readable

    answer = recognizer.identify_set(
        items.items,
        num_candidates=num_candidates,
        choice="only" if choice == "all" else choice,
        name=f"{len(items)} files",
    )
    if answer.decision == "not_assessable" and not len(verify_readable(items, "skip")):
        return _unreadable(answer.reason, answer.name)
    return answer


def _unreadable(reason: str, name: str) -> Identification:
    from dataclasses import replace

    from ilk.gallery.deciding import not_assessable

    return replace(not_assessable(reason, name), code="unreadable")


def _tell(
    recognizer: Recognizer,
    pictures: Sequence[PictureAnswer],
    drawn: Sequence[Path | None],
    others: Sequence[Identification],
    *,
    as_json: bool,
) -> None:
    """Print the answers about pictures, and those about no single one."""
    from ilk import documents
    from ilk.cli.documents import print_document

    gallery = recognizer.gallery
    pairs: list[tuple[Identification, int | None]] = [
        pair for p in pictures for pair in zip(p.answers, p.unknown_ids, strict=True)
    ]
    pairs += [(answer, None) for answer in others]
    answers = [answer for answer, _ in pairs]
    names = recognizer.names_behind(answers)
    if as_json:
        threshold = next((a.threshold for a in answers if a.threshold is not None), None)
        listed = documents.pictures(pictures)
        for facts, path in zip(listed, drawn, strict=True):
            facts["drawn"] = None if path is None else str(path)
        print_document(
            "identify",
            gallery=str(gallery.access.location),
            threshold=documents.threshold_facts(threshold),
            answers=[documents.identification(answer, names, kept) for answer, kept in pairs],
            pictures=listed,
        )
        require_readable(answers)
        return
    require_readable(answers)
    _print_answers(recognizer, pictures, answers, names)
    num_kept = sum(kept is not None for _, kept in pairs)
    if num_kept:
        from ilk.shell import command_line
        from ilk.words import counted

        look = command_line("ilk unknown list", gallery.access.location)
        click.echo(f"kept {counted(num_kept, 'unknown probe')}; look at them with `{look}`")
    for path in drawn:
        if path is not None:
            click.echo(f"drew {path}")


def _print_answers(
    recognizer: Recognizer,
    pictures: Sequence[PictureAnswer],
    answers: Sequence[Identification],
    names: dict[int, str],
) -> None:
    from ilk.cli.words import print_table
    from ilk.words import told_picture_promise, told_threshold

    noun = recognizer.detector.noun
    columns = ("answer", "distance", "p", "closest example")
    if recognizer.detector.is_whole or not pictures:
        rows = [(answer.name, *_row(answer, names)) for answer in answers]
        print_table(("probe", *columns), rows, right="distance p")
    else:
        places = [(p, at) for p in pictures for at in range(len(p.answers))]
        grouped = [
            (_only_first(p.name, at), _number(p, at), *_row(p.answers[at], names))
            for p, at in places
        ]
        print_table(("picture", noun, *columns), grouped, right=f"{noun} distance p")
    threshold = next((a.threshold for a in answers if a.threshold is not None), None)
    if threshold is not None:
        click.echo(f"\nthreshold: {told_threshold(threshold)}")
    fullest = max(pictures, key=lambda p: p.num_compared, default=None)
    if fullest is None or fullest.num_compared < 2 or fullest.most_false_names is None:
        return
    told = told_picture_promise(fullest.num_compared, fullest.most_false_names, noun)
    click.echo(f"{fullest.name}: {told}")


def _only_first(name: str, at: int) -> str:
    return "" if at else name


def _number(picture: PictureAnswer, at: int) -> str:
    """Return the number of a region, in reading order; nothing for the only one, or for none."""
    return str(at + 1) if len(picture.answers) > 1 else ""


def _row(answer: Identification, names: dict[int, str]) -> tuple[str, str, str, str]:
    if answer.decision == "not_assessable":
        return "not assessable", "", "", answer.reason
    said = answer.label if answer.label is not None else answer.decision
    if answer.decision == "ambiguous":
        said = "ambiguous: " + " or ".join(c.label for c in answer.candidates[:2])
    distance = "" if answer.distance is None else f"{answer.distance:.4f}"
    p_value = "" if answer.p_value is None else f"{answer.p_value:.3g}"
    if not answer.candidates:
        return said, distance, p_value, answer.reason
    closest = answer.candidates[0]
    example = next((names[i] for i in closest.exemplars if names.get(i)), "")
    of = f" ({closest.label})" if answer.label is None else ""
    return said, distance, p_value, example + of
