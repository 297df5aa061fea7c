"""Processes that are killed at any moment: nothing acknowledged is lost, nothing is half done."""

from __future__ import annotations

import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ilk.store import Store
from ilk.stores.sqlite import SqliteStore
from ilk.testing import MemoryStore
from ilk.testing.store_state import check_alike

WORKER = Path(__file__).with_name("store_worker.py")
FACTS = {"embedding_size": 16}

worker: dict[str, Any] = runpy.run_path(str(WORKER))


def run_and_kill(path: Path, first: int, seconds: float) -> tuple[int, int]:
    """Let a worker go on for some time and kill it; return the last step done and begun."""
    command = [sys.executable, str(WORKER), str(path), str(first), "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    steps: dict[str, int] = {"done": first - 1, "begin": first - 1}
    for line in lines:
        name, _, number = line.partition(" ")
        if number.endswith("\n"):
            steps[name] = int(number)
    return steps["done"], steps["begin"]


def are_alike(store: Store, reference: Store) -> bool:
    try:
        with store.reading() as reader, reference.reading() as expected:
            hashes = [row.content_hash for row in expected.exemplars(is_live=None)]
            check_alike(reader, expected, hashes)
    except AssertionError:
        return False
    return True


def labels_in(store: Store) -> set[str]:
    """Return the labels that a store may still know, from rows and log."""
    with store.reading() as reader:
        found = {row.label for row in reader.classes(is_live=None)}
        for change in reader.changes():
            for effect in change.effects:
                if effect.field == "label":
                    found |= {effect.before, effect.after}
    return found


def run_trials(folder: Path, num_trials: int, seed: int) -> dict[str, int]:
    """Kill a worker again and again on one file; return what was seen."""
    path = folder / "gallery.sqlite"
    SqliteStore.create(path, FACTS).close()
    reference = MemoryStore(FACTS)
    chance = random.Random(seed)
    seen = {"trials": 0, "acknowledged": 0, "in flight": 0, "in flight and kept": 0}
    step, labels = 0, set[str]()
    for _ in range(num_trials):
        done, begun = run_and_kill(path, step, chance.uniform(0.0, 0.4))
        for i in range(step, done + 1):
            worker["act"](reference, i)
            labels |= labels_in(reference)
        store = SqliteStore.open(path)
        seen["trials"] += 1
        seen["acknowledged"] += done + 1 - step
        seen["in flight"] += begun > done
        step = done + 1
        if not are_alike(store, reference):
            assert begun > done, "an acknowledged change is lost"
            worker["act"](reference, begun)
            labels |= labels_in(reference)
            seen["in flight and kept"] += 1
            with store.reading() as reader, reference.reading() as expected:
                check_alike(reader, expected, [])
            step = begun + 1
        assert store.check() == []
        store.close()
        content = b"".join(file.read_bytes() for file in folder.iterdir())
        kept = [name for name in labels - labels_in(reference) if name.encode() in content]
        assert kept == [], "erased labels are in the files"
    return seen


def test_a_few_kills(tmp_path: Path) -> None:
    assert run_trials(tmp_path, 5, seed=1)["acknowledged"] > 0


@pytest.mark.slow
def test_200_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total: dict[str, int] = {}
    for i in range(20):
        folder = tmp_path / str(i)
        folder.mkdir()
        for name, count in run_trials(folder, 10, seed=100 + i).items():
            total[name] = total.get(name, 0) + count
    with capsys.disabled():
        print("\n", total)  # noqa: T201  the figures of a long run are wanted
    assert total["trials"] == 200
    assert total["in flight"] > 0
