"""Stores: where the truth of a gallery is kept. One package per database engine."""
