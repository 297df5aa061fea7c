"""Settings of whole runs that ship with ilk, as TOML files."""

from __future__ import annotations

from importlib.resources import as_file, files

from ilk.config import Run, load_run

__all__ = ["recipe"]


def recipe(name: str, overrides: tuple[str, ...] = ()) -> Run:
    """Return the run of a recipe that ships with ilk, with `key=value` overrides.

    Example:
        >>> recipe("glyphs", ("seed=3",)).seed
        3
    """
    with as_file(files("ilk.recipes") / f"{name}.toml") as path:
        return load_run(path, overrides)
