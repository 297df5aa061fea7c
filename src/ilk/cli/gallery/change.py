"""`ilk gallery rename`, `merge`, `split`, `reassign`, `remove` and `undo`."""

from __future__ import annotations

from pathlib import Path

import click

from ilk.cli.galleries import (
    actor_option,
    exemplars_option,
    gallery_argument,
    json_option,
    tell_change,
)

__all__ = ["merge", "reassign", "remove", "rename", "split", "undo"]


@click.command()
@gallery_argument
@click.argument("label")
@click.argument("new")
@actor_option
@json_option
def rename(gallery: Path, label: str, new: str, actor: str | None, as_json: bool) -> None:
    """Give class LABEL the label NEW, which no class has."""
    from ilk.gallery import Gallery

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.rename(label, new)
        tell_change(opened, change, f"{label!r} is {new!r} now", as_json=as_json)


@click.command()
@gallery_argument
@click.argument("label")
@click.argument("into")
@actor_option
@json_option
def merge(gallery: Path, label: str, into: str, actor: str | None, as_json: bool) -> None:
    """Make the exemplars of class LABEL those of class INTO."""
    from ilk.gallery import Gallery

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.merge(label, into)
        tell_change(opened, change, f"{label!r} is part of {into!r} now", as_json=as_json)


@click.command()
@gallery_argument
@click.argument("label")
@click.argument("new")
@exemplars_option(required=True)
@actor_option
@json_option
def split(
    gallery: Path, label: str, new: str, exemplars: list[int], actor: str | None, as_json: bool
) -> None:
    """Make some exemplars of class LABEL a new class NEW."""
    from ilk.gallery import Gallery
    from ilk.words import counted

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.split(label, exemplars, new)
        told = f"{counted(len(set(exemplars)), 'exemplar')} of {label!r}: a class {new!r} now"
        tell_change(opened, change, told, as_json=as_json)


@click.command()
@gallery_argument
@click.argument("label")
@exemplars_option(required=True)
@actor_option
@json_option
def reassign(
    gallery: Path, label: str, exemplars: list[int], actor: str | None, as_json: bool
) -> None:
    """Move exemplars to class LABEL, which is there."""
    from ilk.gallery import Gallery
    from ilk.words import counted

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.reassign(exemplars, label)
        told = f"{counted(len(set(exemplars)), 'exemplar')} moved to {label!r}"
        tell_change(opened, change, told, as_json=as_json)


@click.command()
@gallery_argument
@click.argument("label", required=False)
@exemplars_option()
@actor_option
@json_option
def remove(
    gallery: Path, label: str | None, exemplars: list[int], actor: str | None, as_json: bool
) -> None:
    """Take class LABEL out, or single exemplars; `undo` brings them back.

    To delete for good, use `ilk gallery erase`.
    """
    from ilk.gallery import Gallery
    from ilk.words import counted

    if (label is None) == (not exemplars):
        raise click.UsageError("Give a LABEL or --exemplar, one of the two.")
    with Gallery.open(gallery, actor=actor) as opened:
        if label is not None:
            change, told = opened.remove(label), f"took out {label!r}"
        else:
            change = opened.remove_exemplars(exemplars)
            told = f"took out {counted(len(set(exemplars)), 'exemplar')}"
        tell_change(opened, change, told, as_json=as_json)


@click.command()
@gallery_argument
@click.argument("change", type=click.IntRange(min=1), required=False)
@actor_option
@json_option
def undo(gallery: Path, change: int | None, actor: str | None, as_json: bool) -> None:
    """Undo CHANGE, or all of the latest command that is not undone.

    `ilk gallery history` lists the changes. An undo is a change too, and can be undone. Where the
    latest command is final, as erasing and migrating are, CHANGE must be given.
    """
    from ilk.cli.documents import print_document
    from ilk.documents import change_rows
    from ilk.gallery import Gallery

    with Gallery.open(gallery, actor=actor) as opened:
        undone = opened.undo_call() if change is None else [opened.undo(change)]
    if as_json:
        print_document("gallery.undone", changes=change_rows(undone))
        return
    for row in undone:
        click.echo(f"undid change {row.id}: {row.action} of {row.time[:19]} by {row.actor}")
