"""`ilk watch`, as a person types it."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.cli.main import ilk
from ilk.gallery import Gallery
from ilk.images import read_image

OF_JSON = Path(__file__).parent.parent / "test_cli_gallery_json.py"
check: Any = SimpleNamespace(**runpy.run_path(str(OF_JSON)))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ilk, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.stdout


@pytest.fixture
def frames(make_stage: Any) -> list[np.ndarray]:
    """Person 1 and a stranger pass, then nobody, then person 0."""
    first = [make_stage({1: (3.0 * i, 10), 200: (280 - 3.0 * i, 100)}, i) for i in range(30)]
    return first + [make_stage({})] * 40 + [make_stage({0: (3.0 * i, 60)}, i) for i in range(30)]


@pytest.fixture
def folder(frames: list[np.ndarray], tmp_path: Path) -> Path:
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.png")
    return tmp_path / "frames"


def test_a_video_file_is_told_in_a_line_per_track(
    gallery_place: Path, frames: list[np.ndarray], tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "door.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (320, 160))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    lines = done("watch", gallery_place, path).splitlines()
    assert [line.split("(")[0].split("  track ")[1].strip() for line in lines[:3]] == [
        "1: person 1",
        "2: unknown",
        "3: person 0",
    ]
    assert lines[0].startswith("0:00.0 - 0:01.1")
    assert lines[2].startswith("0:02.8 - 0:03.9")
    assert re.match(r"looked at 100 frames in [\d.]+ s \([\d.]+ per second\): 3 tracks", lines[4])
    assert lines[4].endswith("2 identified, 1 unknown")
    assert lines[5].startswith(
        "if all compared tracks (3) were of strangers, at most 0.15 of them would get a"
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 5])
    broken = run("watch", gallery_place, path)
    assert broken.exit_code == 0
    assert "track 1: person 1" in broken.stdout
    assert "of its 100 frames can be decoded" in broken.stderr


def test_json_is_an_object_a_line_as_documented(gallery_place: Path, folder: Path) -> None:
    told = [
        json.loads(line) for line in done("watch", gallery_place, folder, "--json").splitlines()
    ]
    assert [one["schema"] for one in told] == ["ilk.watch.event"] * 3 + ["ilk.watch"]
    for one in told:
        keys = check.SCHEMAS[one["schema"]] | {"schema": "string", "schema_version": "integer"}
        assert not list(check.wrong_keys(one, keys))
    assert told[3]["decisions"] == {"identified": 2, "unknown": 1}
    assert (told[3]["num_frames"], told[3]["num_tracks"]) == (100, 3)
    assert told[3]["problems"] == []


def test_events_are_logged_and_tracks_drawn(
    gallery_place: Path, folder: Path, tmp_path: Path
) -> None:
    log, drawn, crops = tmp_path / "events.jsonl", tmp_path / "drawn", tmp_path / "crops"
    options = ("--log", log, "--draw", drawn, "--crops", crops, "--decide-after", 5)
    done("watch", gallery_place, folder, *options, "--keep-unknown")
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [(e["track"], e["event"]) for e in events] == [
        (1, "decided"),
        (2, "decided"),
        (1, "ended"),
        (2, "ended"),
        (3, "decided"),
        (3, "ended"),
    ]
    assert [e["num_frames"] for e in events] == [5, 5, 30, 30, 5, 30]
    names = [f"frames-track-000{i}" for i in (1, 2, 3)]
    assert sorted(path.stem for path in drawn.iterdir()) == names
    assert sorted(path.stem for path in crops.iterdir()) == names
    named, unknown = (read_image(drawn / f"{name}.png").astype(int) for name in names[:2])
    assert named.shape[1] >= 320
    assert (np.ptp(named, axis=2) > 60).sum() > 100, "a coloured box"
    assert named.shape != unknown.shape or (named != unknown).any()
    crop = read_image(crops / names[0] / "best.png")
    assert crop.shape == (32, 32, 3)
    with Gallery.open(gallery_place) as opened:
        assert [row.name for row in opened.unknowns()] == [f"{folder} track 2"]
    done("watch", gallery_place, folder, "--log", log)
    assert len(log.read_text("utf-8").splitlines()) == 9


def test_strangers_who_were_watched_can_calibrate(
    gallery_place: Path, folder: Path, tmp_path: Path
) -> None:
    done("watch", gallery_place, folder, "--crops", tmp_path / "crops")
    told = done(
        *("gallery", "calibrate", gallery_place, "--strangers", tmp_path / "crops"),
        *("--detector", "whole_image", "--target-fpir", 0.4),
    )
    assert "chosen on 3 classes of strangers" in told


def test_rules_and_fewer_frames_can_be_asked_for(gallery_place: Path, folder: Path) -> None:
    options = ("--rule", "set", "--shots", 3, "--every", 2, "--json")
    told = [
        json.loads(line) for line in done("watch", gallery_place, folder, *options).splitlines()
    ]
    assert [(one["rule"], one["num_probes"]) for one in told[:3]] == [("set", 3)] * 3
    assert told[0]["label"] == "person 1"
    assert told[3]["num_frames"] == 50
    slow = done("watch", gallery_place, folder, "--pictures-per-second", 5, "--fps", 1, "--json")
    assert json.loads(slow.splitlines()[-1])["num_frames"] == 20


def test_an_interruption_decides_what_is_open(
    gallery_place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ilk.watching import Watch

    real, before = Watch.look, signal.getsignal(signal.SIGINT)

    def look(self: Watch, frame: Any) -> Any:
        if frame.number == 12:
            signal.raise_signal(signal.SIGINT)
        return real(self, frame)

    monkeypatch.setattr(Watch, "look", look)
    result = run("watch", gallery_place, folder)
    assert result.exit_code == 1
    assert "track 1: person 1" in result.stdout
    assert "track 2: unknown" in result.stdout
    assert "looked at 13 frames" in result.stdout
    assert "Aborted" in result.output
    assert signal.getsignal(signal.SIGINT) is before


def test_before_a_camera_it_is_told_early_and_an_interruption_is_the_end(
    gallery_place: Path, make_stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ilk.watching import Watch

    picture = np.ascontiguousarray(make_stage({1: (40, 40)})[..., ::-1])
    camera = SimpleNamespace(
        isOpened=lambda: True, read=lambda: (True, picture), release=lambda: None
    )
    monkeypatch.setattr("ilk.watching.live.open_capture", lambda source: camera)
    real, count = Watch.look, 0

    def look(self: Watch, frame: Any) -> Any:
        nonlocal count
        count += 1
        if count == 15:
            signal.raise_signal(signal.SIGINT)
        return real(self, frame)

    monkeypatch.setattr(Watch, "look", look)
    result = run("watch", gallery_place, "camera:0", "--log", tmp_path / "log", "--keep-unknown")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert [(e["event"], e["label"], e["num_frames"]) for e in events] == [
        ("decided", "person 1", 10),
        ("ended", "person 1", 15),
    ]
    assert re.fullmatch(r"camera:0 \d{4}-\d\d-\d\dT\d{6}", events[0]["source"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing.mp4",), "no such file or folder"),
        (("camera:88",), "the camera is not there"),
        (("FRAMES", "--detector", "whole_image"), "one track of a whole video"),
        (("FRAMES", "--detector", "no such"), "no such"),
        (("FRAMES", "--log", "/nowhere/a.jsonl"), "/nowhere"),
    ],
)
def test_what_cannot_be_watched_is_told_in_a_line(
    gallery_place: Path, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    if "camera" in arguments[0]:
        pytest.importorskip("cv2")
    result = run("watch", gallery_place, *(str(folder) if a == "FRAMES" else a for a in arguments))
    assert result.exit_code == 1
    assert words in str(result.exception)


KILLED = """
import os, runpy, signal, sys
from pathlib import Path
conftest, gallery, folder, log = sys.argv[1:]
from ilk.recognizer import Recognizer
from ilk.watching import EventLog, Watch, open_frames
detector = runpy.run_path(conftest)["Passers"]()
with Recognizer.open(gallery, detector=detector) as recognizer, EventLog(Path(log)) as events:
    watching = Watch(recognizer, "a")
    for frame in open_frames(folder):
        for event in watching.look(frame):
            events.write(event.to_json())
        if frame.number == 80:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_told_before_a_kill_is_in_the_log(
    gallery_place: Path, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    words = [Path(__file__).with_name("conftest.py"), gallery_place, folder, log]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, words)],
        capture_output=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [(e["track"], e["label"]) for e in events] == [(1, "person 1"), (2, None)]
    done("watch", gallery_place, folder, "--log", log)
    assert len(log.read_text("utf-8").splitlines()) == 5
