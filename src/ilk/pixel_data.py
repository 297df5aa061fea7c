"""A picture file without all that its pixels do not need, for files whose other parts are damaged.

Colour profiles, texts, previews and dates may be too large, cut off or wrong, and every pixel be
there all the same. Nothing is repaired that pixels depend on: where a part of them is missing, the
file stays as damaged as it was.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

__all__ = ["pixel_data"]

_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"}
_TIFF_KEPT = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320),
    *(322, 323, 324, 325, 332, 338, 339, 340, 341, 347, 512, 513, 514, 515, 519, 520, 521),
    *(529, 530, 531, 532),
}
"""The tags that say where the pixels are and what they mean (TIFF 6.0), and the orientation."""
_EXIF, _EXIF_START = 0xE1, b"Exif\0\0"
_ADOBE, _ADOBE_BYTES = 0xEE, 12
_NUM_COEFFICIENTS = 64
_FILLS = (b"", b"\x55" * 4096, b"\xaa" * 4096)
"""What may have followed where a JPEG breaks off; libjpeg itself goes on with zeros."""


def pixel_data(content: bytes, name: str) -> tuple[bytes, ...]:
    """Return a file of the same pixels and hardly anything else.

    Args:
        content: The file.
        name: Of its format: "JPEG", "PNG", "WEBP", "GIF", "TIFF" or "AVIF".

    Returns:
        One file, or several of a JPEG that lacks its end marker: only if all of them show the same,
        its pixels do not depend on what else it may lack. None at all, if there is no such form.
    """
    strip = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif, "TIFF": _tiff, "AVIF": _avif}
    try:
        return strip[name](content)
    except (KeyError, IndexError, struct.error, ValueError):  # it ends where more was announced
        return ()


def _png(content: bytes) -> tuple[bytes, ...]:
    """Keep the chunks that pixels need; of others the transparency and orientation, if sound."""
    parts, at, end = [content[:8]], 8, b""
    while at + 12 <= len(content):
        (length,), name = struct.unpack_from(">I", content, at), content[at + 4 : at + 8]
        chunk = content[at : at + 12 + length]
        is_sound = len(chunk) == 12 + length and _sum_of(chunk) == chunk[-4:]
        is_needed = name[:1].isupper() or (is_sound and _is_whole_note(name, length, parts[1]))
        if name in _PNG_KEPT and is_needed:
            parts.append(chunk)
        at += len(chunk)
        if name == b"IEND":
            end = name
            break
    if not end:
        parts.append(b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND")))
    return (b"".join(parts),)


def _sum_of(chunk: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(chunk[4:-4]))


def _is_whole_note(name: bytes, length: int, header: bytes) -> bool:
    """Return whether an ancillary chunk is long enough for the kind of picture it is about."""
    least = {0: 2, 2: 6, 3: 1}.get(header[17], 0) if name == b"tRNS" else 8
    return length >= least


def _jpeg(content: bytes) -> tuple[bytes, ...]:
    """Drop comments and application segments; end what lacks nothing but its end marker."""
    parts, at, scans, components = [content[:2]], 2, [], b""
    for marker, start, end in _segments(content):
        body = content[start + 4 : end]
        if marker == 0xDA:
            scans.append(body)
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components = bytes(body[6 + 3 * i] for i in range(body[5]))
        is_note = marker == 0xFE or 0xE0 <= marker <= 0xEF
        is_read = (marker == _ADOBE and len(body) >= _ADOBE_BYTES) or (
            marker == _EXIF and body.startswith(_EXIF_START)
        )
        if not is_note or is_read:
            parts.append(content[at if scans else start : end])
        at = end
        if marker == 0xD9:
            return (b"".join(parts),)
    if not _are_all_there(scans, components):
        return ()
    bare = b"".join(parts) + content[at:].removesuffix(b"\xff")
    return tuple(bare + fill + b"\xff\xd9" for fill in _FILLS)


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments of a JPEG; coded data lies between them."""
    at = 2
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        marker = content[at + 1]
        if marker in (0, 1, 0xFF) or 0xD0 <= marker <= 0xD8:  # data, filling, restarts
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            yield marker, at, at + 2
            return
        (length,) = struct.unpack_from(">H", content, at + 2)
        end = at + 2 + max(2, length)
        if end > len(content):
            return
        yield marker, at, end
        at = end


