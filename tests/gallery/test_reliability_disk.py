"""A gallery on a full disk: an error says so, nothing is lost, and it goes on once it can."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ilk.distances import Euclidean
from ilk.errors import GalleryError
from ilk.gallery import Binding, Gallery

resource = pytest.importorskip("resource")

_ROWS = 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file of this process grow beyond 4 MB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def create(place: Path) -> Gallery:
    binding = Binding(distance=Euclidean(), embedding_size=3, encoder_fingerprint="grid")
    gallery = Gallery.create(place, binding, margin=0.0, actor="ada")
    gallery.calibrate(0.1, strangers=np.arange(60.0).reshape(20, 3) - 1000.5)
    return gallery


def points_of(number: int) -> np.ndarray:
    return np.column_stack([np.full(_ROWS, 1.0 * number), np.arange(_ROWS), np.zeros(_ROWS)])


def enroll(gallery: Gallery, number: int) -> None:
    crops = [bytes([number, i]) * 2000 for i in range(_ROWS)]
    answers = gallery.enroll(f"class {number}", points_of(number), crops=crops)
    assert all(answer.is_enrolled for answer in answers)


def fill_up(gallery: Gallery) -> int:
    """Enroll until the disk is full; return how many classes were acknowledged."""
    for number in range(200):
        try:
            enroll(gallery, number)
        except GalleryError:
            with pytest.raises(GalleryError, match="nothing was changed"):
                enroll(gallery, number)
            return number
    pytest.fail("the disk never became full")


def check(gallery: Gallery, count: int) -> None:
    expected = {f"class {number}": _ROWS for number in range(count)}
    assert {row.label: row.num_exemplars for row in gallery.labels()} == expected
    for number in range(count):
        answers = gallery.identify(points_of(number)[::7])
        assert {(answer.label, answer.distance) for answer in answers} == {(f"class {number}", 0.0)}
    assert gallery.access.store.check() == []


def test_a_full_disk_loses_nothing_that_was_enrolled(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * 2_000_000)
    with create(small_disk / "g") as gallery:
        count = fill_up(gallery)
        assert count > 1
        check(gallery, count)
    with Gallery.open(small_disk / "g") as again:
        check(again, count)
        ballast.unlink()
        enroll(again, count)
        check(again, count + 1)


def test_files_that_may_not_grow_lose_nothing_that_was_enrolled(
    tmp_path: Path, small_files: None
) -> None:
    with create(tmp_path / "g") as gallery:
        count = fill_up(gallery)
        assert count > 1
        check(gallery, count)
    with Gallery.open(tmp_path / "g") as again:
        check(again, count)
