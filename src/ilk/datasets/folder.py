"""A folder of pictures: the class of a picture is its parent folder.

The label is the path of the parent folder relative to the root, with slashes, so that
Greek/character01 and Latin/character01 are two classes. `ilk.labels` brings it to its one form: a
folder that one system wrote with a composed and another with a decomposed accent is one class.

If two or more folders at the level where the tree first branches are named as splits (train,
valid, test, ... in any case), and classes lie below each folder there, these folders are splits and
no part of labels. Otherwise the same class in train and test would be two.

What counts as a picture: a file with the suffix of a format that is read, or one without a known
suffix that begins like a picture. Hidden files and folders (a leading dot), `__MACOSX` and files of
other kinds are passed over silently. Reported as problems: empty files, files and folders without
permission, links that lead nowhere or in circles, a folder with a picture's suffix, formats that
are not read (SVG, PSD, raw files; HEIC where its extra is missing), names that are not UTF-8, and
pictures that lie in the root, where no folder names their class. Where no picture is found at all,
the endings of the other files are told. Links to folders are followed.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path, PurePosixPath

from ilk.items import Item, Items, Problem
from ilk.labels import split_name
from ilk.picture_formats import HEIC_MISSING, NUM_START_BYTES, is_heic_read, picture_format

__all__ = ["endings_in", "file_problem", "list_pictures", "read_folder"]

_HEIC = {".heic", ".heif", ".hif"}
_READ = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
}
_NOT_READ = {
    *(".jp2", ".j2k", ".jxl", ".svg", ".psd", ".eps", ".ico", ".tga"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".exr", ".hdr", ".dcm"),
}
_NUM_ENDINGS, _MOST_COUNTED = 5, 100_000
_SPLITS = {"train", "val", "test"}
_Found = tuple[PurePosixPath, str | None]
"""A path relative to the root, and why it cannot be used if it cannot."""


def read_folder(root: Path) -> Items:
    """List the pictures below `root` in the order of their paths.

    Args:
        root: The folder whose subfolders are classes, at any depth.

    Returns:
        Items named by their path relative to `root`, with the problems found beside them.

    Raises:
        OSError: The root itself cannot be listed.
    """
    items: list[Item] = []
    problems: list[Problem] = []
    found = list(_walk(root, PurePosixPath(), ()))
    level = _split_level([path.parent for path, reason in found if reason is None])
    for path, reason in found:
        name = os.fsencode(str(path)).decode(errors="backslashreplace")
        folders = path.parent.parts
        split = None
        if level is not None and len(folders) > level:
            split = folders[level]
            folders = (*folders[:level], *folders[level + 1 :])
        if reason is None and name != str(path):
            reason = "its name is not UTF-8"
        if reason is None and not folders:
            reason = "no folder names its class"
        if reason is not None:
            problems.append(Problem(name, reason))
        else:
            items.append(Item(root / path, "/".join(folders), name, split=split))
    return Items(tuple(items), tuple(problems), origin=str(root))


def list_pictures(root: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the path of each picture below `root`, and why it cannot be used if it cannot.

    Raises:
        OSError: The root itself cannot be listed.
    """
    for path, reason in _walk(root, PurePosixPath(), ()):
        yield root / path, reason


def endings_in(root: Path) -> str:
    """Return how many files of which endings lie below `root`, in words; "" if there are none.

    Example:
        >>> for name in ("a.npy", "b.npy", "README"):
        ...     _ = (tmp_path / name).write_text("1")
        >>> endings_in(tmp_path)
        '2 files of .npy and 1 without an ending'
        >>> endings_in(tmp_path / "nothing here")
        ''
    """
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found.update(Path(name).suffix.lower() for name in names if not _is_hidden(name))
        if found.total() > _MOST_COUNTED:
            break
    ranked = sorted(found.items(), key=lambda entry: (-entry[1], not entry[0], entry[0]))
    told = [
        f"{num:,} {f'of {ending}' if ending else 'without an ending'}"
        for ending, num in ranked[:_NUM_ENDINGS]
    ]
    if not told:
        return ""
    more = sum(num for _, num in ranked[_NUM_ENDINGS:])
    told += [f"{more:,} of other endings"] if more else []
    first, *others = told
    noun = "file" if first.startswith("1 ") else "files"
    first = first.replace(" ", f" {noun} ", 1)
    return first if not others else f"{', '.join([first, *others[:-1]])} and {others[-1]}"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def file_problem(path: Path) -> str | None:
    """Return why a file cannot be read, as far as can be told without opening it."""
    try:
        status = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.islink(path):
            return f"a link that leads nowhere, to {os.readlink(path)}"
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
    if not status.st_size:
        return "the file is empty"
    return None if os.access(path, os.R_OK) else "permission denied"


def _walk(
    root: Path, folder: PurePosixPath, above: tuple[tuple[int, int], ...]
) -> Iterator[_Found]:
    """Yield what is or should be a picture below `root / folder`, sorted by path.

    `above` identifies the folders on the way down, to notice a link that leads back to one.
    """
    try:
        status = (root / folder).stat()
        if (here := (status.st_dev, status.st_ino)) in above:
            yield folder, "a link that leads back to a folder above it"
            return
        with os.scandir(root / folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        if not above:
            raise
        yield folder, f"the folder cannot be listed: {error.strerror or error}"
        return
    for entry in entries:
        path = folder / entry.name
        if _is_hidden(entry.name):
            continue
        if _is_folder(entry) and path.suffix.lower() not in _READ | _HEIC:
            yield from _walk(root, path, (*above, here))
        elif (reason := _not_a_picture(root / path)) != "":
            yield path, reason


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _not_a_picture(path: Path) -> str | None:
    """Return None for a picture, "" for a file of another kind, else what is wrong with it."""
    suffix = path.suffix.lower()
    if suffix in _HEIC and not is_heic_read():
        return HEIC_MISSING
    if suffix in _NOT_READ:
        return f"{suffix} files are not read, convert it to JPEG or PNG"
    problem = file_problem(path)
    if suffix in _READ | _HEIC:
        return problem
    if problem is not None:
        return problem if os.path.islink(path) else ""
    with path.open("rb") as file:
        return None if picture_format(file.read(NUM_START_BYTES)) is not None else ""


def _split_level(parents: list[PurePosixPath]) -> int | None:
    """Return the depth at which folders are splits, None if there is none."""
    if not parents:
        return None
    together = zip(*(path.parts for path in parents), strict=False)
    level = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, together))
    below = [path.parts for path in parents if len(path.parts) > level]
    names = {parts[level] for parts in below}
    with_classes = {parts[level] for parts in below if len(parts) > level + 1}
    splits = [name for name in names if split_name(name) in _SPLITS]
    return level if len(splits) > 1 and with_classes == names else None
