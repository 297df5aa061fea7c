"""Omniglot: characters of alphabets, each drawn by twenty people.

The data are not part of ilk. Take `images_background.zip` (30 alphabets, 964 characters, 19,280
drawings of 105 x 105 pixels) from https://github.com/brendenlake/omniglot and name the folder that
holds it: `ilk check omniglot:train@FOLDER`.

B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic
program induction, Science 350 (2015), 1332-1338.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from ilk.cache_folder import cache_folder
from ilk.datasets.folder import read_folder
from ilk.errors import DataError
from ilk.items import Item, Items

__all__ = ["HELD_OUT", "omniglot"]

HELD_OUT = (
    "Arcadian",
    "Balinese",
    "Braille",
    "Early_Aramaic",
    "Greek",
    "Inuktitut_(Canadian_Aboriginal_Syllabics)",
    "Korean",
    "Mkhedruli_(Georgian)",
    "Sanskrit",
    "Tifinagh",
)
"""The ten alphabets of the part "test": every third one in alphabetical order, from the third.

A rule made before anything was trained, so that no result could speak for or against it.
"""

_FOLDER = "images_background"
_DRAWING = re.compile(rf"{_FOLDER}/[^/]+/character\d+/\d+_\d+\.png")
_FROM = "take images_background.zip from https://github.com/brendenlake/omniglot"


def omniglot(part: str | None = None, *, root: str | Path | None = None) -> Items:
    """List the drawings of Omniglot's background set.

    Args:
        part: "train" is twenty alphabets, "test" the ten of `HELD_OUT`, None is all thirty.
        root: The folder images_background, a folder that holds it or its zip file, or the zip
            file. A zip file is unpacked once: beside itself or, where that cannot be written, in
            ilk's cache.

    Returns:
        Items with the label Alphabet/characterNN, the part as split and the drawer's number as
        group.

    Raises:
        DataError: There is no such part, or the drawings are not there.
    """
    if part not in (None, "train", "test"):
        raise DataError(f"omniglot has the parts train and test, got {part!r}")
    if root is None:
        raise DataError(f"omniglot needs its folder, as in omniglot:test@FOLDER; {_FROM}")
    folder = _find(Path(root))
    listed = read_folder(folder)
    items = tuple(_drawing(item) for item in listed.items)
    name = "omniglot" if part is None else f"omniglot:{part}"
    chosen = Items(
        tuple(item for item in items if part in (None, item.split)), listed.problems, origin=name
    )
    if not chosen.items:
        raise DataError(f"{folder}: expected alphabets with drawings of {name}, found none")
    return chosen


def _drawing(item: Item) -> Item:
    """Complete a listed file by what its path says: ALPHABET/characterNN/CLASS_DRAWER.png."""
    alphabet = item.label.partition("/")[0]
    drawer = item.name.rpartition("_")[2].partition(".")[0]
    return replace(item, split="test" if alphabet in HELD_OUT else "train", group=drawer)


def _find(root: Path) -> Path:
    """Return the folder with the alphabets, unpacked if it was not."""
    if root.is_file():
        return _unpacked(root)
    if (root / _FOLDER).is_dir():
        return root / _FOLDER
    if (root / f"{_FOLDER}.zip").is_file():
        return _unpacked(root / f"{_FOLDER}.zip")
    if root.name == _FOLDER and root.is_dir():
        return root
    raise DataError(
        f"{root}: expected the folder {_FOLDER} or {_FOLDER}.zip, found neither; {_FROM}"
    )


def _unpacked(archive: Path) -> Path:
    beside = archive.parent / _FOLDER
    if beside.is_dir():
        return beside
    if os.access(archive.parent, os.W_OK):
        return _unpack(archive, beside)
    status = archive.stat()
    kept = cache_folder(f"omniglot-{status.st_size}-{status.st_mtime_ns}") / _FOLDER
    return kept if kept.is_dir() else _unpack(archive, kept)


def _unpack(archive: Path, target: Path) -> Path:
    """Unpack the drawings, and nothing else, so that `target` is either complete or not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".omniglot-", dir=target.parent))
    try:
        with zipfile.ZipFile(archive) as packed:
            drawings = [name for name in packed.namelist() if _DRAWING.fullmatch(name)]
            if not drawings:
                raise DataError(
                    f"{archive}: expected {_FOLDER}/ALPHABET/characterNN/*.png, got none"
                )
            packed.extractall(work, drawings)
        try:
            (work / _FOLDER).rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster
                raise
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: not a readable zip file: {error}; {_FROM}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
