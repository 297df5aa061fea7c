"""A detector for tests: pictures are grids of tiles of 16 pixels, black ones are empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ilk.detector import Quality, Region
from ilk.images import Box

TILE = 16


class Tiles:
    """Finds the tiles that are not black; a nearly black one is too dark to assess."""

    noun = "tile"
    is_whole = False

    def __init__(self, *, border: int = 0) -> None:
        self._border = border

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": "tiles", "border": self._border}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        height, width = image.shape[:2]
        corners = [(x, y) for y in range(0, height, TILE) for x in range(0, width, TILE)]
        found = tuple(
            self._region(image, x, y) for x, y in corners if image[y : y + TILE, x : x + TILE].any()
        )
        if box is None:
            return found
        inside = [r for r in found if shared(r.box, box) > 0]
        return (max(inside, key=lambda r: shared(r.box, box)),) if inside else ()

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        x1, y1, x2, y2 = (int(v) for v in region.box)
        b = self._border
        return np.ascontiguousarray(image[y1 + b : y2 - b, x1 + b : x2 - b])

    def _region(self, image: np.ndarray, x: int, y: int) -> Region:
        brightness = float(image[y : y + TILE, x : x + TILE].mean() / 255)
        is_dark = brightness < 0.05
        return Region(
            box=(float(x), float(y), float(x + TILE), float(y + TILE)),
            landmarks=((x + 4.0, y + 4.0), (x + 12.0, y + 4.0)),
            score=round(0.5 + brightness / 2, 6),
            quality=Quality(size_pixels=TILE, brightness=brightness),
            code="badly_lit" if is_dark else "",
            reason=f"the brightness is {brightness:.2f}, at least 0.05 is needed"
            if is_dark
            else "",
        )


def shared(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def tile_of(kind: int, variation: int) -> np.ndarray:
    """Return a tile of one kind, (16, 16, 3) uint8; variations hardly differ."""
    middle = np.random.default_rng([5, kind]).integers(30, 225, (4, 4))
    noise = np.random.default_rng([6, kind, variation]).integers(-4, 5, (4, 4))
    cells = np.clip(middle + noise, 20, 255).astype(np.uint8)
    return np.repeat(np.kron(cells, np.ones((4, 4), np.uint8))[:, :, None], 3, 2)


def grid(tiles: Sequence[np.ndarray | None], columns: int) -> np.ndarray:
    """Return a picture of tiles; None is empty."""
    rows = -(-len(tiles) // columns)
    picture = np.zeros((rows * TILE, columns * TILE, 3), np.uint8)
    for i, tile in enumerate(tiles):
        if tile is not None:
            y, x = TILE * (i // columns), TILE * (i % columns)
            picture[y : y + TILE, x : x + TILE] = tile
    return picture
