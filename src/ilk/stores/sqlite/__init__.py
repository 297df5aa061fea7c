"""The embedded store: one SQLite file, from the standard library."""

from ilk.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
