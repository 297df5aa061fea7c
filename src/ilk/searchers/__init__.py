"""Searchers: the rows of a gallery in memory, and which of them are closest to a probe."""
