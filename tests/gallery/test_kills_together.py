"""Four processes that erase, merge, undo and migrate together and are killed all the time."""

from __future__ import annotations

import json
import random
import runpy
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ilk.gallery import Gallery

WORKER = Path(__file__).with_name("together_worker.py")
world: Any = SimpleNamespace(**runpy.run_path(str(WORKER)))

Classes = dict[str, list[str]]


class Worker:
    """A process and what is known of its classes."""

    def __init__(self, place: Path, who: str) -> None:
        self.place, self.who = place, who
        self.classes: Classes = {}
        self.erased: list[str] = []
        self.seen: Counter[str] = Counter()
        self._step = 0
        self.begun: dict[str, Any] | None = None
        self._output = place.with_name(f"{place.name}-{who}")
        self._errors = place.with_name(f"{place.name}-{who}-errors")
        self.start()

    def start(self) -> None:
        arguments = [str(self.place), self.who, str(self._step), json.dumps(self.classes)]
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), *arguments], stdout=output, stderr=errors
            )
        while '"ready"' not in self._output.read_text():
            self._require_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """Kill it at any moment, and take over what it told."""
        self._require_alive()
        self.stop()
        told = self._output.read_text().splitlines(keepends=True)
        lines = [json.loads(line) for line in told[1:] if line.endswith("\n")]
        self._step += len(lines)
        self.begun = None
        for line in lines:
            self.begun = line if line["word"] == "begin" else None
            if line["word"] == "done":
                self._note(line)
        what = "between" if self.begun is None else self.begun["action"]
        self.seen[f"killed during {what}"] += 1

    def compare(self, found: Classes) -> None:
        """Require what was acknowledged, and the step in flight wholly or not at all."""
        own = {label: c for label, c in found.items() if label.startswith(f"{self.who}-")}
        possible = [self.classes]
        if self.begun is not None:
            possible.append(world.after(self.classes, self.begun))
            if self.begun["action"] == "undo":  # merged, and perhaps not undone yet
                possible.append(world.after(self.classes, self.begun | {"action": "merge"}))
        assert own in possible, f"{self.who} after {self.begun}: {own}, not one of {possible}"
        if self.begun is not None and own != self.classes:
            self._note(self.begun)
        self.classes = own

    def _require_alive(self) -> None:
        assert self._process.poll() is None, self._errors.read_text()

    def _note(self, line: dict[str, Any]) -> None:
        self.seen["acknowledged"] += 1
        if line["action"] == "erase":
            self.erased += [line["label"], *self.classes[line["label"]]]
        self.classes = world.after(self.classes, line)


def classes_in(gallery: Gallery) -> Classes:
    with gallery.access.reading() as reader:  # one view: the others go on meanwhile
        labels = {row.id: row.label for row in reader.classes()}
        rows = reader.exemplars()
    found: Classes = {label: [] for label in labels.values()}
    for row in rows:
        found[labels[row.class_id or 0]].append(row.content_hash)
    return {label: sorted(contents) for label, contents in found.items()}


def run_trials(place: Path, num_kills: int, seed: int) -> Counter[str]:
    Gallery.create(place, world.binding("a"), actor="ada").close()
    chance = random.Random(seed)
    workers = [Worker(place, f"p{i}") for i in range(4)]
    try:
        for _ in range(num_kills):
            time.sleep(chance.uniform(0, 0.3))
            worker = chance.choice(workers)
            worker.kill()
            with Gallery.open(place, actor="ada") as gallery:
                worker.compare(classes_in(gallery))
            worker.start()
        for worker in workers:
            worker.kill()
    finally:
        for worker in workers:
            worker.stop()
    with Gallery.open(place, actor="ada") as gallery:
        assert gallery.access.store.check() == []
        found = classes_in(gallery)
        for worker in workers:
            worker.compare(found)
        contents = {row.id: row.content_hash for row in gallery.exemplars()}
        with gallery.access.fresh() as state:
            ids, rows = state.live.searcher.rows()
        assert sorted(ids.tolist()) == sorted(contents)
        points = [world.point_of(contents[i]) for i in ids.tolist()]
        np.testing.assert_array_equal(rows, np.array(points).reshape(-1, world.D))
        gallery.enroll("last", np.full((1, world.D), 0.5), content_hashes=["last"], guard="off")
        gallery.erase("last")  # clears what an erasure or a migration that was killed left behind
    files = b"".join(p.read_bytes() for p in place.rglob("*") if p.is_file())
    for text in (text for worker in workers for text in worker.erased):
        assert text.encode() not in files, f"{text} was erased and is in a file"
    return sum((worker.seen for worker in workers), Counter())


def test_a_few_kills_of_four_processes(tmp_path: Path) -> None:
    assert run_trials(tmp_path / "g", 4, seed=1)["acknowledged"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("run", range(20))
def test_150_kills_of_four_processes(
    tmp_path: Path, run: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = run_trials(tmp_path / "g", 150, seed=100 + run)
    with capsys.disabled():
        print("\n", dict(seen))  # noqa: T201  the figures of a long run are wanted
    for action in ("erase", "merge", "undo", "migrate"):
        assert seen[f"killed during {action}"] > 0, seen
