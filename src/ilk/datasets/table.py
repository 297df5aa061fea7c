"""A table of items: CSV, TSV or Parquet with `path,label` and optionally more.

    path,label,split,group,x1,y1,x2,y2
    img/1.jpg,left-pointing,train,burst 7,10,20,110,220

`path` is relative to the table's folder, or absolute; where there is no such file, backslashes are
taken for slashes, and accents in either Unicode form. `split` says which part of the data set an
item belongs to, `group` which items were made together, and the box is the region that counts, in
pixels of the picture as it is seen; all four corners or none. Other columns go with the items as
their metadata, by which `ilk evaluate --by` tells groups apart; columns without a name, two of one
name, and in Parquet nested ones and bytes are passed over. Text is UTF-8, with or without a
byte-order mark; spaces after a comma do not count; `ilk.labels` brings labels to their one form.
Numbers and dates of a Parquet file are what a person would write: 3, also in a column that a
missing value turned into floats.

A table that is not one (missing or doubled columns, another encoding, lists for labels) is refused
as a whole. A row that cannot be used is reported by its line: an empty path, a bad label or box, a
missing file, or a row that repeats another one's path and box.
"""

from __future__ import annotations

import csv
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ilk.datasets.folder import file_problem
from ilk.errors import DataError, InvalidInput, MissingExtra
from ilk.images import Box
from ilk.items import Item, Items, Problem
from ilk.labels import clean_label, text_of

__all__ = ["read_table"]

_REQUIRED = ("path", "label")
_CORNERS = ("x1", "y1", "x2", "y2")
_KNOWN = (*_REQUIRED, "split", "group", *_CORNERS)
_Row = tuple[str, Mapping[str, object]]
"""What errors call a row, and its cells by column; an empty cell is ""."""


class _BadRow(Exception):
    """Why a row cannot be used."""

    code = "unreadable"


class _BadLabel(_BadRow):
    """Why a row has no label: its path alone names it."""

    code = "label"


class _Conflict(_BadRow):
    """Which row has the same item under another label."""

    code = "conflict"


def read_table(path: Path) -> Items:
    """List the items of a .csv, .tsv or .parquet file in the order of its rows.

    Args:
        path: The table. Relative paths in it start at its folder.

    Returns:
        Items named by their path as it is written (with the line if a box makes several of one
        file), with the rows that cannot be used as problems.

    Raises:
        DataError: It is not a table with the columns `path` and `label`.
        MissingExtra: It is Parquet, and pyarrow is not installed.
        OSError: It cannot be opened.
    """
    is_parquet = path.suffix.lower() == ".parquet"
    items: list[Item] = []
    problems: list[Problem] = []
    first_seen: dict[tuple[Path, Box | None], tuple[str, str]] = {}
    for place, row in _parquet_rows(path) if is_parquet else _text_rows(path):
        try:
            item = _item(row, path.parent, place)
            key = (_source(item), item.box)
            if key in first_seen:
                raise _repeats(item, *first_seen[key])
            first_seen[key] = place, item.label
        except _BadLabel as error:
            problems.append(Problem(str(row["path"]), f"{error}, in {place}", error.code))
        except _BadRow as error:
            what = f"{place} ({row['path']})" if row.get("path") else place
            problems.append(Problem(what, str(error), error.code))
        else:
            items.append(item)
    return Items(tuple(items), tuple(problems), origin=str(path))


def _item(row: Mapping[str, object], folder: Path, place: str) -> Item:
    written, label = (_text(row, column) for column in _REQUIRED)
    for column, text in zip(_REQUIRED, (written, label), strict=True):
        if not text.strip():
            raise _BadRow(f"the {column} is empty")
    if "\0" in written:
        raise _BadRow("the path holds a null character")
    box = _box([_text(row, corner).strip() for corner in _CORNERS])
    source, reason = _found(folder, written)
    if reason is not None:
        raise _BadRow(reason)
    try:
        label = clean_label(label)
    except InvalidInput as error:
        raise _BadLabel(str(error)) from None
    return Item(
        source,
        label,
        written if box is None else f"{written} ({place})",
        split=_text(row, "split"),
        group=_text(row, "group"),
        box=box,
        metadata={name: _plain(row[name]) for name in row if name and name not in _KNOWN},
    )


def _text(row: Mapping[str, object], column: str) -> str:
    """Return a cell as text; a column that is not there is empty."""
    cell = row.get(column, "")
    try:
        return cell.decode() if isinstance(cell, bytes) else text_of(cell)
    except (InvalidInput, UnicodeDecodeError) as error:
        raise _BadRow(f"the {column} cannot be read: {error}") from None


def _plain(cell: object) -> str:
    """Return a cell that decides nothing as text, whatever it is."""
    try:
        return text_of(cell).strip()
    except InvalidInput:
        return str(cell)


def _found(folder: Path, written: str) -> tuple[Path, str | None]:
    """Return the file that a path means, and why it cannot be read if it cannot."""
    source = folder / written
    if (reason := file_problem(source)) is None or os.path.lexists(source):
        return source, reason
    slashed = written.replace("\\", "/")
    for path in (slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))):
        if path != written and os.path.lexists(folder / path):
            return folder / path, file_problem(folder / path)
    if re.match(r"[A-Za-z]:[\\/]|\\\\", written):
        reason += "; this is a place on another machine: write it relative to the table"
    elif slashed != written:
        reason += f", nor {slashed}"
    return source, reason


def _source(item: Item) -> Path:
    if not isinstance(item.source, Path):
        raise TypeError("a table holds files")
    return item.source


