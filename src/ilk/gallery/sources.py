"""The files that a gallery was filled from, found again by what they hold.

What was enrolled whole is known by the bytes of its file. What a detector cut out of a file
remembers the hash of that and its place in it. Where that does not help, as for strangers that
calibrate, or files that were saved anew, it is known by its pixels: the same detector cuts them out
of the same picture again.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, final

from ilk.detecting import Sighting, open_detector, sight
from ilk.detector import Detector
from ilk.errors import InvalidInput
from ilk.images import Box
from ilk.items import Item

__all__ = ["SourceFolder"]

_NUMBER = re.compile(r"( \(line \d+\))?( #\d+)?$")
"""What a name ends with if a table has several boxes in a file, or a detector finds several."""

_FEW = 64
"""Pictures whose regions are kept in mind: those of one picture are asked for in a row."""


@final
@dataclass(frozen=True)
class _Place:
    """Where a region was, as an exemplar remembers it."""

    box: Box
    """What the detector was asked about; the region itself if it was not asked."""
    file: str
    """The SHA-256 of its file; "" if it did not come from one."""

    @staticmethod
    def of(region: Mapping[str, Any] | None) -> _Place | None:
        """Return what the metadata of an exemplar say; None if they say nothing."""
        try:
            told = region or {}
            x1, y1, x2, y2 = map(float, told["asked"] if "asked" in told else told["box"])
        except (KeyError, TypeError, ValueError):  # metadata are anybody's
            return None
        if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
            return None
        return _Place((x1, y1, x2, y2), str(told.get("file", "")))


@final
class SourceFolder:
    """Finds files and regions by content; a name only says where to look first."""

    def __init__(self, folder: str | Path, detector: Detector | None = None) -> None:
        """Take a folder.

        Args:
            folder: With the files, at any depth.
            detector: What cut out what is enrolled; None if files were taken as they are.

        Raises:
            InvalidInput: There is no such folder.
        """
        self._folder = Path(folder).resolve()
        self._detector = detector if detector is not None else open_detector()
        self._regions = lru_cache(_FEW)(self._look)
        if not self._folder.is_dir():
            raise InvalidInput(f"expected the folder of the sources, got {folder}")

    def find(
        self, name: str, content_hash: str, region: Mapping[str, Any] | None = None
    ) -> Path | Item | None:
        """Return the file with exactly that content, or the part of one; None if there is none.

        Args:
            name: Of the exemplar, usually the path of its file and the number of the region.
            content_hash: Of the file, or of what was cut out of it.
            region: Where it was, as the exemplar remembers it: its `box`, the box that was `asked`
                about if there was one, and the hash of its `file`.
        """
        named = list(self._named(name))
        if (path := self._file(named, content_hash)) is not None:
            return path
        place = _Place.of(region)
        if place is not None and (path := self._file(named, place.file)) is not None:
            return Item(path, "", path.name, box=place.box)
        told = () if place is None else (place.box,)
        for path in named:
            for hint in told if self._detector.is_whole else (None, *told):
                if content_hash in (boxes := self._regions(path, hint)):
                    return Item(path, "", path.name, box=hint or boxes[content_hash])
        if self._detector.is_whole or content_hash not in self._by_region:
            return None
        path, box = self._by_region[content_hash]
        return Item(path, "", path.name, box=box)

    def _named(self, name: str) -> Iterator[Path]:
        """Yield the files of this name: below the folder, or below one that the name begins in."""
        if not name or "\0" in name:
            return
        for called in dict.fromkeys((name, _NUMBER.sub("", name))):
            parts = Path(called).parts
            for first in range(len(parts)):
                path = self._folder.joinpath(*parts[first:]).resolve()
                if path.is_relative_to(self._folder) and _is_file(path):
                    yield path
                    break

    def _file(self, named: list[Path], content_hash: str) -> Path | None:
        """Return the file of this content: one of the name, or any."""
        for path in named:
            if content_hash and _hash_of(path) == content_hash:
                return path
        return self._by_content.get(content_hash)

    def _look(self, path: Path, box: Box | None) -> dict[str, Box]:
        """Return where in a file the detector finds what, by the hash of what it cuts out."""
        (sightings,) = sight(self._detector, [Item(path, "", path.name, box=box)])
        return dict(_found_in(sightings))

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return tuple(sorted(path for path in self._folder.rglob("*") if path.is_file()))

    @cached_property
    def _by_content(self) -> Mapping[str, Path]:
        return {found: path for path in self._files if (found := _hash_of(path))}

    @cached_property
    def _by_region(self) -> Mapping[str, tuple[Path, Box]]:
        """Look at every file: what has no name can only be found so."""
        pictures = [Item(path, "", path.name) for path in self._files]
        looked = zip(self._files, sight(self._detector, pictures), strict=True)
        return {
            found: (path, box) for path, sightings in looked for found, box in _found_in(sightings)
        }


def _found_in(sightings: tuple[Sighting, ...]) -> Iterator[tuple[str, Box]]:
    for sighting in sightings:
        if sighting.crop is not None and sighting.region is not None:
            yield sighting.crop.content_hash(), sighting.region.box


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for the disk
        return False


def _hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
