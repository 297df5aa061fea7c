"""The public names of the package: all there, and no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ilk


def test_every_public_name_is_found() -> None:
    assert all(getattr(ilk, name) is not None for name in ilk.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Tripled'"):
        _ = ilk.Tripled


def test_a_recognizer_needs_no_torch() -> None:
    code = "import sys, ilk; ilk.Recognizer, ilk.Gallery; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_using_a_distance_loads_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys, ilk; ilk.Cosine(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
