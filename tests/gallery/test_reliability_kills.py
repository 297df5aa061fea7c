"""Processes that are killed while they change a gallery: what was acknowledged is there, whole."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ilk.gallery import Gallery

WORKER = Path(__file__).with_name("reliability_worker.py")
world: Any = SimpleNamespace(**runpy.run_path(str(WORKER)))

Classes = dict[str, set[str]]
"""Contents by label."""


class Killed:
    """A gallery whose processes are killed, and what they acknowledged."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        world.create(str(place)).close()
        self.classes: Classes = {}
        self.erased: list[str] = []
        """Contents that were erased."""
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self._step = 0

    def trial(self, kind: str) -> None:
        """Let a process make changes of one kind, kill it, and look at what is there."""
        lines, in_flight = self._run_and_kill(kind)
        self.seen["trials"] += 1
        begun = None
        for line in lines:
            if line["word"] == "begin":
                begun = line
            elif begun is not None:
                self.classes = self._after(begun)
                self.seen["acknowledged"] += 1
                begun = None
        self._step += len(lines)
        self.seen[f"killed during {begun['action']}" if begun else "killed between"] += 1
        assert (begun is not None) == in_flight
        with Gallery.open(self.place, actor="ada") as gallery:
            assert gallery.access.store.check() == []
            found = contents_of(gallery)
            if begun is not None and found != self.classes:
                self.classes = self._after(begun)
                self.seen["in flight and kept"] += 1
            assert found == self.classes, f"after {begun}"
            self._identify(gallery)
        self._require_erased()

    def _run_and_kill(self, kind: str) -> tuple[list[dict[str, Any]], bool]:
        """Return what the process told, and whether its last change was not acknowledged."""
        command = [sys.executable, str(WORKER), "kill", str(self.place), kind, str(self._step)]
        lines: list[dict[str, Any]] = []
        wanted = self.chance.randint(1, 3)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seconds = 0.02
            while wanted:
                lines.append(json.loads(process.stdout.readline()))
                if lines[-1]["action"] == kind:
                    seconds = lines[-1].get("seconds", seconds)
                    wanted -= lines[-1]["word"] == "begin"
            time.sleep(self.chance.uniform(0, 1.1 * seconds))
            process.kill()
            rest = process.stdout.readlines()
        lines += [json.loads(line) for line in rest if line.endswith("\n")]
        return lines, lines[-1]["word"] == "begin"

    def _after(self, begun: dict[str, Any]) -> Classes:
        classes = deepcopy(self.classes)
        action, label, others = (begun[key] for key in ("action", "label", "others"))
        if action == "enroll":
            classes[label] = set(others)
        elif action == "merge":
            classes[others[0]] |= classes.pop(label)
        elif action == "remove":
            del classes[label]
        elif action == "erase":
            self.erased += [label, *sorted(classes.pop(label))]
        return classes

    def _identify(self, gallery: Gallery) -> None:
        """Ask about some of what is there."""
        known = [(c, label) for label, contents in self.classes.items() for c in sorted(contents)]
        some = self.chance.sample(known, min(len(known), 20))
        if some:
            answers = gallery.identify(world.points_of([content for content, _ in some]))
            assert [(a.label, a.distance) for a in answers] == [(label, 0.0) for _, label in some]

    def _require_erased(self) -> None:
        """Find neither label, content, crop nor embedding of what was erased in any file."""
        files = b"".join(p.read_bytes() for p in self.place.rglob("*") if p.is_file())
        for text in self.chance.sample(self.erased, min(len(self.erased), 100)):
            assert text.encode() not in files, text
            row = world.point_of(text).astype(np.float32).tobytes()
            assert text.startswith("class") or row not in files, f"embedding of {text}"


def contents_of(gallery: Gallery) -> Classes:
    """Return the contents of each class; rows, names, crops and embeddings must fit together."""
    labels = {row.id: row.label for row in gallery.labels()}
    rows = gallery.exemplars()
    found: Classes = {label: set() for label in labels.values()}
    for row in rows:
        assert row.class_id is not None
        found[labels[row.class_id]].add(row.content_hash)
        assert row.name == f"{row.content_hash}.png"
    with gallery.access.reading() as reader:
        some = rows[:: max(1, len(rows) // 50)]
        embeddings = reader.embeddings([row.id for row in some])
        np.testing.assert_array_equal(
            embeddings, world.points_of([row.content_hash for row in some]).reshape(-1, world.D)
        )
        for row in some:
            assert reader.crop(row.id) == row.content_hash.encode() * 50
    assert sum(map(len, found.values())) == len(rows)
    return found


def run_trials(folder: Path, kinds: Sequence[str], seed: int) -> Counter[str]:
    killed = Killed(folder, seed)
    for kind in kinds:
        killed.trial(kind)
    return killed.seen


def test_a_few_kills_of_a_gallery(tmp_path: Path) -> None:
    seen = run_trials(tmp_path / "g", world.KINDS, seed=1)
    assert seen["acknowledged"] > 5, seen


@pytest.mark.slow
def test_200_kills_of_a_gallery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total: Counter[str] = Counter()
    for i in range(20):
        kinds = [*world.KINDS, *world.KINDS]
        random.Random(i).shuffle(kinds)
        total += run_trials(tmp_path / str(i), kinds, seed=100 + i)
    with capsys.disabled():
        print("\n", dict(total))  # noqa: T201  the figures of a long run are wanted
    assert total["trials"] == 200
    for kind in world.KINDS:
        assert total[f"killed during {kind}"] > 5, total


def die_after_the_rows_went(place: Path, label: str) -> None:
    """Erase a class in a process that dies before anything but the database was cleaned."""
    child = os.fork()
    if child == 0:
        gallery = Gallery.open(place, actor="ada")
        real = gallery.access.store

        def erase(**what: Any) -> None:
            real.erase(**what)
            os._exit(9)

        store = SimpleNamespace(
            erase=erase, version=real.version, reading=real.reading, changing=real.changing
        )
        gallery.access.store = store
        gallery.erase(label)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_death_in_an_erasure_leaves_nothing_in_a_snapshot_or_another_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.gallery.state._SAVE_FROM", 0)
    place = tmp_path / "g"
    gallery = world.create(str(place))
    for name in ("one", "two"):
        world.enroll(gallery, name, [f"of {name}"])
    gallery.close()
    shutil.copytree(place / "1", place / "2")
    location = gallery.access.location
    location.use(location.generation(2))
    row = world.point_of("of one").astype(np.float32).tobytes()

    def holders() -> set[str]:
        files = [p for p in place.rglob("*") if p.is_file()]
        return {str(p.relative_to(place)) for p in files if row in p.read_bytes()}

    assert holders() == {"1/gallery.sqlite", "1/snapshot", "2/gallery.sqlite", "2/snapshot"}
    die_after_the_rows_went(place, "one")
    assert holders() == {"1/gallery.sqlite"}
    with Gallery.open(place, actor="ada") as again:
        again.erase("two")
        assert holders() == set()
