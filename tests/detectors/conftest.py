"""What the tests of detectors share."""

from __future__ import annotations

from typing import Any

import cv2
import pytest

from ilk.detectors.faces import Faces
from ilk.model_files import model_file


@pytest.fixture(scope="session")
def faces() -> Faces:
    return Faces()


@pytest.fixture(scope="session")
def sface(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """OpenCV's own recognizer, which aligns in its way."""
    path = tmp_path_factory.mktemp("sface") / "sface.onnx"
    path.write_bytes(model_file("sface", may_download=False).content)
    return cv2.FaceRecognizerSF.create(str(path), "")
