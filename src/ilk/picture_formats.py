"""The formats of pictures that are read, told apart by their first bytes and never by a name."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import IO, final

from PIL import Image, features

__all__ = [
    "HEIC_MISSING",
    "NAMES",
    "NUM_START_BYTES",
    "PictureFormat",
    "claimed_size",
    "is_heic_read",
    "picture_format",
]

NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, PNM, AVIF or HEIC"
"""What a picture may be, for people."""

HEIC_MISSING = 'HEIC is read by an extra: pip install "ilk[heif]", or convert it to JPEG or PNG'
"""What to do about HEIC where its reader is not installed."""

NUM_START_BYTES = 64
"""How much of a file tells its format."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_BLANK = b" \t\r\n\v\f#"


@final
@dataclass(frozen=True)
class PictureFormat:
    """A format, and what of Pillow reads it."""

    name: str
    module: str
    kind: str

    @property
    def missing(self) -> str:
        """What is missing to read it here; "" if nothing is."""
        if self.name == "HEIC" and not is_heic_read():
            return HEIC_MISSING
        if self.name == "AVIF" and not features.check("avif"):
            return "AVIF is not read by the Pillow that is installed: upgrade it, or convert it"
        return ""

    def opened(self, file: IO[bytes]) -> Image.Image:
        """Return the picture with its header read and no pixel decoded."""
        image: Image.Image = getattr(import_module(self.module), self.kind)(file)
        return image


def is_heic_read() -> bool:
    """Return whether the extra that reads HEIC is installed."""
    return find_spec("pillow_heif") is not None


def _pillow(name: str) -> PictureFormat:
    return PictureFormat(name.upper(), f"PIL.{name}ImagePlugin", f"{name}ImageFile")


_JPEG, _PNG, _WEBP, _GIF = _pillow("Jpeg"), _pillow("Png"), _pillow("WebP"), _pillow("Gif")
_BMP, _TIFF, _PPM, _AVIF = _pillow("Bmp"), _pillow("Tiff"), _pillow("Ppm"), _pillow("Avif")
_HEIC = PictureFormat("HEIC", "pillow_heif", "HeifImageFile")

_STARTS: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"GIF8", _GIF),
    (b"BM", _BMP),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"II+\0", _TIFF),
)


def picture_format(start: bytes) -> PictureFormat | None:
    """Return the format of a file that begins so; None if it is none that is read.

    Example:
        >>> [getattr(picture_format(start), "name", None) for start in (b"P5 8 8 255", b"P5 is")]
        ['PPM', None]
    """
    for magic, known in _STARTS:
        if start.startswith(magic):
            return known
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _WEBP
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3] and start[2:3] in _BLANK:
        rest = start[3:].lstrip(_BLANK)[:1]
        return _PPM if rest.isdigit() or b"#" in start[2:4] else None
    return _boxed(start) if start[4:8] == b"ftyp" else None


def _boxed(start: bytes) -> PictureFormat | None:
    """Tell AVIF and HEIC, which share a container, apart by the brands that the file names."""
    end = max(16, min(int.from_bytes(start[:4], "big"), len(start)))
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))}
    if start[8:12] not in {b"mif1", b"msf1", b"avif", b"avis", *_HEIF_BRANDS}:
        return None
    if brands & {b"avif", b"avis"}:
        return _AVIF
    return _HEIC


def claimed_size(start: bytes) -> tuple[int, int]:
    """Return the (width, height) that a WebP claims.

    Raises:
        ValueError: It begins with something else.

    Example:
        >>> claimed_size(bytes.fromhex("524946461a000000574542505650384c0d0000002fffffff0f"))
        (16384, 16384)
    """
    kind, header = start[12:16], start[20:30]
    if kind == b"VP8X" and len(header) == 10:
        return (
            int.from_bytes(header[4:7], "little") + 1,
            int.from_bytes(header[7:10], "little") + 1,
        )
    if kind == b"VP8L" and len(header) >= 5:
        bits = int.from_bytes(header[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(header) == 10:
        width, height = struct.unpack("<HH", header[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError(f"it begins with {kind!r}, which tells no size")
