"""Versions of the libraries that made an artifact."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed_versions"]


def installed_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of those libraries that are installed.

    Example:
        >>> list(installed_versions(["numpy", "no such library"]))
        ['numpy']
    """
    found = {}
    for name in libraries:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
