"""`ilk gallery list` and `show`: look without changing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import gallery_argument, json_option

if TYPE_CHECKING:
    from ilk.store import ExemplarRow, Reader

__all__ = ["list_classes", "show"]


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
    from ilk.cache_folder import make_private
    from ilk.whole_file import write_private

    make_private(folder)
    written = {}
    for row in rows:
        crop = reader.crop(row.id) if row.has_crop else None
        if crop is not None:
            path = folder / f"{row.id}.webp"
            write_private(path, crop)
            written[row.id] = str(path)
    return written
