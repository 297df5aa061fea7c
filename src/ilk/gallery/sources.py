"""The files that a gallery was filled from, found again by what they hold.

What was enrolled whole is known by the bytes of its file. What a detector cut out is known by its
pixels: the same detector cuts them out of the same file again. Where it does so a little
differently, as another version or machine may, the place that the exemplar remembers tells.
"""

from __future__ import annotations

import hashlib
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

_NEAR_SHARE, _NEAR_PIXELS, _NEAR_SCORE = 0.005, 0.5, 0.005
"""How far the edges of a region may be from where they were, as a share of its size and at least
in pixels, and its score from what it was. Another machine differs by much less, another picture
in which somebody else stands in the same place by more."""

_FEW = 64
"""Pictures whose regions are kept in mind: those of one picture are asked for in a row."""


@final
@dataclass(frozen=True)
class _Found:
    """One region of a file."""

    content_hash: str
    """Of what the detector cuts out."""
    box: Box
    score: float


@final
@dataclass(frozen=True)
class _Place:
    """Where a region was, as an exemplar remembers it."""

    box: Box
    score: float
    asked: Box
    """Where the detector was told to look; the region itself if it was not told."""

    @staticmethod
    def of(region: Mapping[str, Any] | None) -> _Place | None:
        """Return what the metadata of an exemplar say; None if they say nothing."""
        try:
            told = region or {}
            box, score = _box(told["box"]), float(told["score"])
            return _Place(box, score, _box(told.get("asked", box)))
        except (KeyError, TypeError, ValueError):  # metadata are anybody's
            return None

    def is_near(self, found: _Found) -> bool:
        """Return whether a region is where this one was, and looks as much like one."""
        x1, y1, x2, y2 = self.box
        room = max(_NEAR_PIXELS, _NEAR_SHARE * max(x2 - x1, y2 - y1))
        apart = max(abs(now - then) for now, then in zip(found.box, self.box, strict=True))
        return apart <= room and abs(found.score - self.score) <= _NEAR_SCORE


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
            region: Where it was, as the exemplar remembers it: its `box`, its `score`, and the box
                that was `asked` about if there was one.
        """
        named = list(self._named(name))
        for path in named:
            if _hash_of(path) == content_hash:
                return path
        if content_hash in self._by_content:
            return self._by_content[content_hash]
        for path in named:
            if (box := self._box_in(path, content_hash, region)) is not None:
                return Item(path, "", path.name, box=box)
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
                if path.is_relative_to(self._folder) and path.is_file():
                    yield path
                    break

    def _box_in(
        self, path: Path, content_hash: str, region: Mapping[str, Any] | None
    ) -> Box | None:
        """Return where in a file an exemplar was cut out: by its pixels, else by its place."""
        place = _Place.of(region)
        found = () if self._detector.is_whole else self._regions(path, None)
        asked = self._regions(path, place.asked) if place is not None else ()
        for one in found:
            if one.content_hash == content_hash:
                return one.box
        if place is None:
            return None
        if any(one.content_hash == content_hash for one in asked):
            return place.asked
        looked = (*found, *(one for one in asked if one.box != place.asked))  # no mere echo
        near = {one.box for one in looked if place.is_near(one)}
        return near.pop() if len(near) == 1 else None

    def _look(self, path: Path, box: Box | None) -> tuple[_Found, ...]:
        (sightings,) = sight(self._detector, [Item(path, "", path.name, box=box)])
        return tuple(_found_in(sightings))

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return tuple(sorted(path for path in self._folder.rglob("*") if path.is_file()))

    @cached_property
    def _by_content(self) -> Mapping[str, Path]:
        return {found: path for path in self._files if (found := _hash_of(path))}

    @cached_property
    def _by_region(self) -> Mapping[str, tuple[Path, Box]]:
        """Look at every file: what has no name, as strangers, can only be found so."""
        pictures = [Item(path, "", path.name) for path in self._files]
        looked = zip(self._files, sight(self._detector, pictures), strict=True)
        return {
            found.content_hash: (path, found.box)
            for path, sightings in looked
            for found in _found_in(sightings)
        }


def _found_in(sightings: tuple[Sighting, ...]) -> Iterator[_Found]:
    for sighting in sightings:
        if sighting.crop is not None and sighting.region is not None:
            digest = sighting.crop.content_hash()
            yield _Found(digest, sighting.region.box, sighting.region.score)


def _box(values: Any) -> Box:
    x1, y1, x2, y2 = map(float, values)
    return x1, y1, x2, y2


def _hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
