"""Sources of labelled items: folders, tables and data sets by name, behind one door."""

from __future__ import annotations

from pathlib import Path

from ilk.doors import door
from ilk.errors import DataError, PluginError
from ilk.items import Items
from ilk.picture_formats import NAMES
from ilk.unreadable import OnUnreadable, stop_or_skip

__all__ = ["open_source"]

_TABLES = {".csv", ".tsv", ".parquet"}


@door
def open_source(source: str | Path | Items, *, on_unreadable: OnUnreadable = "stop") -> Items:
    """List the labelled items of a source; nothing is decoded yet.

    Args:
        source: One of
            - a folder: the class of a picture is its parent folder (`datasets.folder`);
            - a .csv, .tsv or .parquet file: one row per item (`datasets.table`);
            - NAME, NAME:PART or NAME:PART@FOLDER: a data set that is installed as a plugin, such
              as "glyphs:test" or "omniglot:train@downloads/omniglot". What exists as a file or
              folder wins over a name; so does anything with a slash before the first colon;
            - items, which come back as they are.
        on_unreadable: What to do about files that are missing, empty or out of place: "stop" or
            "skip". They are listed in `Items.problems` if skipped.

    Raises:
        DataError: There is no such source, it holds no items, or it holds some that cannot be
            used and `on_unreadable` is "stop".
        PluginError: No data set has that name.

    Example:
        >>> open_source("no/such/folder")
        Traceback (most recent call last):
        ...
        ilk.errors.DataError: no/such/folder: no such file or folder
    """
    if isinstance(source, Items):
        return stop_or_skip(source.with_clean_labels(), on_unreadable)
    items = _listed(source).with_clean_labels()
    if not items.items and not items.problems:
        raise DataError(f"{source}: expected labelled items, {_what_is_there(source)}")
    items = stop_or_skip(items, on_unreadable)
    if not items.items:
        first = items.problems[0]
        count = len(items.problems)
        raise DataError(
            f"{source}: none of its {count} items can be used; {first.name}: {first.reason}"
        )
    return items


def _what_is_there(source: str | Path) -> str:
    from ilk.datasets.folder import endings_in

    endings = endings_in(Path(source))
    return f"found no picture, but {endings}; a picture is a {NAMES}" if endings else "found none"


def _listed(source: str | Path) -> Items:
    path = Path(source)
    if path.is_dir():
        from ilk.datasets.folder import read_folder

        return read_folder(path)
    if path.is_file():
        if path.suffix.lower() not in _TABLES:
            raise DataError(
                f"{source}: expected a folder or a table ({', '.join(sorted(_TABLES))}), "
                f"got a {path.suffix or 'nameless'} file"
            )
        from ilk.datasets.table import read_table

        return read_table(path)
    return _named(str(source))


def _named(source: str) -> Items:
    """Ask the plugin that NAME, NAME:PART or NAME:PART@FOLDER names."""
    from ilk import plugins

    what, _, root = source.partition("@")
    name, _, part = what.partition(":")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise DataError(f"{source}: no such file or folder")
    try:
        make = plugins.load("datasets", name)
    except PluginError as error:
        raise PluginError(f"{source}: no such file or folder, and {error}") from None
    items = make(part or None, root=root) if root else make(part or None)
    if not isinstance(items, Items):
        raise PluginError(f"data set {name!r} returned {type(items).__name__}, expected Items")
    return items
