"""`ilk identify GALLERY FILE...`: which class is it, or is it none that is enrolled?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import actor_option, gallery_argument, json_option, threads_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, detector_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ilk.detecting import Choice
    from ilk.gallery import Gallery
    from ilk.items import Items
    from ilk.recognizer import Recognizer
    from ilk.results import Identification

__all__ = ["identify"]


@click.command()
@gallery_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--set", "as_set", is_flag=True, help="All FILEs show one thing: one answer.")
@click.option(
    "--candidates",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the closest classes to give with --json.",
)
@click.option(
    "--keep-unknown", is_flag=True, help="Keep unknown probes for a person: `ilk unknown list`."
)
@click.option("--keep-crops", is_flag=True, help="Keep a small picture of each of these, too.")
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
    keep_unknown: bool,
    keep_crops: bool,
    detector: str | None,
    choice: Choice,
    num_threads: int | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Name the class of pictures, or say unknown.

    FILE is a picture, a folder of pictures or a pattern such as 'in/*.jpg'. The decision is
    "identified", "ambiguous" (two classes are close), "unknown" or "not_assessable" (it cannot be
    read). The exit status is 0 whatever it is.
    """
    from ilk.datasets.files import open_files
    from ilk.recognizer import Recognizer

    if as_set and keep_unknown:
        raise click.UsageError("--keep-unknown keeps single probes; leave out --set.")
    if keep_crops and not keep_unknown:
        raise click.UsageError("--keep-crops goes with --keep-unknown.")
    items = open_files(files)
    with Recognizer.open(
        gallery, detector=detector, num_threads=num_threads, actor=actor
    ) as recognizer:
        if as_set:
            told = f"{len(items)} files"
            one = recognizer.identify_set(
                items.items,
                num_candidates=candidates,
                choice="only" if choice == "all" else choice,
                name=told,
            )
            answers: list[tuple[Identification, int | None]] = [(one, None)]
        else:
            answers = _ask(recognizer, items, candidates, choice, keep_unknown, keep_crops)
        _tell(recognizer.gallery, answers, as_json=as_json)


def _ask(
    recognizer: Recognizer,
    items: Items,
    num_candidates: int,
    choice: Choice,
    keep: bool,
    keep_crops: bool,
) -> list[tuple[Identification, int | None]]:
    from ilk.gallery.deciding import not_assessable

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
    answers = [
        (answer, kept)
        for picture in pictures
        for answer, kept in zip(picture.answers, picture.unknown_ids, strict=True)
    ]
    return answers + [(not_assessable(p.reason, p.name), None) for p in items.problems]


def _tell(
    gallery: Gallery, answers: Sequence[tuple[Identification, int | None]], *, as_json: bool
) -> None:
    from ilk.cli.documents import identification, print_document, threshold_facts

    names = _names(gallery, [answer for answer, _ in answers])
    threshold = next((a.threshold for a, _ in answers if a.threshold is not None), None)
    if as_json:
        listed = [identification(answer, names, kept) for answer, kept in answers]
        print_document(
            "identify",
            gallery=str(gallery.access.location),
            threshold=threshold_facts(threshold),
            answers=listed,
        )
        return
    from ilk.cli.words import print_table, told_threshold

    rows = [_row(answer, names) for answer, _ in answers]
    print_table(("probe", "answer", "distance", "p", "closest example"), rows, right="distance p")
    if threshold is not None:
        click.echo(f"\nthreshold: {told_threshold(threshold)}")
    num_kept = sum(kept is not None for _, kept in answers)
    if num_kept:
        from ilk.cli.words import counted
        from ilk.shell import command_line

        look = command_line("ilk unknown list", gallery.access.location)
        click.echo(f"kept {counted(num_kept, 'unknown probe')}; `{look}` shows them")


def _names(gallery: Gallery, answers: Sequence[Identification]) -> dict[int, str]:
    """Return what the exemplars behind the candidates are called: usually their paths."""
    ids = {i for answer in answers for c in answer.candidates for i in c.exemplars}
    with gallery.access.reading() as reader:
        return {row.id: row.name for row in reader.exemplars(ids=ids, is_live=None)}


def _row(answer: Identification, names: dict[int, str]) -> tuple[str, ...]:
    if answer.decision == "not_assessable":
        return answer.name, "not assessable", "", "", answer.reason
    said = answer.label if answer.label is not None else answer.decision
    if answer.decision == "ambiguous":
        said = "ambiguous: " + " or ".join(c.label for c in answer.candidates[:2])
    distance = "" if answer.distance is None else f"{answer.distance:.4f}"
    p_value = "" if answer.p_value is None else f"{answer.p_value:.3g}"
    if not answer.candidates:
        return answer.name, said, distance, p_value, answer.reason
    closest = answer.candidates[0]
    example = next((names[i] for i in closest.exemplars if names.get(i)), "")
    of = f" ({closest.label})" if answer.label is None else ""
    return answer.name, said, distance, p_value, example + of
