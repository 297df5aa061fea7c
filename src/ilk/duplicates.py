"""Duplicates in a data set: the same bytes, the same pixels, or nearly the same picture.

Two pictures are near duplicates if all of this holds for their small versions:

- the correlation of their luminance, 32 x 32, is at least 0.95;
- nowhere do they differ more than 0.7 standard deviations, averaged over 3 x 3 of these pixels,
  after the brightness and contrast of one were fitted to the other's;
- neither has more than twice the contrast of the other, and their mean luminance differs by at
  most 64 of 255;
- their colour, 8 x 8, differs by at most 8 of 255 on average;
- their proportions differ by at most 10 %.

So a picture that was compressed again, scaled, brightened, or marked in a corner is found, one
that was cropped by more than a per cent or two, mirrored or turned is not, and neither is a drawing
of the same thing by another hand, unless it is as plain as a single straight line. A picture with
next to no contrast is not compared.

No pair is missed on the way: the correlation of two unit vectors bounds the distance of any
orthogonal projection of them, so the 64 lowest frequencies discard most pairs by one matrix product
and only what is left is computed in full. Time is quadratic in the number of pictures, with a small
constant: 100,000 pictures are 5 billion pairs of 65 numbers.

Shapes: N items, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.thumbnails import LUMINANCE_PIXELS, Thumbnails

__all__ = ["NearDuplicates", "exact_duplicates", "near_duplicates"]

_MIN_CORRELATION = 0.95
_MAX_LOCAL_DIFFERENCE = 0.7
_MAX_CONTRAST_RATIO = 2.0
_MAX_BRIGHTNESS_DIFFERENCE = 64.0
_MAX_CHROMA_DIFFERENCE = 8.0
_MAX_ASPECT_DIFFERENCE = 0.1
_MIN_CONTRAST = 2.0
"""Standard deviation in grey levels below which a picture is too plain to compare."""
_NUM_FREQUENCIES = 8
_BLOCK = 2048
_CHUNK = 4096


@final
@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of pictures that are nearly the same."""

    pairs: np.ndarray
    """(P, 2) positions of items, the first the smaller, in ascending order."""
    correlations: np.ndarray
    """(P,) of the luminance."""
    is_complete: bool
    """Whether these are all; False once the limit was reached."""


