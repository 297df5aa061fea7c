"""Bytes to pixels, as a person sees them: turned, on white, at eight bits.

Nine formats are read: JPEG, PNG, WebP, GIF, AVIF (of each the first frame), BMP, TIFF (first page),
PNM (pbm, pgm, ppm) and, by the extra `heif`, HEIC. They are told apart by their first bytes, never
by the file's name. Where texts, profiles or previews in a file are damaged or too large, it is read
without them. What a person sees, here:

- an EXIF orientation is applied, all eight of them;
- transparency lies on white, whether it is an alpha channel, a palette entry or a colour;
- sixteen bits become eight by scaling (65,535 is white), twelve by theirs (4,095 is white);
- 32-bit integers and floats have no white of their own. White is the smallest of 1 (floats
  only), 255 and 65,535 that no value exceeds; where a value is negative or larger than that, the
  smallest value is black and the largest is white. NaN and infinity are refused;
- CMYK becomes RGB, inverted in JPEG as Adobe stores it. Colour profiles are not applied.

Shapes: H height, W width in pixels, after orientation.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ilk.errors import UnreadableItem
from ilk.picture_formats import (
    NAMES,
    NUM_START_BYTES,
    PictureFormat,
    claimed_size,
    picture_format,
)
from ilk.pixel_data import pixel_data

__all__ = ["MAX_PIXELS", "Box", "decode", "read_image", "refuse_blank"]

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the picture as it is seen, that is after orientation."""

MAX_PIXELS = 64_000_000
"""The largest picture that is decoded unless told otherwise, 8,000 x 8,000: about 1 GB."""

_MOST_FILE_BYTES_PER_PIXEL = 16
"""Larger files than this times the limit on pixels are not opened: some formats are read whole."""

_LARGE_PIXELS = 8_000_000
"""Larger pictures are decoded one after the other, whatever the number of threads."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation but the first."""

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_PART_VALUES = 1 << 20
_quiet_lock = threading.RLock()
_large = threading.RLock()


def _make_locks() -> None:
    """Make them anew: in a forked child, nobody is left to release what another thread held."""
    global _quiet_lock, _large
    _quiet_lock, _large = threading.RLock(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_make_locks)


