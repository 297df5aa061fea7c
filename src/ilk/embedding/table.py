"""Embeddings in a file that other tools read: Parquet, NumPy or CSV.

Columns: name, label, hash (SHA-256 of the content) and the embedding: one fixed-size list in
Parquet, an (N, D) array in .npz, columns e0, e1, ... in CSV.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ilk.embedding.embed import Embedded
from ilk.errors import InvalidInput, MissingExtra
from ilk.whole_file import whole_file

__all__ = ["TABLE_SUFFIXES", "check_table_path", "write_table"]

TABLE_SUFFIXES = (".parquet", ".npz", ".csv")
"""The kinds of file that `write_table` writes."""


def check_table_path(path: Path) -> None:
    """Refuse what `write_table` could not write, before any work is done.

    Raises:
        InvalidInput: The suffix is none of `TABLE_SUFFIXES`, or the folder does not exist.
        MissingExtra: Parquet needs pyarrow, which is not installed.
    """
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InvalidInput(
            f"expected a file name that ends in {', '.join(TABLE_SUFFIXES)}, got {path.name!r}"
        )
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "a folder is there" if path.is_dir() else f"there is no folder {path.parent}"
        raise InvalidInput(f"cannot write {path}: {what}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise MissingExtra(
            "writing .parquet needs pyarrow, which is not installed; "
            'pip install "ilk[tables]" or write .npz or .csv'
        )


def write_table(path: Path, embedded: Embedded, facts: Mapping[str, str]) -> None:
    """Write embeddings and what they are of; an existing file is replaced once all is written.

    Args:
        path: Ends in one of `TABLE_SUFFIXES`.
        embedded: What to write.
        facts: Kept with the table where the format can: Parquet's schema metadata, or a text
            array per fact in .npz. CSV has no place for them.

    Raises:
        InvalidInput: See `check_table_path`.
        MissingExtra: See `check_table_path`.
    """
    check_table_path(path)
    write = {".parquet": _write_parquet, ".npz": _write_npz, ".csv": _write_csv}
    with whole_file(path) as partial:
        write[path.suffix.lower()](partial, embedded, facts)


def _write_parquet(path: Path, embedded: Embedded, facts: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = embedded.embeddings.shape[1]
    values = pa.array(np.ascontiguousarray(embedded.embeddings).reshape(-1), pa.float32())
    columns = {name: pa.array(column, pa.string()) for name, column in _columns(embedded).items()}
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(values, size)
    pq.write_table(pa.table(columns, metadata={f"ilk.{k}": v for k, v in facts.items()}), path)


def _write_npz(path: Path, embedded: Embedded, facts: Mapping[str, str]) -> None:
    columns = {name: np.array(column, np.str_) for name, column in _columns(embedded).items()}
    told = {name: np.array(fact) for name, fact in facts.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, embedding=embedded.embeddings, **columns, **told)


def _write_csv(path: Path, embedded: Embedded, facts: Mapping[str, str]) -> None:
    columns = _columns(embedded)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*columns, *(f"e{i}" for i in range(embedded.embeddings.shape[1]))])
        for *row, embedding in zip(*columns.values(), embedded.embeddings, strict=True):
            rows.writerow([*row, *map(str, embedding)])


def _columns(embedded: Embedded) -> dict[str, list[str]]:
    items = embedded.items.items
    return {
        "name": [item.name for item in items],
        "label": [item.label for item in items],
        "hash": list(embedded.hashes),
    }
