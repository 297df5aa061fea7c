"""`ilk gallery erase`, `expire` and `allow`: delete for good, on time, or allow it again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import (
    actor_option,
    exemplars_option,
    gallery_argument,
    json_option,
    tell_change,
)
from ilk.cli.sources import detector_option

if TYPE_CHECKING:
    from ilk.gallery.erasing import Moved
    from ilk.store import Erased

__all__ = ["allow", "erase", "expire"]


@click.command()
@gallery_argument
@click.argument("label", required=False)
@exemplars_option()
@click.option("--expired", is_flag=True, help="Erase all exemplars whose retention date has come.")
@click.option(
    "--moved",
    type=click.Choice(["refuse", "erase", "keep"]),
    default="refuse",
    show_default=True,
    help="What to do if exemplars of LABEL were merged into another class, or moved there.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@actor_option
@json_option
def erase(
    gallery: Path,
    label: str | None,
    exemplars: list[int],
    expired: bool,
    moved: Moved,
    yes: bool,
    actor: str | None,
    as_json: bool,
) -> None:
    """Erase a class, exemplars or what has expired, for good.

    Embeddings, crops, calibration rows and traces in the history are deleted from every file of the
    gallery, and from ilk's caches; the same bytes cannot be enrolled again. This cannot be undone.
    A receipt remains, which says how much was erased but not who, and names what ilk cannot reach.
    """
    from ilk.gallery import Gallery
    from ilk.words import counted

    if (label is not None) + bool(exemplars) + expired != 1:
        raise click.UsageError("Give one of LABEL, --exemplar and --expired.")
    if label is not None:
        what = f"class {label!r} with all its exemplars"
    else:
        what = "all that has expired" if expired else counted(len(set(exemplars)), "exemplar")
    with Gallery.open(gallery, actor=actor) as opened:
        if not yes:
            click.confirm(f"Erase {what} for good?", abort=True, err=True)
        if expired:
            erased = opened.erase_expired()
        else:
            erased = opened.erase(label, exemplars=exemplars, moved=moved)
    _tell(erased, as_json=as_json)


def _tell(erased: Erased | None, *, as_json: bool) -> None:
    from ilk.cli.documents import print_document
    from ilk.documents import NOT_REACHED, receipt
    from ilk.words import counted

    if as_json:
        told = receipt(erased) if erased is not None else None
        print_document("gallery.erased", receipt=told)
        return
    if erased is None:
        click.echo("nothing has expired")
        return
    counts = (
        (erased.num_classes, "class", "classes"),
        (erased.num_exemplars, "exemplar", "exemplars"),
        (erased.num_unknowns, "unknown probe", "unknown probes"),
        (erased.num_strangers, "stranger", "strangers"),
    )
    gone = ", ".join(counted(n, one, many) for n, one, many in counts if n) or "nothing"
    touched = counted(erased.num_changes, "change", "changes")
    click.echo(f"erased {gone}, and their traces in {touched} of the history")
    click.echo(f"receipt: change {erased.change_id}, {erased.time}, {erased.digest}")
    click.echo(f"out of reach, so look there yourself: {'; '.join(NOT_REACHED)}")


@click.command()
@gallery_argument
@click.argument("label", required=False)
@exemplars_option()
@click.option(
    "--on",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The day from which the exemplars may no longer be kept.",
)
@click.option("--never", is_flag=True, help="Keep the exemplars without an end.")
@actor_option
@json_option
def expire(
    gallery: Path,
    label: str | None,
    exemplars: list[int],
    on: datetime | None,
    never: bool,
    actor: str | None,
    as_json: bool,
) -> None:
    """Erase what has expired, or set when exemplars do.

    Opening a gallery erases what has expired, and a process that keeps one open does so as each day
    begins, in UTC. Run this daily if nobody may open the gallery for a while. With LABEL or
    --exemplar, it sets their date instead.
    """
    from ilk.gallery import Gallery

    is_named = label is not None or bool(exemplars)
    if is_named != (on is not None or never) or (on is not None and never):
        raise click.UsageError("To set a date give a LABEL or --exemplar, and --on or --never.")
    with Gallery.open(gallery, actor=actor) as opened:
        if not is_named:
            _tell(opened.erase_expired(), as_json=as_json)
            return
        day = on.date() if on is not None else None
        change = opened.set_expiry(day, label, exemplars=exemplars)
        when = f"expire on {day}" if day is not None else "do not expire"
        what = f"the exemplars of {label!r}" if label is not None else "these exemplars"
        tell_change(opened, change, f"{what} {when}", as_json=as_json)


@click.command()
@gallery_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@detector_option
@actor_option
@json_option
def allow(
    gallery: Path, files: tuple[str, ...], detector: str | None, actor: str | None, as_json: bool
) -> None:
    """Let erased content be enrolled again.

    This is for renewed consent. FILE is a picture, a folder or a pattern. Nothing is enrolled yet;
    the history says who allowed it, and when.
    """
    from ilk.cli.documents import print_document
    from ilk.datasets.files import open_files
    from ilk.detecting import crops_of, open_detector
    from ilk.gallery import Gallery
    from ilk.words import counted

    items = open_files(files)
    with Gallery.open(gallery, actor=actor) as opened:
        artifact = opened.binding.artifact
        expected = artifact.detector if artifact is not None else None
        crops = crops_of(open_detector(detector or expected), items, "all")
        contents = {item.content_hash() for item in (*items.items, *crops.items)}
        count = opened.allow(sorted(contents))
    if as_json:
        print_document("gallery.allowed", num_contents=count)
    elif count:
        click.echo(f"{counted(count, 'erased picture')} may be enrolled again")
    else:
        click.echo("none of it was erased; nothing was changed")