def _are_all_there(scans: list[bytes], components: bytes) -> bool:
    """Return whether scans tell every coefficient of every component to its last bit."""
    missing = {component: set(range(_NUM_COEFFICIENTS)) for component in components}
    for scan in scans:
        num = scan[0]
        first, last, bits = scan[1 + 2 * num : 4 + 2 * num]
        if not bits & 15:
            for i in range(num):
                missing[scan[1 + 2 * i]] -= set(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def _webp(content: bytes) -> tuple[bytes, ...]:
    """Keep the coded picture and its alpha; animations keep their frames."""
    chunks: dict[bytes, bytes] = {}
    frames: list[bytes] = []
    at = 12
    while at + 8 <= len(content):
        name, (size,) = content[at : at + 4], struct.unpack_from("<I", content, at + 4)
        body = content[at + 8 : at + 8 + size]
        if len(body) < size:
            break
        chunk = content[at : at + 8] + body + b"\0" * (size & 1)
        frames += [chunk] if name == b"ANMF" else []
        chunks.setdefault(name, chunk)
        at += len(chunk)
    if frames:
        kept = [chunks[b"VP8X"], chunks[b"ANIM"], *frames]
    elif b"VP8L" in chunks:
        kept = [chunks[b"VP8L"]]
    elif b"VP8 " in chunks:
        kept = [chunks[b"VP8 "]]
        if b"ALPH" in chunks:
            width, height = struct.unpack_from("<HH", kept[0], 14)
            sides = b"".join(((v & 0x3FFF) - 1).to_bytes(3, "little") for v in (width, height))
            flags = struct.pack("<4sIB3x", b"VP8X", 10, 0x10)
            kept = [flags + sides, chunks[b"ALPH"], *kept]
    else:
        kept = []
    body = b"WEBP" + b"".join(kept)
    return (b"RIFF" + struct.pack("<I", len(body)) + body,) if kept else ()


def _gif(content: bytes) -> tuple[bytes, ...]:
    """Keep the first picture and what says how it is shown."""
    at = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    head, control = content[:at], b""
    while content[at] != 0x2C:
        if content[at] == 0x21:
            end = _after_blocks(content, at + 2)
            if content[at + 1] == 0xF9 and content[at + 2] == 4:
                control = content[at:end]
            at = end
        elif content[at] == 0:  # between blocks, as viewers have it
            at += 1
        else:
            return ()
    flags = content[at + 9]
    start = at + 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    return (head + control + content[at : _after_blocks(content, start + 1)] + b";",)


def _after_blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += content[at] + 1
    return at + 1


def _tiff(content: bytes) -> tuple[bytes, ...]:
    """Write the first directory anew, with the tags that pixels need."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = content[2:3] == b"+"
    count, pointer, entry = ("Q", "Q", 20) if is_big else ("H", "I", 12)
    (at,) = struct.unpack_from(order + pointer, content, 8 if is_big else 4)
    (number,) = struct.unpack_from(order + count, content, at)
    at += struct.calcsize(count)
    entries = [
        content[i : i + entry] for i in range(at, min(at + number * entry, len(content)), entry)
    ]
    kept = [e for e in entries if struct.unpack_from(order + "H", e)[0] in _TIFF_KEPT]
    body = content + b"\0" * (len(content) & 1)
    start = 8 if is_big else 4
    where = struct.pack(order + pointer, len(body))
    body = body[:start] + where + body[start + len(where) :]
    directory = struct.pack(order + count, len(kept)) + b"".join(kept)
    return (body + directory + struct.pack(order + pointer, 0),)


def _avif(content: bytes) -> tuple[bytes, ...]:
    """Name the item of the EXIF data otherwise; the orientation of an AVIF is not among them."""
    return (re.sub(rb"(infe.{8})Exif", rb"\1free", content, flags=re.DOTALL),)
