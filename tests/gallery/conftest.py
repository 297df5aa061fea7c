"""A gallery of embeddings for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.distances import Euclidean
from ilk.gallery import Binding, Gallery

MakeGallery = Callable[..., Gallery]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep erasures of tests out of the caches of whoever runs them."""
    monkeypatch.setenv("ILK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_gallery(tmp_path: Path) -> Iterator[MakeGallery]:
    """Return a function that makes a gallery in the plane, with strangers far to the right."""
    made: list[Gallery] = []

    def make(
        name: str = "g",
        *,
        distance: Any = None,
        size: int = 2,
        strangers: bool = True,
        **options: Any,
    ) -> Gallery:
        binding = Binding(
            distance=distance or Euclidean(), embedding_size=size, encoder_fingerprint="grid"
        )
        gallery = Gallery.create(tmp_path / name, binding, actor="ada", **options)
        if strangers:
            far = np.zeros((99, size))
            far[:, 0] = np.arange(99) + 100.0
            gallery.calibrate(0.01, strangers=far)
        made.append(gallery)
        return gallery

    yield make
    for gallery in made:
        gallery.close()