def read_image(
    source: Path | bytes | np.ndarray,
    *,
    name: str = "",
    box: Box | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Return the picture as a person sees it, (H, W, 3) uint8 RGB.

    Args:
        source: A file, its bytes, or pixels: (H, W), (H, W, 1) grey, (H, W, 2) grey and alpha,
            (H, W, 3) RGB or (H, W, 4) RGB and alpha; bool, uint8, uint16 or any other number,
            brought to eight bits as the module says.
        name: What an error calls it; the path if there is none.
        box: The region to keep, rounded outwards to whole pixels and cut to the picture.
        max_pixels: Larger pictures are refused before any pixel is decoded. Decoding takes at most
            18 bytes of memory for each pixel, whatever the format, bit depth and channels.

    Raises:
        UnreadableItem: It cannot be opened, decoded or cropped. The message is "NAME: reason".

    Example:
        >>> read_image(np.array([[0, 65535]], np.uint16)).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
        >>> read_image(b"<svg/>", name="logo.svg")
        Traceback (most recent call last):
        ...
        ilk.errors.UnreadableItem: logo.svg: not a JPEG, PNG, WebP, GIF, BMP, TIFF, PNM, AVIF or
        HEIC: convert it
    """
    return np.array(decode(source, name=name, box=box, max_pixels=max_pixels).convert("RGB"))


def decode(
    source: Path | bytes | np.ndarray,
    *,
    name: str = "",
    box: Box | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Return the same picture as `read_image` does, as a Pillow image of mode L or RGB.

    Raises:
        UnreadableItem: As in `read_image`.
    """
    try:
        if isinstance(source, np.ndarray):
            name = name or "array"
            image = _from_array(source, max_pixels)
        elif isinstance(source, bytes):
            name = name or "bytes"
            image = _from_file(BytesIO(source), max_pixels)
        else:
            name = name or str(source)
            with _open_regular(source) as file:
                image = _from_file(file, max_pixels)
        return image if box is None else _cropped(image, box)
    except (_Refused, Image.DecompressionBombError) as error:
        raise UnreadableItem(f"{name}: {error}") from None
    except MemoryError:
        reason = "decoding it takes more memory than there is"
        raise UnreadableItem(f"{name}: {reason}") from None
    except OSError as error:
        raise UnreadableItem(f"{name}: {error.strerror or error}") from None


def refuse_blank(image: Image.Image, name: str) -> None:
    """Refuse a picture of which every pixel is the same, for there is nothing to compare.

    Faint is not blank: one pixel that differs by 1 of 255 is enough.

    Args:
        image: Of mode L or RGB, as `decode` gives it.
        name: What the error calls it.

    Raises:
        UnreadableItem: It is blank, as is a picture of one pixel or a fully transparent one.

    Example:
        >>> faint = np.full((40, 30), 200, np.uint8)
        >>> faint[20, 10] += 1
        >>> refuse_blank(Image.fromarray(faint), "faint.png")
    """
    if not (_is_even(image.resize((32, 32), Image.Resampling.NEAREST)) and _is_even(image)):
        return
    width, height = image.size
    pixel = image.convert("RGB").getpixel((0, 0))
    if width * height == 1:
        reason = "it is a single pixel"
    elif pixel == (255, 255, 255):
        reason = f"all {width} x {height} pixels are white or transparent"
    else:
        reason = f"all {width} x {height} pixels have the colour {pixel}"
    error = UnreadableItem(f"{name}: {reason}: there is nothing to compare")
    error.code = "blank"
    raise error


def _is_even(image: Image.Image) -> bool:
    extremes: Any = image.getextrema()
    return all(low == high for low, high in (extremes if image.mode != "L" else [extremes]))


class _Refused(Exception):
    """The reason why a picture cannot be read, still without its name."""


def _open_regular(path: Path) -> IO[bytes]:
    """Open a file, and nothing else: a pipe or device would wait forever or never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise _Refused("is a folder" if stat.S_ISDIR(mode) else "is not a regular file")
    return path.open("rb")


def _from_file(file: IO[bytes], max_pixels: int) -> Image.Image:
    start = file.read(NUM_START_BYTES)
    if not start:
        raise _Refused("the file is empty")
    if (found := picture_format(start)) is None:
        raise _Refused(f"not a {NAMES}: convert it")
    if found.missing:
        raise _Refused(found.missing)
    most = max(max_pixels, _LARGE_PIXELS) * _MOST_FILE_BYTES_PER_PIXEL
    if (size := file.seek(0, os.SEEK_END)) > most:
        raise _Refused(f"the file has {size:,} bytes, more than the limit of {most:,}")
    try:
        return _decoded(file, found, max_pixels)
    except (_Refused, MemoryError):
        raise
    # a damaged file makes Pillow raise anything from SyntaxError to struct.error
    except Exception as error:
        return _decoded_bare(file, found, max_pixels, error)


def _decoded_bare(
    file: IO[bytes], found: PictureFormat, max_pixels: int, error: Exception
) -> Image.Image:
    """Decode what was refused for `error` without all that its pixels do not need."""
    file.seek(0)
    forms = pixel_data(file.read(), found.name)
    with suppress(Exception):
        first, *others = (_decoded(BytesIO(form), found, max_pixels) for form in forms)
        if all(first.tobytes() == other.tobytes() for other in others):
            return first
    if isinstance(error, Image.DecompressionBombError):
        raise error
    raise _Refused(f"damaged {found.name} file: {error or type(error).__name__}") from None


def _decoded(file: IO[bytes], found: PictureFormat, max_pixels: int) -> Image.Image:
    file.seek(0)
    if found.name == "WEBP":  # which makes room for its pixels when it is opened
        _refuse_too_large(*claimed_size(file.read(NUM_START_BYTES)), max_pixels)
        file.seek(0)
    with _quiet():
        image = found.opened(file)
        _refuse_too_large(image.width, image.height, max_pixels)
        if found.name == "TIFF":  # complains while it loads, and turns itself, tag and all
            image.load()
    with _large if image.width * image.height > _LARGE_PIXELS else nullcontext():
        image.load()
        with _quiet():
            turn = _TURNS.get(_orientation(image))
        visible = _visible(image)
        return visible if turn is None else visible.transpose(turn)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings about damaged metadata: it is pixels that we came for.

    Filters are process-wide, hence the lock; it spans the reading of headers, not of pixels.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _refuse_too_large(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _Refused(
            f"{width} x {height} is {width * height:,} pixels, more than the limit of "
            f"{max_pixels:,}, which keeps decompression bombs out: make the picture smaller"
        )
    if width < 1 or height < 1:
        raise _Refused(f"the picture has no pixels, its size is {width} x {height}")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; damaged EXIF data counts as none, as viewers have it."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _visible(image: Image.Image) -> Image.Image:
    """Bring any mode to L or RGB, transparency on white."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode == "1" and "transparency" not in image.info:
        return image.convert("L")
    if image.mode[0] in "IF":
        return _wide_grey(image)
    if image.has_transparency_data:
        seen = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", seen.size, (255, 255, 255))
        white.paste(seen, mask=seen.getchannel("A"))
        return white
    return image.convert("RGB")


def _wide_grey(image: Image.Image) -> Image.Image:
    """Scale grey of more than eight bits: I;16 and its kin, I and F."""
    values = np.asarray(image)
    bits = _declared_bits(image)
    if bits is not None:
        low = -(2 ** (bits - 1)) if values.min() < 0 else 0
        grey = _scaled(values, float(low), float(low + 2**bits - 1))
    else:
        grey = _eight_bits(values)
    if isinstance(clear := image.info.get("transparency"), int):
        grey = np.where(values == clear, np.uint8(255), grey)
    return Image.fromarray(grey)


def _declared_bits(image: Image.Image) -> int | None:
    """Return the bit depth of a grey picture if it is 16 or less, None where white is a guess."""
    declared = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE)
    if declared:
        return int(declared[0]) if declared[0] <= 16 else None
    return None if image.mode == "F" else 16


