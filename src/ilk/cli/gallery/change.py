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
    """Rename a class.

    Class LABEL gets the label NEW, which no class may have yet.
    """
    from ilk.gallery import Gallery

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.rename(label, new)
        tell_change(opened, change, f"renamed {label!r} to {new!r}", as_json=as_json)


@click.command()
@gallery_argument
@click.argument("label")
@click.argument("into")
@actor_option
@json_option
def merge(gallery: Path, label: str, into: str, actor: str | None, as_json: bool) -> None:
    """Merge a class into another.

    The exemplars of class LABEL become exemplars of class INTO.
    """
    from ilk.gallery import Gallery

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.merge(label, into)
        tell_change(opened, change, f"merged {label!r} into {into!r}", as_json=as_json)


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
    """Make some exemplars of a class a new class.

    They leave class LABEL and become class NEW.
    """
    from ilk.gallery import Gallery
    from ilk.words import counted

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.split(label, exemplars, new)
        told = f"{counted(len(set(exemplars)), 'exemplar')} of {label!r} split off as {new!r}"
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
    """Move exemplars to another class.

    LABEL is a class that exists already.
    """
    from ilk.gallery import Gallery
    from ilk.words import counted

    with Gallery.open(gallery, actor=actor) as opened:
        change = opened.reassign(exemplars, label)
        told = f"moved {counted(len(set(exemplars)), 'exemplar')} to {label!r}"
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
    """Remove a class or exemplars; `ilk gallery undo` brings them back.

    To delete for good, use `ilk gallery erase`.
    """
    from ilk.gallery import Gallery
    from ilk.words import counted

    if (label is None) == (not exemplars):
        raise click.UsageError("Give either LABEL or --exemplar.")
    with Gallery.open(gallery, actor=actor) as opened:
        if label is not None:
            change, told = opened.remove(label), f"removed {label!r}"
        else:
            change = opened.remove_exemplars(exemplars)
            told = f"removed {counted(len(set(exemplars)), 'exemplar')}"
        tell_change(opened, change, told, as_json=as_json)


@click.command()
@gallery_argument
@click.argument("change", type=click.IntRange(1, (1 << 63) - 1), required=False)
@actor_option
@json_option
def undo(gallery: Path, change: int | None, actor: str | None, as_json: bool) -> None:
    """Undo the latest command, or a given change.

    `ilk gallery history` lists the changes. An undo is a change itself, and can be undone. If the
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
