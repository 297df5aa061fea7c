"""Enrolling into the store beside a bare SQLite insert of the same blobs with the same settings.

    python -m benchmarks.enroll [--repeats 5] [--folder .]

"bare" is one table of an id and a blob, in WAL mode with 32 KiB pages, `synchronous=full` and every
other pragma of the store's connections: no classes, no names, no content hashes, no log. Both take
turns on files of their own in one folder; each single enrollment is one durable transaction, a bulk
enrollment one transaction of 100,000 rows in 1,000 classes. The checks of embeddings are included.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ilk.store import NewExemplar
from ilk.stores.sqlite import SqliteStore
from ilk.stores.sqlite.connection import PAGE_BYTES, SETTINGS

N, D, CLASSES, SINGLES = 100_000, 512, 1_000, 200


def bare(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    for setting in (f"page_size={PAGE_BYTES}", "journal_mode=wal", *SETTINGS):
        database.execute(f"pragma {setting}")
    database.execute("create table exemplar(id integer primary key, embedding blob not null)")
    return database


def rows_of(embeddings: np.ndarray, prefix: str) -> list[NewExemplar]:
    hashes = [hashlib.sha256(f"{prefix}{i}".encode()).hexdigest() for i in range(len(embeddings))]
    return [
        NewExemplar(row, content, f"pictures/{i // 100}/{i}.jpg")
        for i, (row, content) in enumerate(zip(embeddings, hashes, strict=True))
    ]


def bulk_bare(folder: Path, embeddings: np.ndarray) -> float:
    database = bare(folder / "bare.sqlite")
    start = time.perf_counter()
    database.execute("begin immediate")
    database.executemany("insert into exemplar(embedding) values(?)", ((e,) for e in embeddings))
    database.execute("commit")
    seconds = time.perf_counter() - start
    database.close()
    return seconds


def bulk_store(folder: Path, rows: list[NewExemplar]) -> float:
    store = SqliteStore.create(folder / "store.sqlite", {"embedding_size": D})
    per_class = len(rows) // CLASSES
    start = time.perf_counter()
    with store.changing("enroll") as writer:
        for i in range(CLASSES):
            class_id = writer.add_class(f"class {i}")
            writer.add_exemplars(class_id, rows[i * per_class : (i + 1) * per_class])
    seconds = time.perf_counter() - start
    store.close()
    return seconds


def singles(folder: Path, embeddings: np.ndarray, rows: list[NewExemplar]) -> list[list[float]]:
    """Return the seconds of each single enrollment, bare and of the store, taking turns."""
    database = bare(folder / "bare.sqlite")
    store = SqliteStore.create(folder / "store.sqlite", {"embedding_size": D})
    with store.changing("enroll") as writer:
        class_id = writer.add_class("class")
    seconds: list[list[float]] = [[], []]
    for embedding, row in zip(embeddings, rows, strict=True):
        start = time.perf_counter()
        database.execute("begin immediate")
        database.execute("insert into exemplar(embedding) values(?)", (embedding,))
        database.execute("commit")
        middle = time.perf_counter()
        with store.changing("enroll") as writer:
            writer.add_exemplars(class_id, [row])
        seconds[0].append(middle - start)
        seconds[1].append(time.perf_counter() - middle)
    database.close()
    store.close()
    return seconds


def spread(values: list[float], unit: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.4g} ({low:.4g} to {high:.4g}) {unit}".rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", default=".", help="on the disk that is to be measured")
    options = parser.parse_args()
    embeddings = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    rows = rows_of(embeddings, "bulk")
    milliseconds: list[list[float]] = [[], []]
    rates: list[list[float]] = [[], []]
    for repeat in range(options.repeats):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            part = slice(repeat * SINGLES, (repeat + 1) * SINGLES)
            both = singles(Path(name), embeddings[part], rows_of(embeddings[part], str(repeat)))
            for found, seconds in zip(milliseconds, both, strict=True):
                found.append(1e3 * statistics.median(seconds))
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            rates[0].append(N / bulk_bare(Path(name), embeddings))
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            rates[1].append(N / bulk_store(Path(name), rows))
    print(f"{N:,} x {D} float32, SQLite {sqlite3.sqlite_version}, {options.repeats} turns;")
    print("median (min to max) of the turns; of a turn of singles the median of its enrollments")
    times = [b / a for a, b in zip(*milliseconds, strict=True)]
    shares = [b / a for a, b in zip(*rates, strict=True)]
    print(f"  one durable enrollment, bare   {spread(milliseconds[0], 'ms')}")
    print(f"  one durable enrollment, store  {spread(milliseconds[1], 'ms')}")
    print(f"  store / bare                   {spread(times, '')} (at most 1.5)")
    print(f"  bulk, bare                     {spread(rates[0], 'rows/s')}")
    print(f"  bulk, store                    {spread(rates[1], 'rows/s')}")
    print(f"  store / bare                   {spread(shares, '')} (at least 0.7)")


if __name__ == "__main__":
    main()
