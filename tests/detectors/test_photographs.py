"""Real photographs, where they are: what is found, and that good ones are not refused."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ilk.detectors.faces import Faces
from ilk.images import read_image

pytestmark = pytest.mark.slow


def _pictures(name: str, step: int) -> Iterator[tuple[str, bytes]]:
    """Every step-th JPEG of the first archive whose name begins like this."""
    if not os.environ.get("ILK_DATA"):
        pytest.skip("ILK_DATA does not name the folder of real data")
    found = sorted(Path(os.environ["ILK_DATA"]).rglob(f"{name}*.zip"))
    if not found:
        pytest.skip(f"ILK_DATA has no {name}*.zip")
    with zipfile.ZipFile(io.BytesIO(found[0].read_bytes())) as archive:
        files = sorted(file for file in archive.namelist() if file.endswith(".jpg"))
        for file in files[::step]:
            yield file, archive.read(file)


@pytest.mark.parametrize(("name", "step", "least"), [("face_pairs", 1, 64), ("lfw_pairs", 40, 190)])
def test_faces_of_photographs_are_found_and_accepted(
    faces: Faces, name: str, step: int, least: int
) -> None:
    missed, refused, count = [], [], 0
    for file, content in _pictures(name, step):
        count += 1
        regions = faces.detect(read_image(content, name=file))
        if not regions:
            missed.append(file)
        elif not max(regions, key=lambda region: region.area).is_assessable:
            refused.append(file)
    assert count >= least
    assert len(missed) <= 0.01 * count, missed
    assert len(refused) <= 0.01 * count, refused
