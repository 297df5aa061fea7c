"""Decoded items: all of them in memory where they fit, else read by threads as they are needed.

Shapes: N items, H and W height and width of a frame, C channels.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from ilk.errors import DataError, InvalidInput, UnreadableItem
from ilk.items import Item, Items, Problem
from ilk.preprocess import Preprocess

__all__ = ["Contents", "InMemory", "OnDisk", "load_contents"]

OnUnreadable = Literal["stop", "skip"]

_NUM_BATCHES_AHEAD = 4


class Contents(ABC):
    """What items hold, as tensors: (N, H, W, C) uint8 frames, or arrays as they are."""

    items: Items
    """The items behind the rows; those found to be unreadable so far are its problems."""
    num_bytes: int
    """What is held in memory."""

    @abstractmethod
    def batches(self, positions: Iterable[list[int]]) -> Iterable[tuple[Tensor, Tensor]]:
        """Return an iterable of (contents, positions) for lists of positions.

        Every time it is iterated, `positions` is too. An unreadable item that is skipped is
        missing from both.
        """


@final
class InMemory(Contents):
    """Contents that are held in one tensor."""

    def __init__(self, rows: Tensor, items: Items) -> None:
        if len(rows) != len(items):
            raise InvalidInput(f"expected one row per item, got {len(rows)} for {len(items)}")
        self.rows = rows
        self.items = items
        self.num_bytes = rows.numel() * rows.element_size()

    def batches(self, positions: Iterable[list[int]]) -> Iterable[tuple[Tensor, Tensor]]:
        """Return the rows at these positions, batch by batch."""
        return _Rows(self.rows, positions)


@final
class OnDisk(Contents):
    """Contents that threads read when they are needed; Pillow lets them run side by side."""

    def __init__(
        self,
        items: Items,
        preprocess: Preprocess,
        *,
        on_unreadable: OnUnreadable = "stop",
        num_threads: int = 0,
    ) -> None:
        self.items = items
        self.num_bytes = 0
        self._found: dict[int, Problem] = {}
        self._reading = _Reading(items.items, preprocess)
        self._on_unreadable = on_unreadable
        self._num_threads = num_threads

    def batches(self, positions: Iterable[list[int]]) -> Iterable[tuple[Tensor, Tensor]]:
        """Return what is read at these positions, batch by batch, a few batches ahead."""
        return _Read(self, positions, self._reading, self._num_threads)

    def accept(self, read: Sequence[tuple[int, np.ndarray | str]]) -> tuple[Tensor, Tensor]:
        """Make a batch of what was read, without what could not be.

        Raises:
            UnreadableItem: An item could not be read, and that should stop.
            DataError: Nothing of a batch could be read.
        """
        for position, content in read:
            if isinstance(content, str) and position not in self._found:
                if self._on_unreadable == "stop":
                    raise UnreadableItem(_stopped(content))
                item = self.items.items[position]
                self._found[position] = Problem(item.name, content)
                self.items = Items(
                    self.items.items,
                    (*self.items.problems, self._found[position]),
                    self.items.origin,
                )
        good = [(p, content) for p, content in read if not isinstance(content, str)]
        if not good:
            raise DataError(f"none of {len(read)} items of a batch can be read: {read[0][1]}")
        rows = torch.from_numpy(np.stack([content for _, content in good]))
        return rows, torch.tensor([p for p, _ in good])


def load_contents(
    items: Items,
    preprocess: Preprocess,
    *,
    limit_bytes: int,
    on_unreadable: OnUnreadable = "stop",
    num_threads: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Contents:
    """Decode items into memory if they fit, or prepare to read them by and by.

    Args:
        items: At least one.
        preprocess: Makes the frames.
        limit_bytes: Largest size of all frames together to hold in memory.
        on_unreadable: Whether an item that cannot be decoded stops, or is skipped and listed in
            the problems of `Contents.items`.
        num_threads: That read what does not fit; 0 reads in the calling thread.
        progress: Called with (items read, items in all).

    Raises:
        UnreadableItem: An item cannot be decoded, and that should stop.
        DataError: No item can be decoded.
    """
    size = _bytes_per_item(items, preprocess)
    if size * len(items) > limit_bytes:
        return OnDisk(items, preprocess, on_unreadable=on_unreadable, num_threads=num_threads)
    rows, kept, problems = _decode_all(items, preprocess, on_unreadable, progress)
    kept_items = Items(tuple(kept), (*items.problems, *problems), items.origin)
    return InMemory(torch.from_numpy(rows), kept_items)


def _bytes_per_item(items: Items, preprocess: Preprocess) -> int:
    """Return the size of one decoded item, as the first readable one tells."""
    if preprocess.modality == "image":
        return math.prod(preprocess.input_shape or ())
    for item in items.items:
        if isinstance(item.source, np.ndarray):
            return item.source.nbytes
    raise DataError(f"{items.origin} has no arrays in memory, which the encoder needs")


def _decode_all(
    items: Items,
    preprocess: Preprocess,
    on_unreadable: OnUnreadable,
    progress: Callable[[int, int], None],
) -> tuple[np.ndarray, list[Item], list[Problem]]:
    rows: np.ndarray | None = None
    kept: list[Item] = []
    problems: list[Problem] = []
    reading = _Reading(items.items, preprocess)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for position, content in pool.map(reading, range(len(items))):
            progress(position + 1, len(items))
            item = items.items[position]
            if isinstance(content, str):
                if on_unreadable == "stop":
                    pool.shutdown(cancel_futures=True)
                    raise UnreadableItem(_stopped(content))
                problems.append(Problem(item.name, content))
                continue
            if rows is None:
                rows = np.empty((len(items), *content.shape), content.dtype)
            if content.shape != rows.shape[1:]:
                raise DataError(
                    f"{item.name}: expected the shape of the first item, {rows.shape[1:]}, got "
                    f"{content.shape}"
                )
            rows[len(kept)] = content
            kept.append(item)
    if rows is None:
        raise DataError(f"none of the {len(items)} items of {items.origin} can be read")
    return rows[: len(kept)], kept, problems


def _stopped(reason: str) -> str:
    return f"{reason}; repair or remove it, or train without it: --set data.on_unreadable=skip"


@final
class _Reading:
    """Reads an item, or says why it cannot be read."""

    def __init__(self, items: Sequence[Item], preprocess: Preprocess) -> None:
        self._items = items
        self._preprocess = preprocess

    def __call__(self, position: int) -> tuple[int, np.ndarray | str]:
        item = self._items[position]
        try:
            return position, self._preprocess.load(item)
        except (UnreadableItem, OSError) as error:
            return position, str(error)


@final
class _Rows:
    """Batches of the rows of a tensor, of unknown number."""

    def __init__(self, rows: Tensor, positions: Iterable[list[int]]) -> None:
        self._rows = rows
        self._positions = positions

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for positions in self._positions:
            chosen = torch.tensor(positions)
            yield self._rows[chosen], chosen


@final
class _Read:
    """Batches that are read while earlier ones are in use."""

    def __init__(
        self,
        contents: OnDisk,
        positions: Iterable[list[int]],
        reading: _Reading,
        num_threads: int,
    ) -> None:
        self._contents = contents
        self._positions = positions
        self._reading = reading
        self._num_threads = num_threads

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._num_threads:
            for batch in self._positions:
                yield self._contents.accept([self._reading(position) for position in batch])
            return
        pool = ThreadPoolExecutor(self._num_threads, "ilk-read")
        waiting: deque[list[Future[tuple[int, np.ndarray | str]]]] = deque()
        try:
            for batch in self._positions:
                waiting.append([pool.submit(self._reading, position) for position in batch])
                if len(waiting) > _NUM_BATCHES_AHEAD:
                    yield self._contents.accept([read.result() for read in waiting.popleft()])
            for reads in waiting:
                yield self._contents.accept([read.result() for read in reads])
        finally:
            pool.shutdown(cancel_futures=True)
