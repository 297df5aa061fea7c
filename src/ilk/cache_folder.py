"""Where ilk keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "make_private"]


def cache_folder(name: str) -> Path:
    """Return the folder `name` in $ILK_CACHE, or in the user's cache folder; it need not exist.

    Example:
        >>> cache_folder("models").name
        'models'
    """
    own, shared = os.environ.get("ILK_CACHE"), os.environ.get("XDG_CACHE_HOME")
    root = Path(own) if own else Path(shared or Path.home() / ".cache") / "ilk"
    return root / name


def make_private(folder: Path) -> None:
    """Make a folder and what is missing above it, for the user alone; what is there stays as it is.

    Example:
        >>> make_private(tmp_path / "a" / "b")
        >>> oct((tmp_path / "a").stat().st_mode)[-3:]
        '700'
    """
    if not folder.exists():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
