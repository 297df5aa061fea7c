"""Four processes on one gallery: what each sees and what is left is what a serial order gives."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ilk.gallery import Gallery
from ilk.store import ChangeRow

WORKER = Path(__file__).with_name("reliability_worker.py")
world: Any = SimpleNamespace(**runpy.run_path(str(WORKER)))

Told = list[dict[str, Any]]


def work_together(place: Path, seconds: float) -> list[Told]:
    """Let four processes work at once; return what each told."""
    command = [sys.executable, str(WORKER), "share", str(place)]
    outputs = [place.with_name(f"told-{i}") for i in range(4)]
    processes = []
    for i, output in enumerate(outputs):
        with output.open("w") as file:
            options: dict[str, Any] = {"stdout": file, "stderr": subprocess.PIPE, "text": True}
            processes.append(
                subprocess.Popen(
                    [*command, f"p{i}", str(seconds)], stdin=subprocess.PIPE, **options
                )
            )
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 4
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in outputs]


class Serial:
    """A gallery in pure Python."""

    def __init__(self) -> None:
        self.classes: dict[str, list[str]] = {}
        self._contents: list[str] = []
        self._labels: list[str] = []
        self._points = np.zeros((0, world.D))

    def apply(self, action: str, label: str, others: list[str]) -> None:
        classes = self.classes
        if action == "enroll":
            classes.setdefault(label, []).extend(others)
        elif action == "rename":
            classes[others[0]] = classes.pop(label)
        elif action == "merge":
            classes[others[0]] += classes.pop(label)
        else:
            del classes[label]
        pairs = [(content, name) for name, contents in classes.items() for content in contents]
        self._contents = [content for content, _ in pairs]
        self._labels = [name for _, name in pairs]
        self._points = np.zeros((0, world.D))

    def closest(self, probe: np.ndarray) -> tuple[float | None, set[str]]:
        """Return the smallest distance, and the labels of the classes that have it."""
        if len(self._points) != len(self._contents):
            self._points = np.array([POINTS[content] for content in self._contents])
        if not self._contents:
            return None, set()
        far = np.sqrt(((self._points - probe) ** 2).sum(1))
        return float(far.min()), {self._labels[i] for i in np.flatnonzero(far == far.min())}


POINTS: dict[str, np.ndarray] = {}


def serial_order(told: list[Told], log: list[ChangeRow]) -> dict[int, dict[str, Any]]:
    """Return every acknowledged change by its number in the log; the log has no others."""
    numbers = {change.call: change.id for change in log}
    order: dict[int, dict[str, Any]] = {}
    for lines in told:
        last = 0
        for line in lines:
            if line["word"] == "done":
                number = line["change"] if "change" in line else numbers[line["call"]]
                assert number > last, "a process's changes are out of order"
                assert number not in order
                order[number], last = line, number
    for change in log:
        if change.actor != "ada":
            assert change.action == order[change.id]["action"]
    own = {change.id for change in log if change.actor == "ada"}
    assert own | order.keys() == set(range(1, len(log) + 1))
    return order


def check_together(place: Path, seconds: float) -> dict[str, int]:
    world.create(str(place)).close()
    told = work_together(place, seconds)
    lines = [line for process in told for line in process]
    assert [line["why"] for line in lines if line["word"] == "wrong"] == []
    assert sum(line["word"] == "end" for line in lines) == 4
    with Gallery.open(place, actor="ada") as gallery:
        assert gallery.access.store.check() == []
        order = serial_order(told, gallery.history())
        found: dict[str, list[str]] = {row.label: [] for row in gallery.labels()}
        names = {row.id: row.label for row in gallery.labels()}
        for row in gallery.exemplars():
            assert row.class_id is not None
            found[names[row.class_id]].append(row.content_hash)
        last = gallery.history(last=1)[0].id
    asked = [line for line in lines if line["word"] == "answer"]
    waiting: dict[int, list[dict[str, Any]]] = {}
    for line in asked:
        POINTS[line["content"]] = world.point_of(line["content"])
        waiting.setdefault(line["low"], []).append(line)
    serial, open_questions = Serial(), []
    for number in range(last + 1):
        if number in order:
            line = order[number]
            POINTS.update((c, world.point_of(c)) for c in line["others"])
            serial.apply(line["action"], line["label"], line["others"])
        open_questions += waiting.get(number, [])
        left = []
        for line in open_questions:
            distance, labels = serial.closest(POINTS[line["content"]])
            is_right = line["distance"] == distance and (not labels or line["label"] in labels)
            if not is_right:
                assert number < line["high"], f"no serial order gives {line}, but {labels}"
                left.append(line)
        open_questions = left
    expected = {label: sorted(contents) for label, contents in serial.classes.items()}
    assert {label: sorted(contents) for label, contents in found.items()} == expected
    return {"changes": len(order), "answers": len(asked), "classes": len(expected)}


def test_four_processes_work_together(tmp_path: Path) -> None:
    seen = check_together(tmp_path / "g", 3)
    assert min(seen["changes"], seen["answers"]) > 10, seen


@pytest.mark.slow
def test_four_processes_work_together_for_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = check_together(tmp_path / "g", 60)
    with capsys.disabled():
        print("\n", seen)  # noqa: T201  the figures of a long run are wanted
    assert min(seen["changes"], seen["answers"]) > 500, seen
