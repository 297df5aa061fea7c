"""Files that are there whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, which takes its place when the block has ended.

    After an error nothing is left of it, and what was at `path` stays. Several processes may write
    one file at once: the last one wins, and nobody ever sees part of it.

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
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
