"""From an item's content to what an encoder takes: one code for training, evaluation and serving.

Three steps, and augmentation goes between the second and the third: `read_image` gives the
picture as a person sees it, `Preprocess.frame` cuts it to the encoder's size, and
`Preprocess.normalize` makes floats of it. Nothing here is random.

Shapes: N inputs, C channels (1 or 3), H and W height and width, of a picture or of what an encoder
sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, final, get_args

import numpy as np
from PIL import Image

from ilk.errors import InvalidInput, UnreadableItem
from ilk.images import decode, read_image, refuse_blank
from ilk.items import Item

__all__ = ["Preprocess", "Size", "read_image", "sides_of"]

Modality = Literal["image", "array"]
Resize = Literal["squash", "crop", "pad"]
ChannelOrder = Literal["rgb", "bgr"]
Size = int | tuple[int, int]
"""The side of a square in pixels, or (height, width)."""

_WHITE = 255
_MOST_PIXELS = 4096
"""The longest side of what an encoder sees: a batch of such pictures already takes gigabytes."""


@final
@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What turns an item's content into one row of an encoder's input.

    Example:
        >>> preprocess = Preprocess(size_pixels=2, channels=1, mean=(0.5,), std=(0.5,))
        >>> frame = preprocess.frame(np.full((9, 5, 3), 255, np.uint8))
        >>> frame.shape, frame.dtype.name
        ((2, 2, 1), 'uint8')
        >>> preprocess.normalize(frame[None]).tolist()
        [[[[1.0, 1.0], [1.0, 1.0]]]]
        >>> Preprocess.from_settings(preprocess.settings) == preprocess
        True
    """

    modality: Modality = "image"
    """What items hold: pictures, or arrays that the encoder takes as they are."""
    size_pixels: Size = 224
    """What the encoder sees: the side of a square, or (height, width)."""
    channels: int = 3
    """C: 3 is RGB, 1 is luminance."""
    resize: Resize = "squash"
    """How a picture gets these proportions: "squash" changes its own, "crop" keeps the middle,
    "pad" keeps all and fills up with white."""
    crop_fraction: float = 1.0
    """The share of each side (for "crop" of the largest part of the right proportions) that is
    kept, from the middle."""
    mean: tuple[float, ...] = (0.5,)
    """Per channel, or one for all, on the scale where white is 1."""
    std: tuple[float, ...] = (0.5,)
    """Per channel, or one for all, on the scale where white is 1."""
    trim: bool = False
    """Whether to cut away the plain border around a drawing first."""
    shape: tuple[int, ...] | None = None
    """The shape of one array, if the modality is "array" and the shape is fixed."""
    channel_order: ChannelOrder = "rgb"
    """In which order an encoder takes the channels of a picture; `mean` and `std` are in the same.
    Frames are RGB all the same."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            InvalidInput: A setting is out of its range.
        """
        _require(self.modality in get_args(Modality), "modality", "image or array", self.modality)
        _require(self.resize in get_args(Resize), "resize", "squash, crop or pad", self.resize)
        _require(_whole(self.channels) in (1, 3), "channels", "1 or 3", self.channels)
        height, width = sides_of(self.size_pixels)
        size = height if height == width else (height, width)  # equal sizes are written alike
        object.__setattr__(self, "size_pixels", size)
        sides = [_whole(side) for side in self.shape or ()]
        fits = min(sides, default=1) >= 1 and math.prod(sides) <= _MOST_PIXELS**2
        _require(fits, "shape", f"lengths from 1, {_MOST_PIXELS**2:,} numbers at most", self.shape)
        _require(type(self.trim) is bool, "trim", "true or false", self.trim)
        is_share = 0 < self.crop_fraction <= 1
        _require(is_share, "crop_fraction", "above 0 and at most 1", self.crop_fraction)
        if self.resize == "pad":
            is_whole = self.crop_fraction == 1
            _require(is_whole, "crop_fraction", "1 with resize 'pad'", self.crop_fraction)
        order = self.channel_order
        _require(order in get_args(ChannelOrder), "channel_order", "rgb or bgr", order)
        _require(order == "rgb" or self.channels == 3, "channels", "3 with bgr", self.channels)
        for name, values in (("mean", self.mean), ("std", self.std)):
            fits = len(values) in (1, self.channels) and all(math.isfinite(v) for v in values)
            _require(fits, name, f"1 or {self.channels} finite numbers", values)
        _require(all(v > 0 for v in self.std), "std", "above 0", self.std)

    @property
    def settings(self) -> dict[str, Any]:
        """All that `from_settings` needs to make this again, fit for JSON."""
        left_out = (
            ("channel_order",) if self.channel_order == "rgb" else ()
        )  # the same hash as before there was one
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in asdict(self).items()
            if k not in left_out
        }

    @staticmethod
    def from_settings(settings: Mapping[str, Any]) -> Preprocess:
        """Make the preprocessing that `settings` describes.

        Raises:
            InvalidInput: A key is unknown or a value is out of its range.
        """
        known = {field.name for field in fields(Preprocess)}
        if unknown := sorted(set(settings) - known):
            raise InvalidInput(f"preprocess takes {sorted(known)}, got the unknown {unknown}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
        }
        try:
            return Preprocess(**values)
        except TypeError as error:
            raise InvalidInput(f"preprocess got a value of a wrong type: {error}") from None

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """(C, H, W) for pictures, `shape` for arrays: the shape of one row of an input batch."""
        if self.modality == "array":
            return self.shape
        return self.channels, *sides_of(self.size_pixels)

    def frame(self, image: np.ndarray) -> np.ndarray:
        """Return the (H, W, C) uint8 frame, of the encoder's size, of a picture of any size.

        Shrinking is antialiased (every pixel counts) and uses the bicubic filter.

        Raises:
            InvalidInput: The picture is not (H, W, 3) uint8 or has no pixels.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InvalidInput(
                f"a picture must be (H, W, 3) uint8, got {image.shape} {image.dtype}; "
                "read_image makes one of anything"
            )
        return self._framed(Image.fromarray(np.ascontiguousarray(image)))

    def normalize(self, frames: np.ndarray) -> np.ndarray:
        """Return (frames / 255 - mean) / std, channels first: (N, C, H, W) float32.

        With the channel order "bgr" the channels of the frames are turned around before.

        Args:
            frames: (N, H, W, C), uint8 or floats from 0 to 255.

        Raises:
            InvalidInput: The frames have another shape.
        """
        expected = (*sides_of(self.size_pixels), self.channels)
        if frames.shape[1:] != expected:
            raise InvalidInput(f"frames must be (N, H, W, C) with {expected}, got {frames.shape}")
        if self.channel_order == "bgr":
            frames = frames[..., ::-1]
        mean, std = np.array(self.mean), np.array(self.std)
        batch = np.ascontiguousarray(frames.transpose(0, 3, 1, 2), dtype=np.float32)
        batch *= (1 / (255 * std)).astype(np.float32)[:, None, None]
        batch -= (mean / std).astype(np.float32)[:, None, None]
        return batch

    def load(self, item: Item) -> np.ndarray:
        """Return an item's content: the (H, W, C) uint8 frame, or the array as it is.

        The same as `frame(read_image(...))`, without its detour through RGB for grey.

        Raises:
            UnreadableItem: It cannot be read, is blank (`refuse_blank`), or is a file where an
                array is expected.
        """
        if self.modality == "image":
            image = decode(item.source, name=item.name, box=item.box)
            refuse_blank(image, item.name)
            return self._framed(image)
        if not isinstance(item.source, np.ndarray):
            raise UnreadableItem(f"{item.name}: expected an array in memory, got a file")
        if self.shape is not None and item.source.shape != self.shape:
            shapes = f"expected an array of shape {self.shape}, got {item.source.shape}"
            raise UnreadableItem(f"{item.name}: {shapes}")
        if item.source.dtype.kind not in "fiub" or not np.isfinite(item.source).all():
            raise UnreadableItem(f"{item.name}: expected an array of finite numbers")
        return item.source

    def inputs(self, loaded: Sequence[np.ndarray]) -> np.ndarray:
        """Return what the encoder takes for N results of `load`: a float32 batch.

        Raises:
            InvalidInput: There is nothing, or the shapes differ.
        """
        if len({array.shape for array in loaded}) != 1:
            shapes = sorted({array.shape for array in loaded})
            raise InvalidInput(f"expected inputs of one shape, got {shapes or 'no inputs'}")
        batch = np.stack(loaded)
        return self.normalize(batch) if self.modality == "image" else batch.astype(np.float32)

    def _framed(self, image: Image.Image) -> np.ndarray:
        """Cut and scale in one step; grey first, where that is all that is wanted."""
        if self.channels == 1 and image.mode != "L":
            image = image.convert("L")
        if self.trim:
            image = image.crop(_ink(image))
        high, wide = sides_of(self.size_pixels)
        if self.resize == "pad":
            scale = min(wide / image.width, high / image.height)
            width, height = (max(1, round(side * scale)) for side in image.size)
            small = image.resize((width, height), Image.Resampling.BICUBIC)
            white = _WHITE if image.mode == "L" else (_WHITE,) * 3
            frame = Image.new(image.mode, (wide, high), white)
            frame.paste(small, ((wide - width) // 2, (high - height) // 2))
        else:
            box = self._kept(image.width, image.height)
            frame = image.resize((wide, high), Image.Resampling.BICUBIC, box=box)
        if self.channels == 3:
            frame = frame.convert("RGB")
        return np.array(frame).reshape(high, wide, self.channels)

    def _kept(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the middle of the picture that "squash" or "crop" keeps."""
        sides: tuple[float, float] = (width, height)
        if self.resize == "crop":
            high, wide = sides_of(self.size_pixels)
            is_too_wide = width * high > height * wide
            sides = (height * wide / high, height) if is_too_wide else (width, width * high / wide)
        x, y = (
            (whole - side * self.crop_fraction) / 2
            for whole, side in zip((width, height), sides, strict=True)
        )
        return x, y, width - x, height - y


