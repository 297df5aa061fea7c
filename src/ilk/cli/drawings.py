"""`--draw OUT`: where drawings go, checked before the work, and written after it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ilk.items import Item
    from ilk.results import PictureAnswer

__all__ = ["draw_option", "plan_drawings", "write_drawings"]

draw_option = click.option(
    "--draw",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Write each picture with boxes, names and distances to OUT: a .png file or, for several "
    "pictures, a folder.",
)
"""Add --draw, None without it."""


def plan_drawings(output: Path, items: Sequence[Item]) -> list[Path]:
    """Return the file to draw each picture to; folders are made.

    Raises:
        DataError: Nothing can be written there, or it would replace one of the pictures.
    """
    from ilk.errors import DataError

    if not items:
        return []
    if len(items) > 1 or output.is_dir():
        if output.suffix.lower() == ".png" and not output.is_dir():
            raise DataError(
                f"expected a folder for the drawings of {len(items)} pictures, got {output}; give "
                "a name without .png"
            )
        targets = _named(output, items)
        _make(output)
    elif output.suffix.lower() != ".png":
        raise DataError(
            f"expected a .png file or an existing folder for the drawing, got {output}; name it "
            f"{output.with_suffix('.png').name}"
        )
    else:
        targets = [output]
    pictures = {key: item.name for item in items for key in _file_keys(item.source)}
    for target in targets:
        for key in _file_keys(target):
            if key in pictures:
                raise DataError(
                    f"the drawing {target} would replace the picture {pictures[key]}; draw "
                    "elsewhere"
                )
    _require_writable(targets[0].parent)
    return targets


def write_drawings(
    items: Sequence[Item], pictures: Sequence[PictureAnswer], targets: Sequence[Path], noun: str
) -> list[Path | None]:
    """Draw what was answered about each picture; None for one that cannot be read.

    Raises:
        OSError: A drawing cannot be written.
    """
    from ilk.drawing import draw_answers, write_drawing
    from ilk.errors import UnreadableItem
    from ilk.images import read_image

    drawn: list[Path | None] = []
    for item, picture, target in zip(items, pictures, targets, strict=True):
        try:
            image = read_image(item.source, name=item.name)
        except UnreadableItem:
            drawn.append(None)
            continue
        title = Path(item.name).name  # drawings are shown around, folders need not be
        write_drawing(draw_answers(image, picture, title=title, noun=noun), target)
        drawn.append(target)
    return drawn


def _named(folder: Path, items: Sequence[Item]) -> list[Path]:
    """Return a file per picture, called as that is; what is called alike gets its folder, too."""
    taken: set[str] = set()
    targets = []
    for item in items:
        path = Path(item.name)
        names = [path.stem, f"{path.parent.name} {path.stem}".strip()]
        names += [f"{names[1]} {number}" for number in range(2, len(items) + 2)]
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        targets.append(folder / f"{name}.png")
    return targets


def _file_keys(source: object) -> list[object]:
    """Return what a file is known by: its path, and its number on the disk if it is there."""
    if not isinstance(source, Path):
        return []
    keys: list[object] = [str(source.resolve())]
    try:
        status = source.stat()
    except OSError:
        return keys
    return [*keys, (status.st_dev, status.st_ino)]


def _make(folder: Path) -> None:
    from ilk.cache_folder import make_private
    from ilk.errors import DataError

    try:
        make_private(folder)
    except OSError as error:
        raise DataError(
            f"the folder {folder} for drawings cannot be made: {error.strerror or error}"
        ) from None


def _require_writable(folder: Path) -> None:
    """Find out before the work."""
    from ilk.errors import DataError

    if not folder.is_dir():
        raise DataError(
            f"expected a folder for the drawing, but {folder} does not exist; make it first"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"drawings cannot be written to {folder}: {why}") from None
