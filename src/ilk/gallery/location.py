"""Where a gallery lives: a folder with numbered generations, one of them in use.

    LOCATION/CURRENT              the number of the generation in use
    LOCATION/1/gallery.sqlite     the truth
    LOCATION/1/artifact/          the encoder artifact that it is bound to
    LOCATION/1/cohort.npz         in its place, the cohort of embeddings from elsewhere, if any
    LOCATION/1/snapshot           a cache of the search state; may be deleted at any time

A migration fills the next generation while this one answers; replacing CURRENT, one rename, is the
switch, and replacing it again the way back.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ilk.artifact import Artifact, Cohort
from ilk.errors import DamagedGallery, ForeignGallery, GalleryError

__all__ = ["Generation", "Location"]

_CURRENT = "CURRENT"


@final
@dataclass(frozen=True)
class Generation:
    """One generation of a gallery."""

    number: int
    folder: Path

    @property
    def store(self) -> Path:
        """The database."""
        return self.folder / "gallery.sqlite"

    @property
    def artifact(self) -> Path:
        """The folder of the artifact; there is none for embeddings from elsewhere."""
        return self.folder / "artifact"

    @property
    def snapshot(self) -> Path:
        """The cache of the search state."""
        return self.folder / "snapshot"

    @property
    def cohort(self) -> Path:
        """Held-out classes to calibrate with, where there is no artifact to bring them."""
        return self.folder / "cohort.npz"

    def open_cohort(self) -> Cohort | None:
        """Return the cohort that came without an artifact, if one did."""
        return Cohort.from_bytes(self.cohort.read_bytes()) if self.cohort.is_file() else None

    def open_artifact(self) -> Artifact | None:
        """Return the artifact, verified; None if the gallery holds embeddings from elsewhere."""
        return Artifact.load(self.artifact) if self.artifact.is_dir() else None


@final
class Location:
    """The folder of a gallery."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._current = str(self.folder / _CURRENT)

    def __str__(self) -> str:
        return str(self.folder)

    def prepare(self) -> Generation:
        """Make an empty first generation that is not in use yet, in a folder for its owner alone.

        Raises:
            GalleryError: Something is there already.
        """
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            what = "a gallery" if (self.folder / _CURRENT).exists() else "something else"
            raise GalleryError(
                f"expected nothing or an empty folder at {self}, found {what}; choose another "
                "place, or open the gallery that is there"
            )
        if not self.folder.exists():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700)  # whom it recognises is for its owner to share
        return self.make(1)

    def make(self, number: int) -> Generation:
        """Make the folder of a generation, empty; what an interrupted attempt left is removed."""
        folder = self.folder / str(number)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)  # in a folder of others, too
        return Generation(number, folder)

    def use(self, generation: Generation) -> None:
        """Put a generation in use, atomically and durably."""
        partial = self.folder / f".{_CURRENT}.{secrets.token_hex(4)}"
        try:
            with partial.open("w") as file:
                file.write(f"{generation.number}\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / _CURRENT)
        finally:
            partial.unlink(missing_ok=True)
        flush_folder(self.folder)

    def stamp(self) -> Any:
        """Return what differs whenever another generation was put in use; microseconds."""
        try:
            stat = os.stat(self._current)
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def current(self) -> Generation:
        """Return the generation in use.

        Raises:
            ForeignGallery: There is no gallery here.
            DamagedGallery: CURRENT is not what it should be.
        """
        try:
            text = (self.folder / _CURRENT).read_text("ascii").strip()
        except FileNotFoundError:
            raise ForeignGallery(
                f"expected a gallery at {self}, found {self._found()}; make one with "
                "`ilk gallery create`"
            ) from None
        except NotADirectoryError:
            raise ForeignGallery(
                f"expected the folder of a gallery at {self}, found a file"
            ) from None
        except UnicodeDecodeError:
            text = ""
        if not text.isdigit() or not self.generation(int(text)).store.is_file():
            known = ", ".join(str(g.number) for g in self.generations()) or "none"
            raise DamagedGallery(
                f"{self.folder / _CURRENT} should name the generation in use and does not; write "
                f"the number of a folder with a gallery.sqlite into it (there are: {known})"
            )
        return self.generation(int(text))

    def generation(self, number: int) -> Generation:
        """Return the generation of that number, whether or not it is there."""
        return Generation(number, self.folder / str(number))

    def generations(self) -> list[Generation]:
        """Return the generations that have a database, by number."""
        numbers = sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())
        return [g for g in map(self.generation, numbers) if g.store.is_file()]

    def _found(self) -> str:
        if not self.folder.exists():
            return "nothing"
        return "a folder without a gallery" if self.folder.is_dir() else "a file"


def flush_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system lets a folder be flushed."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