def sides_of(size: Any) -> tuple[int, int]:
    """Return the height and width of a size in pixels.

    Raises:
        InvalidInput: It is neither a whole number nor two of them, or out of range.

    Example:
        >>> sides_of(224), sides_of((256, 128))
        ((224, 224), (256, 128))
    """
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(1 <= _whole(side) <= _MOST_PIXELS for side in sides):
        raise InvalidInput(
            "size_pixels must be one whole number or (height, width), from 1 to "
            f"{_MOST_PIXELS}, got {size!r}"
        )
    return sides


def _ink(image: Image.Image) -> tuple[int, int, int, int]:
    """Return the box of what differs from the border, with a margin of a tenth of its side."""
    grey = np.asarray(image.convert("L")).astype(np.int16)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    is_ink = abs(grey - np.median(border)) > 32
    if not is_ink.any():
        return 0, 0, image.width, image.height
    rows, columns = np.flatnonzero(is_ink.any(1)), np.flatnonzero(is_ink.any(0))
    x1, x2, y1, y2 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    margin = round(max(x2 - x1, y2 - y1) / 10)
    return (
        max(0, int(x1) - margin),
        max(0, int(y1) - margin),
        min(image.width, int(x2) + margin),
        min(image.height, int(y2) + margin),
    )


def _whole(value: object) -> int:
    """Return a whole number as it is, and -1 for anything else, such as true."""
    return value if type(value) is int else -1


def _require(is_met: bool, name: str, expected: str, got: object) -> None:
    if not is_met:
        raise InvalidInput(f"preprocess.{name} must be {expected}, got {got!r}")
