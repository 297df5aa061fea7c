"""What shows or names people is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilk.distances import Euclidean
from ilk.drawing import write_drawing
from ilk.gallery import Binding, Gallery
from ilk.gallery.generations import draft
from ilk.whole_file import whole_file, write_private

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs rights of files")


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_gallery_in_a_folder_of_others_and_its_bundle(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir(mode=0o777)
    binding = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
    with Gallery.create(place, binding) as gallery:
        gallery.enroll("Ada", np.zeros((1, 2)))
        gallery.export(tmp_path / "bundle")
        files = [path for path in (place / "1").iterdir() if path.name.startswith("gallery.sqlite")]
        assert len(files) == 3
        assert {rights(path) for path in files} == {0o600}
        assert rights(place / "1") == 0o700
        assert rights(tmp_path / "bundle") == 0o600
        Gallery.import_(tmp_path / "bundle", tmp_path / "other", binding).close()
        assert rights(tmp_path / "other") == rights(tmp_path / "other" / "1") == 0o700
        location = gallery.access.location
        assert rights(draft(location, 2).folder) == 0o700
        (place / "1").chmod(0o750)
        assert rights(draft(location, 2).folder) == 0o750  # a migration shares it as before


def test_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("an older one")
    with whole_file(path) as partial:
        assert rights(partial) == 0o600
        partial.write_text("crops")
    assert rights(path) == 0o600
    with whole_file(path, is_private=False) as partial:
        partial.write_text("weights")
    assert rights(path) == 0o666
    write_private(path, b"a crop")
    assert (rights(path), path.read_bytes()) == (0o600, b"a crop")


def test_drawings(tmp_path: Path) -> None:
    write_drawing(Image.new("RGB", (4, 4)), tmp_path / "drawn.png")
    assert rights(tmp_path / "drawn.png") == 0o600