def _from_array(pixels: np.ndarray, max_pixels: int) -> Image.Image:
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1] if pixels.ndim == 3 else 0
    if channels not in (1, 2, 3, 4):
        raise _Refused(f"pixels must be (H, W) or (H, W, 1 to 4), got {pixels.shape}")
    _refuse_too_large(pixels.shape[1], pixels.shape[0], max_pixels)
    if pixels.dtype.kind not in "buif":
        raise _Refused(f"pixels must be numbers, got {pixels.dtype}")
    eight = np.ascontiguousarray(_eight_bits(pixels).reshape(*pixels.shape[:2], channels))
    if channels in (1, 3):
        return Image.fromarray(eight[..., 0] if channels == 1 else eight)
    return _visible(Image.fromarray(eight))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Bring numbers of any type to uint8 by the rule of the module."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return _scaled(values, 0.0, 65535.0)
    low, high = _extremes(values)
    whites = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    return _scaled(values, low, high) if white is None else _scaled(values, 0.0, white)


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value, all of them being finite."""
    low, high = float(values.min()), float(values.max())  # NaN, if any is
    if not (np.isfinite(low) and np.isfinite(high)):
        num = sum(int((~np.isfinite(part)).sum()) for part in _parts(values))
        are = "is" if num == 1 else "are"
        raise _Refused(f"{num:,} of its {values.size:,} values {are} NaN or infinite")
    return low, high


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield views of some rows at a time, so that what is computed of them stays small."""
    step = max(1, _PART_VALUES // max(1, values[:1].size))
    return (values[start : start + step] for start in range(0, len(values), step))


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Map black to 0 and white to 255, rounding to the nearest."""
    width = max(white - black, np.finfo(np.float64).tiny)
    scaled = np.empty(values.shape, np.uint8)
    for part, into in zip(_parts(values), _parts(scaled), strict=True):
        shares = (part.astype(np.float64) - black) / width
        into[...] = (shares.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return scaled


def _cropped(image: Image.Image, box: Box) -> Image.Image:
    if not np.isfinite(box).all():
        raise _Refused(f"box {box} must be four finite numbers")
    x1, y1 = (max(0, int(np.floor(v))) for v in box[:2])
    x2, y2 = min(image.width, int(np.ceil(box[2]))), min(image.height, int(np.ceil(box[3])))
    if x1 >= x2 or y1 >= y2:
        raise _Refused(
            f"box {tuple(box)} holds no pixel of the picture of {image.width} x {image.height}"
        )
    return image.crop((x1, y1, x2, y2))
