"""Several processes and threads on one file; children of a fork."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.errors import GalleryError
from ilk.store import NewExemplar
from ilk.stores.sqlite import SqliteStore
from ilk.testing import MemoryStore
from ilk.testing.store_state import Follower

WORKER = Path(__file__).with_name("store_worker.py")
MakeRows = Callable[..., list[NewExemplar]]

worker: dict[str, Any] = runpy.run_path(str(WORKER))


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    """Each keeps to classes of its own, so what both have done is the sum of what each does."""
    path = tmp_path / "gallery.sqlite"
    store = SqliteStore.create(path, {"embedding_size": 16})
    spans = {"a-": (0, 40), "b-": (1000, 1040)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(path), str(first), str(last), prefix],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for prefix, (first, last) in spans.items()
    ]
    follower = Follower()
    while any(process.poll() is None for process in processes):
        with store.reading() as reader:
            follower.follow(reader, limit=5)
            follower.check(reader)
    for process in processes:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
    assert store.check() == []
    with store.reading() as reader:
        follower.follow(reader)
        follower.check(reader)
        changes = reader.changes()
        assert [change.id for change in changes] == list(range(1, len(changes) + 1))
        assert len(changes) == sum(last - first for first, last in spans.values())
        got = {
            prefix: {
                row.label: row.num_exemplars
                for row in reader.classes()
                if row.label.startswith(prefix)
            }
            for prefix in spans
        }
    for prefix, (first, last) in spans.items():
        alone = MemoryStore({"embedding_size": 16})
        for step in range(first, last):
            worker["act"](alone, step, prefix)
        with alone.reading() as reader:
            expected = {row.label: row.num_exemplars for row in reader.classes()}
        assert sorted(got[prefix].values()) == sorted(expected.values())
    store.close()


def test_threads_share_a_store(store: SqliteStore) -> None:
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for i in range(10):
                with store.changing("enroll") as writer:
                    class_id = writer.add_class(f"class {number} {i}")
                    row = NewExemplar(np.full(8, number, np.float32), f"{number} {i}")
                    writer.add_exemplars(class_id, [row])
        except BaseException as error:
            errors.append(error)

    def read() -> None:
        try:
            follower = Follower()
            while follower.sequence < 40:
                store.version()
                with store.reading() as reader:
                    follower.follow(reader)
                    follower.check(reader)
                    assert len(reader.classes()) == len(reader.exemplars()) == reader.sequence()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert store.check() == []


def in_a_child(act: Callable[[], str]) -> str:
    """Fork, and return what `act` returns or raises in the child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = act()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def enroll(store: SqliteStore, label: str) -> str:
    with store.changing("enroll") as writer:
        writer.add_class(label)
        return str(writer.change_id)


def known(store: SqliteStore) -> list[str]:
    with store.reading() as reader:
        return [row.label for row in reader.classes()]


@needs_fork
def test_a_child_opens_its_own_connections(store: SqliteStore, path: Path) -> None:
    enroll(store, "a")
    before = store.version()
    with store._reader.use(), store._writer.use():
        pass

    def work() -> str:
        assert [line._connection for line in (store._reader, store._writer)] == [None, None]
        assert known(store) == ["a"]
        for i in range(20):
            enroll(store, f"child {i:02}")
        return str(store.check())

    assert in_a_child(work) == "[]"
    assert store.version() != before
    assert len(known(store)) == 21
    enroll(store, "z")
    assert known(store)[-1] == "z"
    other = SqliteStore.open(path)
    assert known(other) == known(store)
    other.close()


@needs_fork
def test_a_fork_inside_a_change(store: SqliteStore) -> None:
    with store.changing("enroll") as writer:
        writer.add_class("a")
        answer = in_a_child(lambda: enroll(store, "b"))
    assert answer.startswith("GalleryError: this process was forked in the middle of a change")
    assert known(store) == ["a"]
    with store.reading():
        answer = in_a_child(lambda: ",".join(known(store)))
    assert answer.startswith("GalleryError: this process was forked in the middle of a change")
    assert enroll(store, "b") == "2"


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    for act in (store.version, lambda: enroll(store, "a"), lambda: known(store)):
        with pytest.raises(GalleryError, match="closed; open it again"):
            act()
