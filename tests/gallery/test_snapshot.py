"""A snapshot is read whole or not at all, whatever happened to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.errors import InvalidInput
from ilk.gallery.snapshot import Snapshot, read_snapshot, remove_snapshot, write_snapshot

HEADER: dict[str, Any] = {"encoder": "abc", "sequence": 7, "sizes": (1, 2)}


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "embeddings": rng.normal(size=(700, 33)).astype(np.float32),
        "ids": rng.permutation(700),
        "none": np.zeros((0, 33), np.float32),
        "flags": rng.random(5) < 0.5,
        "names": np.array(["owl", "Möwe"]),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "one": np.array(3.5),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot"
    assert write_snapshot(path, HEADER, arrays())
    return path


def is_whole(snapshot: Snapshot) -> bool:
    kept = snapshot.arrays
    return kept.keys() == arrays().keys() and all(
        kept[name].dtype == array.dtype and np.array_equal(kept[name], array)
        for name, array in arrays().items()
    )


def test_what_is_written_is_read(path: Path) -> None:
    found = read_snapshot(path, expect={"encoder": "abc"})
    assert found is not None
    assert is_whole(found)
    assert found.header == {"encoder": "abc", "sequence": 7, "sizes": [1, 2]}
    assert read_snapshot(path, expect={"sizes": (1, 2)}) is not None
    assert list(path.parent.iterdir()) == [path]


def test_without_arrays_or_with_a_long_header(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    header = {"text": "x" * 50_000}
    for kept in ({}, {"a": np.arange(3)}):
        assert write_snapshot(path, header, kept)
        found = read_snapshot(path, expect=header)
        assert found is not None
        assert {name: array.tolist() for name, array in found.arrays.items()} == {
            name: array.tolist() for name, array in kept.items()
        }


def test_missing_foreign_or_of_something_else(path: Path, tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "nothing", expect={}) is None
    assert read_snapshot(tmp_path, expect={}) is None
    assert read_snapshot(path, expect={"encoder": "abd"}) is None
    assert read_snapshot(path, expect={"unheard": None, "of": 1}) is None
    foreign = tmp_path / "foreign"
    for content in (b"", b"SQLite format 3\0" * 400, b"ilksnap\x01" + b"\xff" * 99, b"ilksnap\x01"):
        foreign.write_bytes(content)
        assert read_snapshot(foreign, expect={}) is None
    foreign.write_bytes(path.read_bytes().replace(b"ilksnap\x01", b"ilksnap\x02"))
    assert read_snapshot(foreign, expect={}) is None


def test_cut_anywhere(path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(0, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        assert read_snapshot(path, expect={}) is None
    path.write_bytes(content + b"\0")
    assert read_snapshot(path, expect={}) is None


def test_any_changed_byte(path: Path) -> None:
    """Every changed byte is noticed, or lies in the padding and changes nothing."""
    content = path.read_bytes()
    num_noticed = 0
    for at in np.random.default_rng(0).integers(0, len(content), 300).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        found = read_snapshot(path, expect={})
        num_noticed += found is None
        assert found is None or is_whole(found)
    assert num_noticed > 200


def damage(array: np.ndarray, fault: str) -> np.ndarray:
    array = array.copy()
    if fault == "signs":
        array[:2] *= -1
    if fault == "swapped pages":
        flat = array.reshape(-1)
        flat[:2048] = np.concatenate([flat[1024:2048], flat[:1024]])
    if fault == "zeroed page":
        array.reshape(-1)[-1024:] = 0
    return array


@pytest.mark.parametrize("fault", ["none", "signs", "swapped pages", "zeroed page"])
def test_damage_as_disks_do_it(path: Path, fault: str) -> None:
    before = arrays()["embeddings"]
    content = path.read_bytes()
    assert content.count(before.tobytes()) == 1
    path.write_bytes(content.replace(before.tobytes(), damage(before, fault).tobytes()))
    assert (read_snapshot(path, expect={}) is not None) == (fault == "none")


def test_writing_to_the_arrays_changes_no_file(path: Path) -> None:
    before = path.read_bytes()
    found = read_snapshot(path, expect={})
    assert found is not None
    found.arrays["embeddings"][:] = 0
    assert path.read_bytes() == before


def test_python_objects_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInput, match="'things' is of type object"):
        write_snapshot(path, {}, {"things": np.array([{}])})


def test_a_full_disk_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not write_snapshot(path, {"other": 1}, {})
    found = read_snapshot(path, expect=HEADER)
    assert found is not None
    assert is_whole(found)
    assert list(path.parent.iterdir()) == [path]
    assert not write_snapshot(path.parent / "no" / "such" / "folder", {}, {})


def test_removing_takes_leftovers_along(path: Path) -> None:
    other = path.with_name("snapshots.txt")
    other.touch()
    path.with_name("snapshot.12-ab.partial").write_bytes(b"half")
    remove_snapshot(path)
    remove_snapshot(path)
    assert list(path.parent.iterdir()) == [other]


WRITER = """
import sys, numpy as np
from pathlib import Path
from ilk.gallery.snapshot import write_snapshot
path, version = Path(sys.argv[1]), 0
while True:
    version += 1
    arrays = {name: np.full(300_000, version) for name in "abc"}
    write_snapshot(path, {"version": version}, arrays)
    print(version, flush=True)
"""


def kill_while_writing(path: Path, delay: float) -> None:
    """Let a process write versions and kill it; the last whole one must be there, or the next."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    written = int(lines[-1])
    found = read_snapshot(path, expect={})
    assert found is not None
    assert found.header["version"] in (written, written + 1)
    for array in found.arrays.values():
        assert (array == found.header["version"]).all()


@pytest.mark.parametrize("trial", range(4))
def test_killed_while_writing(tmp_path: Path, trial: int) -> None:
    kill_while_writing(tmp_path / "snapshot", 0.013 * trial)


@pytest.mark.slow
def test_killed_while_writing_two_hundred_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        kill_while_writing(tmp_path / "snapshot", float(rng.random() * 0.06))
        remove_snapshot(tmp_path / "snapshot")
        assert not list(tmp_path.iterdir())
