"""What the tests of detectors share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilk.detectors.faces import Faces
from ilk.model_files import model_file


@pytest.fixture(scope="session")
def faces() -> Faces:
    return Faces()


@pytest.fixture(scope="session")
def sface_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The network that aligns in OpenCV's way."""
    path: Path = tmp_path_factory.mktemp("sface") / "sface.onnx"
    path.write_bytes(model_file("sface", may_download=False).content)
    return str(path)
