"""The kit for detectors.

Shapes: H and W height and width of a picture in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ilk.detector import Detector, Region
from ilk.images import Box
from ilk.testing.claims import claim

__all__ = ["check_detector"]

_ODD_SIZES = ((1, 1), (4, 4), (1, 90), (70, 2), (33, 47))


def check_detector(detector: Detector, pictures: Sequence[np.ndarray] = ()) -> None:
    """Check that a detector tells where things are in a way that everything behind it can use.

    It says what it is; its settings survive JSON and make one that finds the same; the same picture
    has the same regions each time, from one thread or eight, and stays as it was; regions are boxes
    with a score, assessable or with code and reason; crops are pictures; a box asks for one region
    at most, and it lies there. Pictures of one colour, of noise and of a few pixels break nothing.

    Args:
        detector: What to check.
        pictures: (H, W, 3) uint8 in which it finds something. Give some: of what the kit draws
            itself a detector of faces has nothing to say.

    Example:
        >>> from ilk.detectors.whole_image import WholeImage
        >>> check_detector(WholeImage())
    """
    claim(isinstance(detector, Detector), f"expected a Detector, got {type(detector).__name__}")
    claim(detector.noun.isidentifier(), f"noun must be a plain word, got {detector.noun!r}")
    _check_settings(detector)
    shown = [*pictures, *_odd_pictures()]
    found = [_check_picture(detector, picture) for picture in shown]
    for number, regions in enumerate(found[: len(pictures)]):
        claim(bool(regions), f"expected regions in picture {number}, got none")
    again = type(detector)(**_options(detector))
    _check_same(found, [again.detect(picture) for picture in shown], "made again")
    with ThreadPoolExecutor(8) as pool:
        from_threads = list(pool.map(detector.detect, [p for p in shown for _ in range(4)]))
    _check_same([f for f in found for _ in range(4)], from_threads, "used by eight threads")


def _options(detector: Detector) -> dict[str, object]:
    return {key: value for key, value in detector.settings.items() if key != "name"}


def _check_settings(detector: Detector) -> None:
    settings = detector.settings
    claim(isinstance(settings.get("name"), str), f"settings must have a name, got {settings}")
    read = json.loads(json.dumps(settings))
    claim(read == settings, f"settings must survive JSON: {settings} became {read}")
    made = type(detector)(**_options(detector)).settings
    claim(made == settings, f"a detector made of {settings} must have them, got {made}")


def _check_picture(detector: Detector, picture: np.ndarray) -> tuple[Region, ...]:
    before = picture.copy()
    regions = detector.detect(picture)
    claim(isinstance(regions, tuple), f"expected a tuple of regions, got {type(regions).__name__}")
    for region in regions:
        _check_region(region)
        if region.is_assessable:
            _check_crop(detector, picture, region)
    _check_same([regions], [detector.detect(picture)], "asked twice")
    height, width = picture.shape[:2]
    boxes: list[Box] = [(0.0, 0.0, float(width), float(height)), (0.0, 0.0, 1.0, 1.0)]
    for box in [*boxes, *(region.box for region in regions[:3])]:
        _check_box(detector, picture, box)
    claim(np.array_equal(picture, before), "a picture must stay as it was, it was changed")
    return regions


def _check_region(region: Region) -> None:
    x1, y1, x2, y2 = region.box
    claim(bool(np.isfinite(region.box).all()), f"a box must be numbers, got {region.box}")
    claim(x1 < x2 and y1 < y2, f"a box must be x1, y1, x2, y2, got {region.box}")
    claim(0 <= region.score <= 1, f"a score must be in [0, 1], got {region.score}")
    claim(
        bool(region.code) == bool(region.reason),
        f"expected code and reason or neither, got {region.code!r} and {region.reason!r}",
    )
    numbers = np.ravel(region.landmarks)
    claim(bool(np.isfinite(numbers).all()), f"landmarks must be numbers, got {region.landmarks}")
    if region.quality is not None:
        size = region.quality.size_pixels
        claim(0 <= size < np.inf, f"a size must not be below 0, got {size}")


def _check_crop(detector: Detector, picture: np.ndarray, region: Region) -> None:
    crop = detector.crop(picture, region)
    claim(
        crop.ndim == 3 and crop.shape[2] == 3 and crop.dtype == np.uint8 and crop.size > 0,
        f"a crop must be (h, w, 3) uint8, got {crop.shape} {crop.dtype}",
    )
    again = detector.crop(picture, region)
    claim(np.array_equal(crop, again), "cut out twice, a region must give the same pixels")


def _check_box(detector: Detector, picture: np.ndarray, box: Box) -> None:
    regions = detector.detect(picture, box=box)
    claim(len(regions) <= 1, f"with a box expected one region at most, got {len(regions)}")
    for region in regions:
        _check_region(region)
        x1, y1, x2, y2 = region.box
        meets = x1 < box[2] and box[0] < x2 and y1 < box[3] and box[1] < y2
        claim(meets, f"with the box {box} the region must meet it, got {region.box}")


def _check_same(
    found: Sequence[tuple[Region, ...]], again: Sequence[tuple[Region, ...]], when: str
) -> None:
    for one, other in zip(found, again, strict=True):
        claim(one == other, f"{when}, the regions must be the same: {one} became {other}")


def _odd_pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        picture
        for height, width in _ODD_SIZES
        for picture in (
            np.full((height, width, 3), 128, np.uint8),
            random.integers(0, 256, (height, width, 3), np.uint8),
        )
    ]
