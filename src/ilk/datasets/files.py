"""Pictures by name: files, folders of files and patterns, as a person types them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

from ilk.datasets.folder import endings_in, list_pictures
from ilk.items import Item, Items, Problem

__all__ = ["open_files"]


def open_files(names: Iterable[str | Path], label: str = "") -> Items:
    """Return the pictures that are named, each once, in the order of the names.

    Args:
        names: Of each a file; a folder, of which every picture below it is taken; or a pattern
            with `*`, `?` or `[`, and `**` for any folders, which gives its files by path. What is
            there under exactly this name is no pattern.
        label: Of all of them.

    Returns:
        Items named by their path. What is named and is not there is an item too, which cannot be
        read; a pattern or folder without any picture is a problem, and so is what a folder holds
        that cannot be used.

    Example:
        >>> [item.name for item in open_files(["no such.png"]).items]
        ['no such.png']
    """
    items: dict[Path, Item] = {}
    problems: list[Problem] = []
    for name in names:
        found = list(_found(Path(name)))
        if not found:
            there = endings_in(Path(name))
            told = f"there is no picture here{f', but {there}' if there else ''}"
            problems.append(Problem(str(name), told))
        for path, reason in found:
            if reason is None:
                items.setdefault(path, Item(path, label, str(path)))
            else:
                problems.append(Problem(str(path), reason))
    return Items(tuple(items.values()), tuple(problems), origin="files")


def _found(path: Path) -> Iterator[tuple[Path, str | None]]:
    if path.is_dir():
        yield from list_pictures(path)
    elif path.exists() or not has_magic(str(path)):
        yield path, None
    else:
        for match in sorted(glob(str(path), recursive=True)):
            if Path(match).is_file():
                yield Path(match), None