def exact_duplicates(hashes: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the positions that share a hash, for every hash that occurs more than once.

    Example:
        >>> exact_duplicates(["a", "b", "a", "c", "b"])
        [(0, 2), (1, 4)]
    """
    positions: dict[str, list[int]] = {}
    for position, value in enumerate(hashes):
        positions.setdefault(value, []).append(position)
    return [tuple(group) for group in positions.values() if len(group) > 1]


def near_duplicates(
    thumbnails: Thumbnails,
    *,
    max_pairs: int = 100_000,
    progress: Callable[[int, int], None] | None = None,
) -> NearDuplicates:
    """Find the pairs that are nearly the same; of pictures with equal pixels only the first counts.

    Args:
        thumbnails: Of the items.
        max_pairs: Stop once so many are found.
        progress: Called with the number of blocks done and of all blocks.
    """
    chosen = _comparable(thumbnails)
    units = _unit(thumbnails.luminance[chosen])
    low = _low_frequencies(units)
    pairs: list[np.ndarray] = []
    correlations: list[np.ndarray] = []
    num_found, is_complete = 0, True
    num_blocks = -(-len(chosen) // _BLOCK)
    for block in range(num_blocks):
        for first, second in _candidates(low, block * _BLOCK):
            values = np.einsum("pd,pd->p", units[first], units[second])
            is_near = values >= _MIN_CORRELATION
            first, second = chosen[first[is_near]], chosen[second[is_near]]
            is_same = _look_the_same(thumbnails, first, second)
            pairs.append(np.stack([first[is_same], second[is_same]], 1))
            correlations.append(values[is_near][is_same])
            num_found += int(is_same.sum())
        if num_found > max_pairs:
            is_complete = False
            break
        if progress is not None:
            progress(block + 1, num_blocks)
    return _sorted(pairs, correlations, max_pairs, is_complete)


def _sorted(
    pairs: list[np.ndarray], correlations: list[np.ndarray], max_pairs: int, is_complete: bool
) -> NearDuplicates:
    together = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    values = np.concatenate([np.zeros(0, np.float32), *correlations])
    order = np.lexsort((together[:, 1], together[:, 0]))[:max_pairs]
    return NearDuplicates(together[order], values[order], is_complete)


def _comparable(thumbnails: Thumbnails) -> np.ndarray:
    """Return the positions of pictures with contrast, one for each set of equal pixels."""
    first = np.array(sorted({h: i for i, h in _backwards(thumbnails.pixel_hashes)}.values()), int)
    contrast = thumbnails.luminance[first].std(axis=(1, 2), dtype=np.float32)
    return first[(contrast >= _MIN_CONTRAST) & np.isfinite(thumbnails.aspect[first])]


def _backwards(hashes: Sequence[str]) -> list[tuple[int, str]]:
    return list(enumerate(hashes))[::-1]


def _unit(luminance: np.ndarray) -> np.ndarray:
    """Return the pictures as vectors of mean 0 and length 1, (N, 1024) float32."""
    flat = luminance.reshape(len(luminance), LUMINANCE_PIXELS**2).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True).clip(min=1e-6)
    return flat


def _low_frequencies(units: np.ndarray) -> np.ndarray:
    """Return the lowest 8 x 8 cosine frequencies and the length of the rest, (N, 65).

    The projection is orthogonal and the triangle inequality holds for the rest, so two rows are
    never farther apart than the vectors they come from.
    """
    k = np.arange(_NUM_FREQUENCIES)[:, None]
    x = np.arange(LUMINANCE_PIXELS)[None]
    waves = np.cos(np.pi * (2 * x + 1) * k / (2 * LUMINANCE_PIXELS))
    waves = (waves / np.linalg.norm(waves, axis=1, keepdims=True)).astype(np.float32)
    basis = np.einsum("ki,lj->klij", waves, waves).reshape(_NUM_FREQUENCIES**2, -1)
    low = units @ basis.T
    rest = np.sqrt((1 - (low * low).sum(axis=1)).clip(min=0))
    return np.concatenate([low, rest[:, None]], axis=1)


def _candidates(low: np.ndarray, start: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs (a row of the block at `start`, a later row) that the bound cannot discard."""
    # |p - q|^2 <= 2 (1 - correlation), and rows have length 1; the slack is for float32
    limit = np.float32(_MIN_CORRELATION - 1e-4)
    rows = low[start : start + _BLOCK]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for begin in range(start, len(low), _BLOCK):
        first, second = np.nonzero(rows @ low[begin : begin + _BLOCK].T >= limit)
        first, second = first + start, second + begin
        is_later = second > first
        first, second = first[is_later], second[is_later]
        chunks = range(0, len(first), _CHUNK)
        found += [(first[at : at + _CHUNK], second[at : at + _CHUNK]) for at in chunks]
    return found


def _look_the_same(thumbnails: Thumbnails, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compare proportions, light, colour and detail of P pairs; (P,) bool."""
    aspect = abs(thumbnails.aspect[first] - thumbnails.aspect[second])
    grey = [thumbnails.luminance[at].astype(np.float32) for at in (first, second)]
    brightness = abs(grey[0].mean(axis=(1, 2)) - grey[1].mean(axis=(1, 2)))
    contrast = abs(np.log(grey[0].std(axis=(1, 2)) / grey[1].std(axis=(1, 2))))
    one, other = (thumbnails.chroma[at].astype(np.int16) for at in (first, second))
    colour = abs(one - other).mean(axis=(1, 2, 3))
    return (
        (aspect <= _MAX_ASPECT_DIFFERENCE)
        & (brightness <= _MAX_BRIGHTNESS_DIFFERENCE)
        & (contrast <= np.log(_MAX_CONTRAST_RATIO))
        & (colour <= _MAX_CHROMA_DIFFERENCE)
        & (_local_difference(thumbnails, first, second) <= _MAX_LOCAL_DIFFERENCE)
    )


def _local_difference(thumbnails: Thumbnails, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the largest local difference after fitting brightness and contrast, (P,)."""
    side = LUMINANCE_PIXELS
    a = _unit(thumbnails.luminance[first]).reshape(-1, side, side)
    b = _unit(thumbnails.luminance[second]).reshape(-1, side, side)
    gain = (a * b).sum(axis=(1, 2), keepdims=True)
    # a unit vector of side^2 numbers has the standard deviation 1 / side
    difference = np.pad((b - gain * a) * side, ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(difference, (3, 3), axis=(1, 2))
    return abs(windows.mean(axis=(3, 4))).max(axis=(1, 2), initial=0)