def _repeats(item: Item, place: str, label: str) -> _BadRow:
    if item.label == label:
        return _BadRow(f"repeats {place}")
    return _Conflict(f"repeats {place} under another label, {item.label!r} instead of {label!r}")


def _box(corners: Sequence[str]) -> Box | None:
    if not any(corners):
        return None
    if not all(corners):
        missing = ", ".join(n for n, v in zip(_CORNERS, corners, strict=True) if not v)
        raise _BadRow(f"the box has no {missing}; give all of x1, y1, x2, y2 or none")
    try:
        x1, y1, x2, y2 = (float(corner) for corner in corners)
    except ValueError:
        raise _BadRow(f"the box {','.join(corners)} must be four numbers") from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise _BadRow(f"the box {','.join(corners)} must be finite")
    if not (x1 < x2 and y1 < y2 and x2 > 0 and y2 > 0):
        raise _BadRow(
            f"the box {','.join(corners)} must have x1 < x2, y1 < y2 and touch the picture"
        )
    return x1, y1, x2, y2


def _text_rows(path: Path) -> Iterator[_Row]:
    """Yield the rows of a CSV or TSV file, each called by the line it ends on."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            header = [name if header.count(name) == 1 else "" for name in header]
            for cells in reader:
                if cells:
                    yield (
                        f"line {reader.line_num}",
                        _by_column(path, header, cells, reader.line_num),
                    )
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: expected UTF-8 text, got byte 0x{error.object[error.start]:02x} after "
                f"line {reader.line_num}; save the table as UTF-8"
            ) from None
        except csv.Error as error:
            raise DataError(
                f"{path}: line {reader.line_num} is not {path.suffix}: {error}"
            ) from None


def _by_column(
    path: Path, header: Sequence[str], cells: Sequence[str], line: int
) -> Mapping[str, str]:
    if len(cells) != len(header):
        raise DataError(
            f"{path}: line {line} has {len(cells)} cells where the header has {len(header)}; "
            "put quotes around cells that hold the separator"
        )
    return dict(zip(header, cells, strict=True))


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Refuse a table whose columns are missing, doubled or separated by something else."""
    if not any(header):
        raise DataError(f"{path}: expected a table with the columns path and label, got no header")
    counts = Counter(header)
    if doubled := [name for name in _KNOWN if counts[name] > 1]:
        raise DataError(f"{path}: the header has {' and '.join(doubled)} more than once")
    if missing := [name for name in _REQUIRED if name not in counts]:
        hint = "; it looks separated by ';', save it with commas" if ";" in header[0] else ""
        raise DataError(
            f"{path}: expected the columns path and label, found no {' and no '.join(missing)} "
            f"in {', '.join(header)}{hint}"
        )
    corners = [name for name in _CORNERS if name in counts]
    if corners and len(corners) < len(_CORNERS):
        raise DataError(
            f"{path}: a box needs the columns x1, y1, x2 and y2, found {', '.join(corners)} only"
        )


def _parquet_rows(path: Path) -> Iterator[_Row]:
    """Yield the rows of a Parquet file, counted from 1; nested columns and bytes stay unread."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingExtra(f'{path}: Parquet needs pyarrow; pip install "ilk[tables]"') from None
    try:
        with parquet.ParquetFile(path) as file:
            _check_header(path, file.schema_arrow.names)
            schema = file.schema_arrow
            _check_types(path, arrow, schema)
            names = schema.names
            columns = [
                f.name
                for f in schema
                if f.name in _KNOWN or (_is_text(arrow, f.type) and names.count(f.name) == 1)
            ]
            number = 0
            for batch in file.iter_batches(columns=columns):
                cells = [_cells(arrow, column) for column in batch.columns]
                for row in zip(*cells, strict=True):
                    number += 1
                    yield f"row {number}", dict(zip(batch.schema.names, row, strict=True))
    except (arrow.ArrowException, UnicodeDecodeError, OverflowError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None


def _check_types(path: Path, arrow: Any, schema: Any) -> None:
    """Refuse columns of lists and the like where text is needed."""
    for field in schema:
        if field.name in _KNOWN and arrow.types.is_nested(field.type):
            raise DataError(
                f"{path}: expected text, numbers or dates in the column {field.name}, got "
                f"{field.type}; write one value per row"
            )


def _is_text(arrow: Any, kind: Any) -> bool:
    """Whether a column that is not known holds text, numbers or times: what a CSV file could."""
    of = arrow.types
    if of.is_dictionary(kind):
        return _is_text(arrow, kind.value_type)
    is_bytes = of.is_binary(kind) or of.is_large_binary(kind) or of.is_fixed_size_binary(kind)
    return not (of.is_nested(kind) or is_bytes)


def _cells(arrow: Any, column: Any) -> list[object]:
    """Return the values of a column; null and NaN are empty, and floats keep their precision."""
    kind = column.type
    if getattr(kind, "unit", "") == "ns":  # finer than Python's own times
        column = column.cast(_in_microseconds(arrow, kind), safe=False)
    short = {arrow.float16(): np.float16, arrow.float32(): np.float32}.get(kind)
    return [
        "" if cell is None or cell != cell else cell if short is None else short(cell)
        for cell in column.to_pylist()
    ]


def _in_microseconds(arrow: Any, kind: Any) -> Any:
    if arrow.types.is_timestamp(kind):
        return arrow.timestamp("us", kind.tz)
    return arrow.duration("us") if arrow.types.is_duration(kind) else arrow.time64("us")
