"""Passers-by who are patches of light on a dark wall, a detector for them, and a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.artifact import ArtifactParts, write_artifact
from ilk.detector import Quality, Region
from ilk.images import Box
from ilk.items import Item, Items
from ilk.plugins import load
from ilk.recognizer import Recognizer

SIDE = 32
Places = Mapping[int, tuple[float, float]]
"""Where the left upper corner of each person is."""


class Passers:
    """Finds patches of light that do not touch in x; flat grey ones are "blurred"."""

    noun = "passer"
    is_whole = False
    settings: dict[str, Any] = {"name": "passers"}  # noqa: RUF012

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        light = image.max(2) > 60
        columns = np.flatnonzero(np.diff(np.pad(light.any(0), 1).astype(int)))
        found = []
        for x1, x2 in columns.reshape(-1, 2).tolist():
            rows = np.flatnonzero(light[:, x1:x2].any(1))
            y1, y2 = int(rows[0]), int(rows[-1]) + 1
            patch = image[y1:y2, x1:x2].astype(float)
            sharpness = float(patch.std())
            code = "blurred" if sharpness < 12 else ""
            quality = Quality(size_pixels=float(min(x2 - x1, y2 - y1)), sharpness=sharpness)
            box = (float(x1), float(y1), float(x2), float(y2))
            reason = "it is blurred" if code else ""
            found.append(Region(box=box, quality=quality, code=code, reason=reason))
        return tuple(found)

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        x1, y1, x2, y2 = (round(v) for v in region.box)
        return np.ascontiguousarray(image[y1:y2, x1:x2])


def patch_of(person: int, variation: int, contrast: float = 1.0) -> np.ndarray:
    """Return somebody, (32, 32, 3) uint8; pictures of one hardly differ."""
    middle = np.random.default_rng([1, person]).integers(80, 250, (4, 4))
    noise = np.random.default_rng([2, person, variation]).integers(-3, 4, (4, 4))
    cells = np.clip(165 + contrast * (middle - 165) + noise, 70, 255).astype(np.uint8)
    return np.repeat(np.kron(cells, np.ones((8, 8), np.uint8))[..., None], 3, 2)


def stage(
    people: Places, variation: int = 0, size: tuple[int, int] = (160, 320), contrast: float = 1.0
) -> np.ndarray:
    """Return a frame (H, W, 3) with these people in it."""
    frame = np.full((*size, 3), 12, np.uint8)
    for person, (x, y) in people.items():
        left, top = round(x), round(y)
        frame[top : top + SIDE, left : left + SIDE] = patch_of(person, variation, contrast)
    return frame


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_stage() -> Any:
    """Give `stage`."""
    return stage


@pytest.fixture
def gallery_place(tmp_path: Path, parts: ArtifactParts, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gallery of the people 0, 1 and 2; 100 to 158 are strangers to calibrate with at 5 %."""

    def find(group: str, name: str) -> Any:
        return Passers if (group, name) == ("detectors", "passers") else load(group, name)

    monkeypatch.setattr("ilk.detecting.load", find)
    watched = replace(parts, config={"detector": {"name": "passers"}})
    artifact = write_artifact(tmp_path / "passers.ilk", watched)
    with Recognizer.create(tmp_path / "door.gallery", artifact) as made:
        known = [(person, variation) for person in range(3) for variation in range(3)]
        made.enroll(_pictures(known))
        made.calibrate(0.05, strangers=_pictures([(100 + i, 50) for i in range(59)]))
    return tmp_path / "door.gallery"


@pytest.fixture
def recognizer(gallery_place: Path) -> Iterator[Recognizer]:
    """The same, opened."""
    with Recognizer.open(gallery_place) as opened:
        yield opened


def _pictures(shown: Sequence[tuple[int, int]]) -> Items:
    return Items(
        tuple(
            Item(stage({person: (40, 40)}, variation), f"person {person}", f"{person} {variation}")
            for person, variation in shown
        )
    )
