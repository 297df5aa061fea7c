"""Labelled items: what training learns from, evaluation measures on and a gallery is filled with.

An item points at its content and never holds more than it was given; `preprocess` reads it.
"""

from __future__ import annotations

import errno
import hashlib
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from ilk.doors import doors
from ilk.errors import InvalidInput
from ilk.labels import clean_label, normal_label, split_name

__all__ = ["Item", "Items", "Problem"]


@final
@dataclass(frozen=True, eq=False)
class Item:
    """One labelled item; its label, split and group are kept as `ilk.labels` writes them."""

    source: Path | np.ndarray
    """A file, or the content itself: (H, W), (H, W, 3) or (H, W, 4) uint8 pixels, or any array
    that the encoder takes as it is."""
    label: str
    """The name of its class."""
    name: str
    """What reports call the item: the path relative to the source, or a row number."""
    split: str | None = None
    """The part of a data set that it belongs to: "train", "val" or "test" for all usual names of
    these; another name as it is."""
    group: str | None = None
    """Items of one group were made together (one burst, one drawer, one vendor)."""
    box: tuple[float, float, float, float] | None = None
    """The region that counts, x1, y1, x2, y2 in pixels; None is the whole."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else a table says of it, by column: age band, camera. Decides nothing."""
    stated_hash: str | None = None
    """What `content_hash` returns, where the content is kept in another form than it came in."""

    def __post_init__(self) -> None:
        """Bring label, split and group to their one form.

        Raises:
            InvalidInput: One of them is not text, and none can be made of it.
        """
        object.__setattr__(self, "label", normal_label(self.label))
        object.__setattr__(self, "split", split_name(self.split))
        group = normal_label(self.group) if self.group is not None else None
        object.__setattr__(self, "group", group or None)

    def content_hash(self) -> str:
        """Return the SHA-256 of the bytes behind the item, its box included.

        Raises:
            OSError: The file cannot be read, or is none: a pipe or a device may never end.
        """
        if self.stated_hash is not None:
            return self.stated_hash
        digest = hashlib.sha256()
        if isinstance(self.source, Path):
            _digest_file(digest, self.source)
        else:
            digest.update(f"{self.source.dtype.str}{self.source.shape}".encode())
            digest.update(np.ascontiguousarray(self.source).tobytes())
        if self.box is not None:
            digest.update(repr(tuple(map(float, self.box))).encode())
        return digest.hexdigest()


@final
@dataclass(frozen=True)
class Problem:
    """Something in a source that cannot be used, and why."""

    name: str
    reason: str
    code: str = "unreadable"
    """The same for machines: "unreadable", "blank", "label" (it has none) or "conflict" (the same
    item has another)."""


@final
@doors
@dataclass(frozen=True, eq=False)
class Items:
    """Labelled items in a fixed order, with what had to be left out."""

    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()
    origin: str = "memory"
    """Where they come from, for reports."""

    @staticmethod
    def from_arrays(contents: Iterable[np.ndarray], labels: Iterable[object]) -> Items:
        """Make items from arrays in memory; a row whose label is none becomes a problem.

        Args:
            contents: One array per item.
            labels: Text, or numbers and dates, which become the text that a person would write.

        Raises:
            InvalidInput: There are not as many labels as arrays.

        Example:
            >>> Items.from_arrays(np.zeros((2, 8, 8), np.uint8), ["a", "b"]).classes
            ('a', 'b')
        """
        arrays, given = list(contents), list(labels)
        if len(arrays) != len(given):
            raise InvalidInput(f"expected one label per array, got {len(given)} for {len(arrays)}")
        items: list[Item] = []
        problems: list[Problem] = []
        for i, (array, label) in enumerate(zip(arrays, given, strict=True)):
            try:
                items.append(Item(array, clean_label(label), f"row {i}"))
            except InvalidInput as error:
                problems.append(Problem(f"row {i}", str(error), "label"))
        return Items(tuple(items), tuple(problems))

    def __len__(self) -> int:
        return len(self.items)

    def with_clean_labels(self) -> Items:
        """Return the items whose label is one; the others become problems."""
        kept: list[Item] = []
        problems = list(self.problems)
        for item in self.items:
            try:
                clean_label(item.label)
            except InvalidInput as error:
                problems.append(Problem(item.name, str(error), "label"))
            else:
                kept.append(item)
        if len(kept) == len(self):
            return self
        return replace(self, items=tuple(kept), problems=tuple(problems))

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each item, shape (N,), dtype object."""
        return np.array([item.label for item in self.items], dtype=object)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted(set(self.labels)))

    @cached_property
    def class_ids(self) -> np.ndarray:
        """The position in `classes` of each item's label, shape (N,), int64."""
        position = {label: i for i, label in enumerate(self.classes)}
        return np.array([position[label] for label in self.labels], dtype=np.int64)

    @cached_property
    def class_sizes(self) -> Counter[str]:
        """How many items each class has."""
        return Counter(self.labels)

    def where(self, keep: Callable[[Item], bool]) -> Items:
        """Return the items that `keep` accepts, in the same order."""
        return replace(self, items=tuple(item for item in self.items if keep(item)))

    def of_classes(self, labels: Iterable[str]) -> Items:
        """Return the items of these classes, in the same order."""
        wanted = frozenset(labels)
        return self.where(lambda item: item.label in wanted)

    def take(self, indices: Iterable[int]) -> Items:
        """Return the items at these positions, in that order."""
        return replace(self, items=tuple(self.items[i] for i in indices))


def _digest_file(digest: hashlib._Hash, path: Path) -> None:
    """Feed the bytes of a regular file to a digest, however large it is."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
        raise OSError(errno.EINVAL, what, str(path))
    with path.open("rb") as file:
        hashlib.file_digest(file, lambda: digest)
