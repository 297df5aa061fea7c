"""A store on disk, rows for it, and what its files hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ilk.store import NewExemplar
from ilk.stores.sqlite import SqliteStore

D = 8
FACTS = {"embedding_size": D, "uuid": "0123", "distance": {"name": "cosine"}}

MakeRows = Callable[..., list[NewExemplar]]
ReadBytes = Callable[[], bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "gallery.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    made = SqliteStore.create(path, FACTS, timeout_seconds=0.5)
    yield made
    made.close()


@pytest.fixture
def rows() -> MakeRows:
    """A function (count, prefix) that makes different exemplars."""
    generator = np.random.default_rng(3)

    def make(count: int, prefix: str = "row") -> list[NewExemplar]:
        return [
            NewExemplar(
                generator.normal(size=D).astype(np.float32),
                f"{prefix}-hash-{i}",
                f"{prefix}-name-{i}.png",
                {"note": f"{prefix}-note-{i}"},
                f"{prefix}-crop-{i}".encode() * 9000,
            )
            for i in range(count)
        ]

    return make


@pytest.fixture
def read_files(path: Path) -> ReadBytes:
    """A function that returns the bytes of every file in the store's folder."""
    return lambda: b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))
