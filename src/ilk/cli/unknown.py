"""`ilk unknown`: look through kept unknown probes, name them or discard them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import (
    actor_option,
    gallery_argument,
    ids_argument,
    json_option,
    tell_change,
)
from ilk.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from ilk.gallery import Gallery
    from ilk.gallery.inbox import Proposal

__all__ = ["discard", "list_unknowns", "name", "unknown"]

_HERE = "ilk.cli.unknown"


@click.group(
    cls=LazyGroup,
    lazy={
        "list": (
            f"{_HERE}:list_unknowns",
            "List kept unknown probes, in clusters that may each be one class.",
        ),
        "name": (f"{_HERE}:name", "Enroll kept unknown probes under a label."),
        "discard": (
            f"{_HERE}:discard",
            "Discard kept unknown probes; `ilk gallery undo` brings them back.",
        ),
    },
)
def unknown() -> None:
    """Look through unknown probes that were kept, and name them.

    `ilk identify --keep-unknown` keeps them. They take no part in decisions until they are named.
    """


@click.command("list")
@gallery_argument
@click.option(
    "--crops",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write kept crops to this folder, one WebP file per probe.",
)
@json_option
def list_unknowns(gallery: Path, crops: Path | None, as_json: bool) -> None:
    """List kept unknown probes, in clusters that may each be one class.

    The largest cluster comes first.
    """
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_table
    from ilk.documents import number
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        proposals = opened.proposals()
        rows = {row.id: row for row in opened.unknowns()}
        written = _write_crops(opened, proposals, crops) if crops is not None else {}
    if as_json:
        clusters = [
            {
                "probes": [
                    {
                        "id": i,
                        "name": probe,
                        "time": rows[i].time if i in rows else None,
                        "crop": written.get(i),
                    }
                    for i, probe in zip(proposal.ids, proposal.names, strict=True)
                ],
                "middle": proposal.middle,
                "diameter": number(proposal.diameter),
                "closest_label": proposal.closest_label,
                "closest_distance": number(proposal.closest_distance),
                "command": proposal.command,
            }
            for proposal in proposals
        ]
        print_document("unknowns", clusters=clusters)
        return
    if not proposals:
        click.echo("no unknown probes are kept; `ilk identify --keep-unknown` keeps them")
        return
    shown = [
        (
            at if i == proposal.ids[0] else "",
            i,
            written.get(i, probe),
            _closest(proposal) if i == proposal.ids[0] else "",
        )
        for at, proposal in enumerate(proposals, 1)
        for i, probe in zip(proposal.ids, proposal.names, strict=True)
    ]
    print_table(("cluster", "id", "path", "closest class"), shown, right="cluster id")
    click.echo(f"\nname the first: {proposals[0].command}")


def _closest(proposal: Proposal) -> str:
    if proposal.closest_distance is None:
        return ""
    return f"{proposal.closest_label} at {proposal.closest_distance:.4f}"


def _write_crops(gallery: Gallery, proposals: list[Proposal], folder: Path) -> dict[int, str]:
    from ilk.cache_folder import make_private
    from ilk.whole_file import write_private

    make_private(folder)
    written = {}
    with gallery.access.reading() as reader:
        for i in (i for proposal in proposals for i in proposal.ids):
            crop = reader.unknown_crop(i)
            if crop is not None:
                path = folder / f"{i}.webp"
                write_private(path, crop)
                written[i] = str(path)
    return written


@click.command()
@gallery_argument
@click.argument("label")
@ids_argument
@click.option("--strict", is_flag=True, help="Refuse probes that are closer to another class.")
@actor_option
@json_option
def name(
    gallery: Path,
    label: str,
    ids: list[int],
    strict: bool,
    actor: str | None,
    as_json: bool,
) -> None:
    """Enroll kept unknown probes under a label.

    They become exemplars of class LABEL, which is made if there is none. An ID is a number such as
    7, or several such as 3,5-8, as `ilk unknown list` shows them.
    """
    from ilk.cli.documents import print_document
    from ilk.documents import enrollment
    from ilk.gallery import Gallery
    from ilk.words import counted

    with Gallery.open(gallery, actor=actor) as opened:
        answers = opened.name_unknowns(ids, label, guard="refuse" if strict else "warn")
    if as_json:
        print_document("unknowns.named", answers=[enrollment(answer) for answer in answers])
        return
    num_enrolled = sum(answer.is_enrolled for answer in answers)
    click.echo(f"enrolled {counted(num_enrolled, 'exemplar')} of {label!r}")
    for answer in answers:
        if answer.reason:
            title = "look at" if answer.is_enrolled else "not enrolled"
            click.echo(f"{title}: {answer.name}: {answer.reason}", err=True)


@click.command()
@gallery_argument
@ids_argument
@actor_option
@json_option
def discard(gallery: Path, ids: list[int], actor: str | None, as_json: bool) -> None:
    """Discard kept unknown probes; `ilk gallery undo` brings them back."""
    from ilk.gallery import Gallery
    from ilk.words import counted

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.discard_unknowns(ids)
        told = f"discarded {counted(len(set(ids)), 'unknown probe')}"
        tell_change(opened, change, told, as_json=as_json)
