"""The detector of faces."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from ilk.detector import Region
from ilk.detectors.faces.aligning import cut_out, similarity, template
from ilk.detectors.faces.judging import JUDGED_PIXELS, Limits, judged, tilted_degrees_of
from ilk.detectors.faces.placing import in_reading_order, quarter_turns, shifted, turned_back
from ilk.detectors.faces.searching import Search
from ilk.detectors.faces.yunet import ROW, YuNet, merged, overlaps
from ilk.errors import InvalidInput
from ilk.images import Box
from ilk.model_files import model_file
from ilk.preprocess import Size, sides_of

__all__ = ["Faces"]

_LEANING_DEGREES, _LYING_SCORE = 60, 0.9
"""Faces that lie on their side or stand on their head must be surer than others: there are few of
them, and apples have many sides."""
_AROUND = 0.5
"""How far around a given box is looked, as a share of its longer side."""
_INSIDE = 0.5
"""The share of a face that must be in a given box."""
_RANGES = {
    "size_pixels": (16, 4096),
    "min_score": (0.3, 1),
    "min_size_pixels": (10, 10_000),
    "min_sharpness": (0, 64),
    "max_turned_degrees": (0, 90),
    "min_brightness": (0, 1),
    "max_brightness": (0, 1),
}
"""What the options may be."""


@final
class Faces:
    """Finds faces of any size, also in pictures that lie on their side, and turns them upright.

    Faces are looked for by YuNet. Where none is sure, or one lies on its side, the picture is
    turned and looked at again. The crops are those that ArcFace, SFace, AdaFace and others were
    trained on: eyes, nose and mouth are where their template has them.

    Args:
        size_pixels: The side of the crops, or their height and width.
        min_score: How sure the network must be that something is a face.
        min_size_pixels: Narrower faces are "too_small". All wider ones are looked for, and most
            of those that are half as wide; the larger, the faster.
        min_sharpness: Faces with less are "blurred". It is the variance of the Laplacian over that
            of the face, at half the size of a crop. Photographs have 0.1 to 3; at 0.02 an encoder
            misses every seventh person whom it knows from a sharp picture.
        max_turned_degrees: Faces that look further aside are "turned_away".
        min_brightness: Darker faces are "badly_lit".
        max_brightness: And so are brighter ones.
        weights: The file of YuNet, or a folder with it; None has it looked for on this machine.

    Raises:
        MissingExtra: OpenCV 4 is not installed.
        MissingWeights: The file of YuNet is not found.
        WrongWeights: It is not the file that it should be.
        DamagedArtifact: OpenCV cannot read it.
        InvalidInput: An option is out of its range.

    Example:
        >>> from ilk.datasets.portraits import draw_portrait
        >>> faces, picture = Faces(), draw_portrait(3, 0)
        >>> (region,) = faces.detect(picture)
        >>> region.is_assessable, faces.crop(picture, region).shape
        (True, (112, 112, 3))
    """

    noun = "face"
    is_whole = False

    def __init__(
        self,
        *,
        size_pixels: Size = 112,
        min_score: float = 0.8,
        min_size_pixels: float = 40,
        min_sharpness: float = 0.03,
        max_turned_degrees: float = 60,
        min_brightness: float = 0.04,
        max_brightness: float = 0.96,
        weights: str | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "size_pixels": size_pixels,
            "min_score": min_score,
            "min_size_pixels": min_size_pixels,
            "min_sharpness": min_sharpness,
            "max_turned_degrees": max_turned_degrees,
            "min_brightness": min_brightness,
            "max_brightness": max_brightness,
        }
        for name, value in self._options.items():
            for number in sides_of(value) if name == "size_pixels" else (value,):
                _check(name, number)
        if not isinstance(size_pixels, int):
            self._options["size_pixels"] = list(sides_of(size_pixels))
        self._template = template(size_pixels)
        self._limits = Limits(
            min_size_pixels=min_size_pixels,
            min_sharpness=min_sharpness,
            max_turned_degrees=max_turned_degrees,
            min_brightness=min_brightness,
            max_brightness=max_brightness,
        )
        self._weights = weights
        network = YuNet(model_file("yunet", path=weights).content)
        self._search = Search(network, min_size_pixels, min_score)

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and options."""
        named = {} if self._weights is None else {"weights": self._weights}
        return {"name": "faces", **self._options, **named}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        """Return the faces of a picture, row by row, each from left to right.

        Args:
            image: (H, W, 3) uint8.
            box: Look only in it and a little around it, and return the face that fills it best, if
                at least half of the face is in it.

        Raises:
            InvalidInput: It is not such a picture, or the box is not x1, y1, x2, y2.
        """
        _check_picture(image)
        if box is None:
            rows = self._faces(image)
        else:
            x1, y1, x2, y2 = _around(box, image)
            rows = shifted(self._faces(image[y1:y2, x1:x2]), x1, y1)
            rows = rows[_best_in(rows, np.array(box, float))]
        regions = [self._region(image, row) for row in rows]
        return tuple(in_reading_order(regions))

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        """Return the face turned upright, (H, W, 3) uint8 of `size_pixels`; black beyond it.

        Raises:
            InvalidInput: The region has no five landmarks, or the picture is none.
        """
        _check_picture(image)
        if len(region.landmarks) != len(self._template):
            raise InvalidInput(
                f"expected a face with five landmarks, got a region with {len(region.landmarks)}; "
                "only regions that this detector found can be cut out by it"
            )
        return cut_out(
            image, similarity(region.landmarks, self._template), self._options["size_pixels"]
        )

    def _faces(self, image: np.ndarray) -> np.ndarray:
        """Return the (M, 15) faces of a picture, whichever side of it is up."""
        if not image.size:
            return np.zeros((0, ROW))
        faces = self._search.faces(image)
        sure = faces[faces[:, -1] >= _LYING_SCORE]
        sides = quarter_turns(sure) - {0} if len(sure) else {1, 2, 3}
        found = [
            turned_back(self._search.faces(np.rot90(image, side)), side, image) for side in sides
        ]
        faces = merged(np.concatenate([faces, *found]))
        tilts = np.array([abs(tilted_degrees_of(row[4:8].reshape(2, 2))) for row in faces])
        return faces[(tilts <= _LEANING_DEGREES) | (faces[:, -1] >= _LYING_SCORE)]

    def _region(self, image: np.ndarray, row: np.ndarray) -> Region:
        x1, y1, x2, y2, *points = row[:-1].tolist()
        landmarks = tuple(zip(points[::2], points[1::2], strict=True))
        upright = similarity(landmarks, template(JUDGED_PIXELS))
        crop = cut_out(image, upright, JUDGED_PIXELS)
        quality = judged(min(x2 - x1, y2 - y1), landmarks, crop)
        code, reason = self._limits.missed(quality)
        return Region(
            box=(x1, y1, x2, y2),
            landmarks=landmarks,
            score=float(min(1.0, row[-1])),
            quality=quality,
            code=code,
            reason=reason,
        )


