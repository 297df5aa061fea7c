"""Frames from files, folders and cameras, and what is said of those that are none."""

from __future__ import annotations

import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ilk.errors import DataError, InvalidInput, MissingExtra
from ilk.watching import open_frames
from ilk.watching.cuts import Cuts
from ilk.watching.frames import Thinning

NUM = 30


def picture(i: int) -> np.ndarray:
    """Upper left red grows with the number; the lower right is blue."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32, 0] = 8 * i % 256
    pixels[24:, 32:, 2] = 200
    return pixels


def write_video(path: Path, fps: float = 25.0, count: int = NUM) -> Path:
    cv2 = pytest.importorskip("cv2")
    code = cv2.VideoWriter_fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, fps, (64, 48))
    for i in range(count):
        writer.write(np.ascontiguousarray(picture(i)[..., ::-1]))
    writer.release()
    return path


def write_matroska(path: Path, encoded_as: str) -> bytes:
    cv2 = pytest.importorskip("cv2")
    code = cv2.VideoWriter_fourcc(*encoded_as)
    writer = cv2.VideoWriter(str(path), code, 25.0, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {encoded_as}")
    for i in range(NUM):
        writer.write(np.ascontiguousarray(picture(i)[..., ::-1]))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["webm", "mkv"])
def test_matroska_need_not_say_how_many_frames_it_has(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    whole = write_matroska(path, "VP80" if ending == "webm" else "MJPG")
    rate, duration = whole.find(b"\x23\xe3\x83"), whole.find(b"\x44\x89\x88")
    segment = whole.find(b"\x18\x53\x80\x67") + 4
    assert min(rate, duration, segment) > 0
    length = whole[rate + 3] & 0x7F
    too_fast = (1_000_000).to_bytes(length, "big")  # a thousand frames per second
    variants = {
        "whole": whole,
        "a rate that is far off": whole[: rate + 4] + too_fast + whole[rate + 4 + length :],
        "no duration": whole[:duration] + b"\xec\x89" + bytes(9) + whole[duration + 11 :],
        "a duration of another track": whole[: duration + 3]
        + struct.pack(">d", 60_000.0)
        + whole[duration + 11 :],
        "recorded live": whole[:segment] + b"\x01" + b"\xff" * 7 + whole[segment + 8 :],
    }
    for name, content in variants.items():
        path.write_bytes(content)
        with open_frames(path) as frames:
            assert len(list(frames)) == NUM, name
            assert not frames.problems, name
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with open_frames(path) as frames:
        assert 5 < len(list(frames)) < NUM
        (problem,) = frames.problems
    assert f"{len(whole) * 6 // 10:,} of its {len(whole):,} bytes are there" in problem


def write_pictures(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(picture(i)).save(folder / f"frame{i}.png")
    return folder


@pytest.mark.parametrize("ending", ["avi", "mp4"])
@pytest.mark.parametrize("fps", [25.0, 29.97, 7.0])
def test_a_video_gives_its_frames_with_their_time(tmp_path: Path, ending: str, fps: float) -> None:
    path = write_video(tmp_path / f"a.{ending}", fps)
    with open_frames(path) as frames:
        seen = list(frames)
        assert not frames.problems
        assert (frames.num_frames, frames.is_live) == (NUM, False)
    assert [frame.number for frame in seen] == list(range(NUM))
    np.testing.assert_allclose([f.seconds for f in seen], np.arange(NUM) / fps, atol=2e-3)
    red = np.array([frame.image[4:20, 4:28, 0].mean() for frame in seen])
    np.testing.assert_allclose(red, 8 * np.arange(NUM), atol=14)
    assert seen[-1].image.shape == (48, 64, 3)
    assert seen[-1].image[40, 56, 2] > 150 > seen[-1].image[40, 56, 0]


def test_fewer_frames_are_looked_at_on_request(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi")
    asked: dict[str, dict[str, Any]] = {
        "every": {"every": 7},
        "fps": {"most_fps": 5.0},
        "more": {"most_fps": 100.0},
        "both": {"every": 2, "most_fps": 10.0},
    }
    numbers = {
        name: [frame.number for frame in open_frames(path, **options)]
        for name, options in asked.items()
    }
    assert numbers["every"] == [0, 7, 14, 21, 28]
    assert numbers["fps"] == [0, 5, 10, 15, 20, 25]
    assert numbers["more"] == list(range(NUM))
    assert len(numbers["both"]) == 12  # ten a second in 1.2 seconds
    assert all(number % 2 == 0 for number in numbers["both"])


def test_a_pause_does_not_make_up_for_frames_later() -> None:
    thinning = Thinning(most_fps=1)
    assert [s for s in (0, 0.5, 5, 5.5, 6, 6.5, 7) if thinning.wants(0, s)] == [0, 5, 6, 7]
    for options in ({"every": 0}, {"most_fps": 0.0}, {"most_fps": float("nan")}):
        with pytest.raises(InvalidInput):
            Thinning(**options)


@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_what_a_broken_video_holds_is_seen(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"a.{ending}", count=60)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if ending == "avi":
        path.write_bytes(content[:middle])
    else:
        content[middle : middle + len(content) // 8] = bytes(len(content) // 8)
        path.write_bytes(content)
    with open_frames(path) as frames:
        count = sum(1 for _ in frames)
        assert 10 < count < 60
        (problem,) = frames.problems
    assert f"only {count} of its 60 frames" in problem


def test_the_rotation_of_a_phone_is_applied(tmp_path: Path) -> None:
    """A quarter turn clockwise, as a phone writes it into the header of the track."""
    path = write_video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix comes after 40 bytes
    one, w = 1 << 16, 1 << 30
    assert struct.unpack(">9i", content[at : at + 36]) == (one, 0, 0, 0, one, 0, 0, 0, w)
    content[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, w)
    path.write_bytes(content)
    last = list(open_frames(path))[-1].image
    assert last.shape == (64, 48, 3)
    assert last[4:28, 28:44, 0].mean() > 150  # the red corner went to the upper right
    assert last[36:60, 4:20, 2].mean() > 150


def test_pictures_of_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "frames")
    (folder / "frame5.png").write_bytes(b"broken")
    with open_frames(folder, pictures_per_second=4) as frames:
        seen = list(frames)
        assert len(frames.problems) == 1
        assert "frame5.png" in frames.problems[0]
    numbers = [i for i in range(12) if i != 5]
    assert [frame.number for frame in seen] == numbers
    assert [frame.seconds for frame in seen] == [i / 4 for i in numbers]
    assert [frame.image[0, 0, 0] for frame in seen] == [8 * i for i in numbers]
    some = list(open_frames(str(folder / "frame1*.png"), every=2))
    assert [frame.image[0, 0, 0] for frame in some] == [8, 88]
    assert len(list(open_frames(folder / "frame3.png"))) == 1


def bad_sources(folder: Path) -> dict[str, str]:
    (folder / "text.mp4").write_text("#EXTM3U\nhttp://elsewhere/a.ts\n")
    (folder / "empty.mp4").touch()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "nothing").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return {
        "text.mp4": "got a text",
        "empty.mp4": "an empty file",
        "noise.mp4": "not a video that can be decoded",
        "nothing": "got none",
        "broken": "no picture can be read; .*a.png",
        "none.mp4": "no such file or folder",
        "*.jpg": "got none",
        "/dev/null": "not a regular file",
        "camera:77": "camera:77: the camera is not there",
        "ftp://door/1": "expected a stream by rtsp",
    }


def test_bad_sources_are_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    for name, words in bad_sources(tmp_path).items():
        is_path = ":" not in name and not name.startswith("/")
        with pytest.raises(DataError, match=words) as caught:
            list(open_frames(str(tmp_path / name) if is_path else name))
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput):
        open_frames(write_pictures(tmp_path / "more", 1), pictures_per_second=0)


def test_a_video_without_opencv_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftyp")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r'pip install "ilk\[faces\]"'):
        open_frames(tmp_path / "a.mp4")
    assert len(list(open_frames(write_pictures(tmp_path / "frames")))) == 12


class Camera:
    """Gives so many pictures and is then unplugged."""

    def __init__(self, count: int, *, is_opened: bool = True) -> None:
        self.count, self._is_opened, self.is_released = count, is_opened, False

    def isOpened(self) -> bool:
        return self._is_opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.001)
        self.count -= 1
        return (True, np.zeros((8, 8, 3), np.uint8)) if self.count >= 0 else (False, None)

    def release(self) -> None:
        self.is_released = True


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[[Camera], None]:
    monkeypatch.setattr("ilk.watching.live._PAUSE_SECONDS", 0.0)
    return lambda camera: monkeypatch.setattr("ilk.watching.live.open_capture", lambda _: camera)


def test_a_camera_that_is_unplugged_ends_with_a_problem(plug: Callable[[Camera], None]) -> None:
    camera = Camera(20)
    plug(camera)
    with open_frames("camera:0") as frames:
        assert (frames.is_live, frames.num_frames) == (True, None)
        seen = list(frames)
        assert "no pictures any more" in frames.problems[0]
    assert camera.is_released
    numbers = [frame.number for frame in seen]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19  # the latest is never left out


def test_a_camera_can_be_stopped_while_no_picture_comes(plug: Callable[[Camera], None]) -> None:
    plug(Camera(10**9))
    with open_frames("0") as frames:
        for i, _ in enumerate(frames):
            if i == 2:
                frames.stop()
        assert not frames.problems
    plug(Camera(0))
    with pytest.raises(DataError, match="gives no picture"), open_frames("camera:0") as frames:
        list(frames)
    plug(Camera(0, is_opened=False))
    with pytest.raises(DataError, match="cannot be reached"):
        open_frames("rtsp://door/1")


def test_a_camera_that_hangs_can_be_stopped(plug: Callable[[Camera], None]) -> None:
    goes_on = threading.Event()

    class Hanging(Camera):
        def read(self) -> tuple[bool, np.ndarray | None]:
            goes_on.wait(30)
            return super().read()

    plug(Hanging(1))
    with open_frames("camera:0") as frames:
        threading.Timer(0.02, frames.stop).start()
        assert not list(frames)
        goes_on.set()


def test_a_driver_that_fails_ends_with_a_problem(plug: Callable[[Camera], None]) -> None:
    class Failing(Camera):
        def read(self) -> tuple[bool, np.ndarray | None]:
            if self.count == 1:
                raise RuntimeError("bus error")
            return super().read()

    camera = Failing(5)
    plug(camera)
    with open_frames("camera:0") as frames:
        assert list(frames)[-1].number == 3
        assert frames.problems == ("camera:0: the camera broke off: bus error",)
    assert camera.is_released


def test_stopping_ends_any_source(tmp_path: Path) -> None:
    for source in (write_pictures(tmp_path / "frames"), write_video(tmp_path / "a.avi")):
        with open_frames(source) as frames:
            count = 0
            for _ in frames:
                count += 1
                frames.stop()
            assert (count, frames.problems) == (1, ())


def test_cuts_are_seen_and_movement_light_and_grain_are_not() -> None:
    random = np.random.default_rng(0)
    street, office = (
        np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((20, 30, 1))) for _ in "ab"
    )
    street, office = street.astype(np.uint8), office.astype(np.uint8)
    moved = np.roll(street, 8, axis=1)
    dark = [random.integers(0, 12, street.shape).astype(np.uint8) for _ in range(3)]
    flash = (street.astype(int) // 3 + 170).astype(np.uint8)
    for steps in ([street, moved], [street, flash, street], dark):
        cuts = Cuts()
        assert not any(cuts.is_cut(image) for image in steps)
    for steps in ([street, office], [street, street[:100]], [street, np.zeros_like(street)]):
        cuts = Cuts()
        assert [cuts.is_cut(image) for image in steps] == [False, True]
