"""Where ilk keeps what it can make or fetch again, and where `~` is."""

from __future__ import annotations

import os
from pathlib import Path

from ilk.errors import ConfigError

__all__ = ["cache_folder", "find_cache_folder", "home_expanded", "make_private"]


def cache_folder(name: str) -> Path:
    """Return the folder `name` in $ILK_CACHE, or in the user's cache folder; it need not exist.

    Raises:
        ConfigError: There is no place for one: a user without a home, as in some containers.

    Example:
        >>> cache_folder("models").name
        'models'
    """
    folder = find_cache_folder(name)
    if folder is None:
        raise ConfigError(
            "expected a folder for ilk's cache, got a user without a home folder; set ILK_CACHE to "
            "one that may be written to"
        )
    return folder


def find_cache_folder(name: str) -> Path | None:
    """Return what `cache_folder` returns; None if there is no place for one."""
    own, shared = os.environ.get("ILK_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own) / name
    home = home_expanded("~")
    if shared or home != Path("~"):
        return Path(shared or home / ".cache") / "ilk" / name
    return None


def home_expanded(path: str | Path) -> Path:
    """Return a path with a home folder in place of a leading `~`; as it is where there is none.

    Example:
        >>> home_expanded("a/~b"), home_expanded("~nobody-of-that-name/a")
        (PosixPath('a/~b'), PosixPath('~nobody-of-that-name/a'))
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # neither $HOME nor an entry in the list of users
        return Path(path)


def make_private(folder: Path) -> None:
    """Make a folder and what is missing above it, for the user alone; what is there stays as it is.

    Example:
        >>> make_private(tmp_path / "a" / "b")
        >>> oct((tmp_path / "a").stat().st_mode)[-3:]
        '700'
    """
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
