"""Reading pairs files.

A pairs file is one of

- LFW's: a head "folds  pairs-per-kind" (or one number: one fold), then lines of three,
  "name n1 n2", for the same person and of four, "name1 n1 name2 n2", for two;
- plain lines "path1 path2 same", separated by blanks, tabs or commas, where `same` is 1 or 0, yes
  or no, true or false; cut into ten folds in order, each with its share of both kinds. A head, such
  as "file_x,file_y,Decision", names the columns: `same` is the one of that or a like name, else the
  third; the paths are those named like path1 and path2, file_x and file_y, else the first two
  others; what is left goes with the pairs as metadata.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ilk.errors import DataError
from ilk.evaluation.pairs import Pairs
from ilk.labels import normal_label

__all__ = ["read_pairs"]

_YES_NO = {"1": True, "yes": True, "true": True, "same": True}
_YES_NO |= {"0": False, "-1": False, "no": False, "false": False, "different": False}
_SAME = ("same", "is_same", "issame", "decision", "match", "genuine", "actual")
_FIRST = ("path1", "file1", "image1", "img1", "file_x", "image_x", "path_x", "first", "a")
_SECOND = ("path2", "file2", "image2", "img2", "file_y", "image_y", "path_y", "second", "b")
_Line = tuple[int, Sequence[str]]


def read_pairs(path: str | Path) -> Pairs:
    """Read a pairs file of either form.

    Raises:
        DataError: A line is of neither form, or there are no pairs.
        OSError: The file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected UTF-8 text, got byte 0x{error.object[error.start]:02x}; save the "
            "pairs as UTF-8"
        ) from None
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    head = re.fullmatch(r"(?:(\d+)\s+)?(\d+)", lines[0][1]) if lines else None
    if head is not None:
        return _read_lfw(path, lines[1:], int(head[1] or 1), int(head[2]))
    return _read_plain(path, list(_cells(path, text)))


def _read_lfw(
    path: str | Path, lines: list[tuple[int, str]], num_folds: int, per_kind: int
) -> Pairs:
    people: list[tuple[str, str]] = []
    names: list[tuple[str, str]] = []
    for n, line in lines:
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) == 3:
            parts = [parts[0], parts[1], parts[0], parts[2]]
        if len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            raise DataError(
                f"{path} line {n}: expected 'name n1 n2' or 'name1 n1 name2 n2', got {line!r}"
            )
        people.append((normal_label(parts[0]), normal_label(parts[2])))
        names.append((f"{parts[0]}_{int(parts[1]):04d}", f"{parts[2]}_{int(parts[3]):04d}"))
    if not names or len(names) != num_folds * 2 * per_kind:
        raise DataError(
            f"{path}: its first line promises {num_folds} folds of {per_kind} + {per_kind} pairs, "
            f"got {len(names)} pairs; is the file cut off?"
        )
    return Pairs(
        first=tuple(a for a, _ in names),
        second=tuple(b for _, b in names),
        is_same=np.array([a == b for a, b in people]),
        fold=np.arange(len(names)) // (2 * per_kind),
        people=tuple(people),
    )


def _cells(path: str | Path, text: str) -> Iterator[_Line]:
    """Yield each line that is not empty with its number and cells."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = "\t" if "\t" in first else "," if "," in first else None
    if separator is None:
        for n, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield n, line.split()
        return
    reader = csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}") from None


def _read_plain(path: str | Path, lines: list[_Line]) -> Pairs:
    head: Sequence[str] = ("path1", "path2", "same")
    if _is_head(lines):
        head = lines.pop(0)[1]
    at, first_at, second_at = _columns([name.lower() for name in head])
    rows: list[Sequence[str]] = []
    for n, cells in lines:
        if len(cells) != len(head) or cells[at].lower() not in _YES_NO:
            raise DataError(
                f"{path} line {n}: expected 'path1 path2 same' with same 1 or 0, got "
                f"{' '.join(cells)!r}"
            )
        rows.append(cells)
    if not rows:
        raise DataError(f"{path}: expected pairs, found none; give lines 'path1 path2 same'")
    is_same = np.array([_YES_NO[cells[at].lower()] for cells in rows])
    others = [i for i in range(len(head)) if i not in (at, first_at, second_at) and head[i]]
    return Pairs(
        first=tuple(cells[first_at] for cells in rows),
        second=tuple(cells[second_at] for cells in rows),
        is_same=is_same,
        fold=_ten_folds(is_same),
        metadata={head[i]: tuple(cells[i] for cells in rows) for i in others},
    )


def _is_head(lines: list[_Line]) -> bool:
    """Whether the first line names columns; "same" does, unless it is said of the pairs, too."""
    if not lines or len(lines[0][1]) < 3:
        return False
    told = [cells[2].lower() for _, cells in lines[:2] if len(cells) > 2]
    return told[0] not in _YES_NO or (
        told[0] == "same" and told[1:] not in (["same"], ["different"])
    )


def _columns(head: Sequence[str]) -> tuple[int, int, int]:
    """Return where the answer and both paths are."""
    at = next((i for i, name in enumerate(head) if name in _SAME), 2)
    known = [
        next((i for i, name in enumerate(head) if name in names), at) for names in (_FIRST, _SECOND)
    ]
    if len({at, *known}) == 3:
        return at, known[0], known[1]
    first, second = [i for i in range(len(head)) if i != at][:2]
    return at, first, second


def _ten_folds(is_same: np.ndarray) -> np.ndarray:
    """Cut pairs into ten folds in order, each with its share of both kinds."""
    fold = np.zeros(len(is_same), np.int64)
    for kind in (False, True):
        where = np.flatnonzero(is_same == kind)
        fold[where] = np.arange(len(where)) * 10 // max(1, len(where))
    return fold
