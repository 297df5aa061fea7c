"""Files of an artifact, read only if they are what its manifest says."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from ilk.artifact.manifest import FileFacts
from ilk.errors import DamagedArtifact

__all__ = ["damaged", "read_file", "read_small_file", "verify_file"]

_CHUNK_BYTES = 1 << 20
_MOST_SMALL_BYTES = 1 << 28
_MOST_BYTES = 1 << 31
"""Of a file that is read into memory; no network in ONNX form is larger."""


def damaged(folder: Path, what: str) -> DamagedArtifact:
    """Return the error to raise, which says what is wrong and what to do."""
    return DamagedArtifact(f"{folder} is damaged: {what}; copy the artifact again, or train again")


def verify_file(folder: Path, name: str, facts: FileFacts) -> None:
    """Check size and hash of a file without holding it in memory.

    Raises:
        DamagedArtifact: It is missing, no regular file, or another one.
    """
    digest = hashlib.sha256()
    with _open(folder, name, facts) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    _compare(folder, name, digest.hexdigest(), facts)


def read_file(folder: Path, name: str, facts: FileFacts) -> bytes:
    """Return the bytes of a file, after checking them.

    Raises:
        DamagedArtifact: It is missing, no regular file, too long, or another one.
    """
    if facts.num_bytes > _MOST_BYTES:
        raise damaged(folder, f"{name} has more than {_MOST_BYTES:,} bytes")
    with _open(folder, name, facts) as file:
        content = file.read(facts.num_bytes + 1)
    _compare(folder, name, hashlib.sha256(content).hexdigest(), facts)
    return content


def read_small_file(folder: Path, name: str) -> bytes:
    """Return the bytes of a file of at most 256 MiB, of which nothing is known yet.

    Raises:
        DamagedArtifact: It is missing, no regular file, or longer.
    """
    with _open(folder, name, None) as file:
        if os.fstat(file.fileno()).st_size > _MOST_SMALL_BYTES:
            raise damaged(folder, f"{name} has more than {_MOST_SMALL_BYTES:,} bytes")
        return file.read(_MOST_SMALL_BYTES)


def _open(folder: Path, name: str, facts: FileFacts | None) -> BinaryIO:
    """Open a regular file of the right size; a link is followed, a pipe or device is not read."""
    try:
        found = (folder / name).stat()
        if not stat.S_ISREG(found.st_mode):
            raise damaged(folder, f"{name} is not a file")
        if facts is not None and found.st_size != facts.num_bytes:
            raise damaged(folder, f"{name} has {found.st_size} bytes instead of {facts.num_bytes}")
        return (folder / name).open("rb")
    except FileNotFoundError:
        is_link = (folder / name).is_symlink()
        what = "is a link to what is not there" if is_link else "is missing"
        raise damaged(folder, f"{name} {what}") from None
    except OSError as error:
        raise damaged(folder, f"{name} cannot be read ({error.strerror})") from None


def _compare(folder: Path, name: str, sha256: str, facts: FileFacts) -> None:
    if sha256 != facts.sha256:
        raise damaged(folder, f"{name} does not have the hash that it was written with")