def _around(box: Box, image: np.ndarray) -> tuple[int, int, int, int]:
    """Return where to look for the face of a box: in the picture, and a little around the box."""
    if len(box) != 4 or not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
        raise InvalidInput(f"a box must be x1, y1, x2, y2 with x1 < x2 and y1 < y2, got {box}")
    x1, y1, x2, y2 = box
    more = _AROUND * max(x2 - x1, y2 - y1)
    height, width = image.shape[:2]
    wide = np.clip([np.floor(x1 - more), np.ceil(x2 + more)], 0, width).astype(int).tolist()
    high = np.clip([np.floor(y1 - more), np.ceil(y2 + more)], 0, height).astype(int).tolist()
    return wide[0], high[0], wide[1], high[1]


def _best_in(rows: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the index of the face that fills a box best, (0 or 1,)."""
    common = np.minimum(rows[:, 2:4], box[2:]) - np.maximum(rows[:, :2], box[:2])
    shares = common.clip(0).prod(1) / (rows[:, 2:4] - rows[:, :2]).prod(1)
    fits = np.where(shares >= _INSIDE, overlaps(rows, box), 0.0)
    best = np.argsort(-fits, kind="stable")[:1]
    return best[fits[best] > 0]


def _check(name: str, value: float) -> None:
    least, most = _RANGES[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise InvalidInput(f"{name} must be from {least:g} to {most:g}, got {value!r}")
    if name == "size_pixels" and not isinstance(value, int):
        raise InvalidInput(f"{name} must be a whole number, got {value!r}")


def _check_picture(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InvalidInput(
            f"expected a picture, (H, W, 3) uint8, got {image.shape} {image.dtype}; "
            "ilk.images.read_image makes one"
        )
