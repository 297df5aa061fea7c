"""Make the file of the present version: `python tests/stores/files/make.py`.

Once a version is released its file stays as it is; a later version gets a file of its own.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np

from ilk.store import NewExemplar, NewStranger, NewUnknown
from ilk.stores.sqlite import SqliteStore, schema


def row(number: int) -> NewExemplar:
    crop = b"a crop" if number == 1 else None
    return NewExemplar(
        embedding=np.array([number, 0.5, -1, 2], np.float32),
        content_hash=f"hash {number}",
        name=f"{number}.png",
        metadata={"page": number},
        crop=crop,
        expires="2030-01-01",
    )


def make(path: Path) -> None:
    store = SqliteStore.create(path, {"embedding_size": 4, "uuid": "0123"})
    with store.changing("enroll", actor="ada", call="first") as writer:
        owl, wren = writer.add_class("owl"), writer.add_class("wren")
        writer.add_exemplars(owl, [row(1), row(2)])
        writer.add_exemplars(wren, [row(3), row(4)])
        writer.add_exemplars(None, [row(5)], role="ignore")
    with store.changing("set") as writer:
        writer.set("threshold", 0.25)
    with store.changing("keep") as writer:
        probe = np.array([7, 7, 7, 7], np.float32)
        writer.add_unknowns([NewUnknown(probe, "hash 7", "probe.png", float("inf"), b"seen")])
        writer.add_strangers([NewStranger(probe, "hash 8", "eagle")])
    with store.changing("merge") as writer:
        writer.update("exemplar", [1, 2], "class_id", wren)
        writer.update("class", [owl], "is_live", False)
    store.erase(exemplar_ids=[4])
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "gallery.sqlite")
        make(file)
        target = Path(__file__).with_name(f"version_{schema.version()}.sqlite.gz")
        target.write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
