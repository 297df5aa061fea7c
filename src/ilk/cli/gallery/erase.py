"""`ilk gallery erase`: delete for good, from every file."""

from __future__ import annotations

from pathlib import Path

import click

from ilk.cli.galleries import (
    actor_option,
    exemplars_option,
    forget_erased,
    gallery_argument,
    json_option,
)

__all__ = ["erase"]


@click.command()
@gallery_argument
@click.argument("label", required=False)
@exemplars_option()
@click.option("--expired", is_flag=True, help="Exemplars whose retention date has come.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@actor_option
@json_option
def erase(
    gallery: Path,
    label: str | None,
    exemplars: list[int],
    expired: bool,
    yes: bool,
    actor: str | None,
    as_json: bool,
) -> None:
    """Delete class LABEL, exemplars, or what has expired, for good and from every file.

    Rows, crops, log contents, search keys and calibration rows go, and what ilk's cache remembers
    of them; the same bytes cannot be enrolled again. A receipt remains, which says how much and
    not whom. This cannot be undone.
    """
    from ilk.cli.documents import print_document
    from ilk.documents import receipt
    from ilk.gallery import Gallery
    from ilk.words import counted

    if (label is not None) + bool(exemplars) + expired != 1:
        raise click.UsageError("Give a LABEL, --exemplar or --expired, one of the three.")
    if label is not None:
        what = f"class {label!r} with all its exemplars"
    else:
        what = "all that has expired" if expired else counted(len(set(exemplars)), "exemplar")
    with Gallery.open(gallery, actor=actor) as opened:
        if not yes:
            click.confirm(f"Erase {what} for good?", abort=True, err=True)
        try:
            erased = opened.erase_expired() if expired else opened.erase(label, exemplars=exemplars)
        finally:
            forget_erased(opened)
    if as_json:
        told = receipt(erased) if erased is not None else None
        print_document("gallery.erased", receipt=told)
    elif erased is None:
        click.echo("nothing has expired")
    else:
        counts = (
            (erased.num_classes, "class", "classes"),
            (erased.num_exemplars, "exemplar", "exemplars"),
            (erased.num_unknowns, "unknown probe", "unknown probes"),
            (erased.num_strangers, "stranger", "strangers"),
        )
        gone = ", ".join(counted(n, one, many) for n, one, many in counts if n) or "nothing"
        touched = counted(erased.num_changes, "row of the history", "rows of the history")
        click.echo(f"erased {gone}; {touched} lost content")
        click.echo(f"receipt: change {erased.change_id}, {erased.time}, {erased.digest}")
