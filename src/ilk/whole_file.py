"""Files that are there whole or not at all, and files for their owner alone."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file", "write_private"]


@contextmanager
def whole_file(path: Path, *, is_private: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to, which takes its place when the block has ended.

    After an error nothing is left of it, and what was at `path` stays. Several processes may write
    one file at once: the last one wins, and nobody ever sees part of it. Unless told otherwise the
    file is for its owner alone, whatever the umask: it may show or name people.

    Raises:
        OSError: The disk refuses.

    Example:
        >>> with whole_file(tmp_path / "a.txt") as partial:
        ...     _ = partial.write_text("all of it")
        >>> [path.name for path in tmp_path.iterdir()]
        ['a.txt']
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        if is_private:
            write_private(partial, b"")
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read, whatever the umask.

    Raises:
        OSError: The disk refuses.

    Example:
        >>> write_private(tmp_path / "a.txt", b"a")
        >>> oct((tmp_path / "a.txt").stat().st_mode)[-3:]
        '600'
    """
    with open(path, "wb", opener=_private) as file:
        if os.name == "posix":
            os.fchmod(file.fileno(), 0o600)  # of a file that was there
        file.write(content)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
