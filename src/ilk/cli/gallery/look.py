"""`ilk gallery list`, `show` and `history`: look without changing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import gallery_argument, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ilk.store import ChangeRow, Effect, ExemplarRow, Reader

__all__ = ["history", "list_classes", "show"]

_NOUNS = {
    "class": ("class", "classes"),
    "exemplar": ("exemplar", "exemplars"),
    "stranger": ("stranger", "strangers"),
    "unknown": ("unknown probe", "unknown probes"),
}
_NUM_NAMED = 3


@click.command("list")
@gallery_argument
@json_option
def list_classes(gallery: Path, as_json: bool) -> None:
    """List the classes, and how many exemplars each has."""
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_table
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        rows = opened.labels()
    if as_json:
        classes = [{"label": row.label, "num_exemplars": row.num_exemplars} for row in rows]
        print_document("gallery.classes", classes=classes)
        return
    shown = [(row.label, f"{row.num_exemplars:,}") for row in rows]
    print_table(("label", "exemplars"), shown, right="exemplars")


@click.command()
@gallery_argument
@click.argument("label", required=False)
@click.option(
    "--crops",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write kept crops to this folder, one WebP file per exemplar.",
)
@json_option
def show(gallery: Path, label: str | None, crops: Path | None, as_json: bool) -> None:
    """List the exemplars of a class, or all, with their ids and origins."""
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_table
    from ilk.documents import exemplar
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        rows = opened.exemplars(label)
        with opened.access.reading() as reader:
            labels = {row.id: row.label for row in reader.classes()}
            written = _write_crops(reader, rows, crops) if crops is not None else {}

    def label_of(row: ExemplarRow) -> str | None:
        return labels.get(row.class_id) if row.class_id is not None else None

    if as_json:
        listed = [{"label": label_of(row), **exemplar(row, written.get(row.id))} for row in rows]
        print_document("gallery.exemplars", exemplars=listed)
        return
    shown = [
        (
            row.id,
            label_of(row) or "",
            _ROLES.get(row.role, row.role),
            row.time[:19],
            row.expires or "",
            "yes" if row.has_crop else "",
            written.get(row.id, row.name),
        )
        for row in rows
    ]
    print_table(
        ("id", "label", "role", "enrolled (UTC)", "expires", "crop", "path"), shown, right="id"
    )


_ROLES = {"not": "is not", "ignore": "ignore"}


def _write_crops(reader: Reader, rows: list[ExemplarRow], folder: Path) -> dict[int, str]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for row in rows:
        crop = reader.crop(row.id) if row.has_crop else None
        if crop is not None:
            path = folder / f"{row.id}.webp"
            path.write_bytes(crop)
            written[row.id] = str(path)
    return written


@click.command()
@gallery_argument
@click.option(
    "--last",
    default=20,
    show_default=True,
    help="How many of the last changes to list; -1 for all.",
)
@json_option
def history(gallery: Path, last: int, as_json: bool) -> None:
    """List the changes, oldest first: when, who and what."""
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_table
    from ilk.documents import change_rows
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        changes = opened.history(last=None if last < 0 else last)
        with opened.access.reading() as reader:
            labels = {row.id: row.label for row in reader.classes(is_live=None)}
    if as_json:
        print_document("gallery.history", changes=change_rows(changes))
        return
    shown = [
        (change.id, change.time[:19], change.actor, change.action, _what(change, labels))
        for change in changes
    ]
    print_table(("change", "time (UTC)", "who", "action", "what"), shown, right="change")


def _what(change: ChangeRow, labels: Mapping[int, str]) -> str:
    """Return a change in words."""
    words = [f"change {change.undoes} undone"] if change.undoes is not None else []
    words += [_effect(effect, labels) for effect in change.effects]
    if change.is_erased:
        words.append("erased in part")
    return ", ".join(words)


def _effect(effect: Effect, labels: Mapping[int, str]) -> str:
    from ilk.words import counted

    if effect.table == "setting":
        return f"{effect.field.replace('_', ' ')} {effect.before} to {effect.after}"
    num_rows = sum(last - first + 1 for first, last in effect.rows)
    told = counted(num_rows, *_NOUNS[effect.table])
    if effect.table == "class":
        ids = [i for first, last in effect.rows for i in range(first, last + 1)]
        named = ", ".join(repr(labels[i]) for i in ids[:_NUM_NAMED] if i in labels)
        told += f" ({named}{', ...' if len(ids) > _NUM_NAMED else ''})" if named else ""
    if effect.field == "is_live":
        return f"{told} {'in' if effect.after else 'out'}"
    if effect.field == "class_id":
        before, after = (labels.get(i, "none") for i in (effect.before, effect.after))
        return f"{told} from {before!r} to {after!r}"
    return f"{effect.field} {effect.before!r} to {effect.after!r}"
