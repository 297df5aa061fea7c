"""Who a gallery is calibrated with: the non-mated probes of each basis.

Shapes: n probes, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np

from ilk.artifact import Cohort, class_hash
from ilk.closest import EXEMPLAR, Members
from ilk.gallery.admission import admit
from ilk.gallery.binding import Binding
from ilk.gallery.settings import Basis
from ilk.labels import normal_label
from ilk.store import Reader, content_hash_of

__all__ = ["Probes", "probes_of"]

_MOST_OWN = 2000
"""Of the gallery's own exemplars so many stand in for strangers."""


@final
@dataclass(frozen=True, eq=False)
class Probes:
    """Non-mated probes, and how to tell which of them do not count because they are enrolled."""

    embeddings: np.ndarray
    """(n, D) float32, as a gallery keeps them."""
    groups: np.ndarray
    """(n,) int64: probes of one group stand for one class."""
    own_class: np.ndarray
    """(n,) int64: the class that each is enrolled in and not compared with, or -1."""
    names: tuple[str, ...]
    """Of each group: what `group_name` makes of a label; "" of one that has none."""
    group_name: Callable[[str], str]
    content_hashes: tuple[str, ...] = ()
    """Of the file that each probe comes from, "" where that is not known; () if of none it is."""
    ids: np.ndarray | None = None
    """(n,) exemplar ids, if they are the gallery's own."""

    def is_like(self, other: Probes | None) -> bool:
        """Whether these are the same embeddings, standing for the same classes."""
        return (
            other is not None
            and np.array_equal(self.embeddings, other.embeddings)
            and np.array_equal(self.groups, other.groups)
            and np.array_equal(self.own_class, other.own_class)
            and self.names == other.names
        )

    def came_from(self, before: Probes | None) -> np.ndarray:
        """Return where each exemplar was among other probes, (n,) int64; -1 if it was not.

        One that belongs to another class by now was not. Probes that are no exemplars never were.
        """
        if before is None or before.ids is None or self.ids is None:
            return np.full(len(self.groups), -1, np.int64)
        position = {
            key: at for at, key in enumerate(zip(before.ids, before.own_class, strict=True))
        }
        keys = zip(self.ids, self.own_class, strict=True)
        return np.array([position.get(key, -1) for key in keys], np.int64)

    def counts(self, labels: Iterable[str], enrolled_content: set[str]) -> np.ndarray:
        """Return whether each probe still stands for a stranger, (n,) bool."""
        enrolled = {self.group_name(label) for label in labels}
        of_group = np.array([name not in enrolled for name in self.names], bool)
        counts = of_group[self.groups] if len(of_group) else np.ones(len(self.groups), bool)
        for at, content_hash in enumerate(self.content_hashes):
            counts[at] &= content_hash not in enrolled_content
        return counts

    def is_taken_out(self, labels: Sequence[str], content_hashes: Sequence[str]) -> list[bool]:
        """Return for each item, (N,) labels and content, whether enrolling it takes out probes."""
        names, contents = set(self.names) - {""}, set(self.content_hashes) - {""}
        pairs = zip(labels, content_hashes, strict=True)
        return [self.group_name(label) in names or content in contents for label, content in pairs]

    def num_classes(self, counts: np.ndarray) -> int:
        """Return how many classes those probes are of that count, (n,) bool."""
        return len(np.unique(self.groups[counts]))


def probes_of(basis: Basis, binding: Binding, reader: Reader, members: Members) -> Probes:
    """Return the non-mated probes of a basis."""
    if basis == "cohort":
        return _of_cohort(binding)
    if basis == "strangers":
        return _of_strangers(binding, reader)
    return _of_gallery(reader, members)


def _of_cohort(binding: Binding) -> Probes:
    size = binding.embedding_size
    nobody = Cohort(np.zeros((0, size), np.float32), np.zeros(0, np.int64), ())
    cohort = binding.cohort or nobody
    rows, reasons = admit(cohort.embeddings, binding.distance)
    kept = np.array([not reason for reason in reasons], bool)
    groups = cohort.class_ids[kept]
    alone = np.full(len(groups), -1, np.int64)
    return Probes(rows[kept], groups, alone, cohort.class_hashes, cache(class_hash))


def _of_strangers(binding: Binding, reader: Reader) -> Probes:
    """Take what was brought; where no file was named, equal embeddings are different strangers."""
    strangers = reader.strangers()
    of_row = [content_hash_of(row) for row in strangers.embeddings]
    hashes = tuple(
        "" if given == made else given
        for given, made in zip(strangers.content_hashes, of_row, strict=True)
    )
    pairs = zip(strangers.groups, of_row, strict=True)
    named = ["" if group == made else normal_label(group) for group, made in pairs]
    names = sorted(set(named) - {""})
    position = {name: at for at, name in enumerate(names)}
    num_alone = named.count("")
    unnamed = iter(range(len(names), len(names) + num_alone))
    groups = np.array([position[g] if g else next(unnamed) for g in named], np.int64)
    return Probes(
        strangers.embeddings,
        groups,
        np.full(len(groups), -1, np.int64),
        (*names, *[""] * num_alone),
        str,
        content_hashes=hashes if any(hashes) else (),
    )


def _of_gallery(reader: Reader, members: Members) -> Probes:
    """Take one exemplar of each class, then a second, and so on, as long as there is room.

    Which ones goes by their scrambled ids, so that the sample hardly changes as rows come, and so
    that of too many classes each is as likely to be taken as any other, whatever its size.
    """
    everyone = members.all()
    ids = everyone[members.role_of(everyone) == EXEMPLAR]
    own = members.class_of(ids)
    order = np.lexsort((_scrambled(ids), own))
    ids, own = ids[order], own[order]
    _, starts, sizes = np.unique(own, return_index=True, return_counts=True)
    turn = np.arange(len(ids)) - np.repeat(starts, sizes)
    chosen = np.lexsort((_scrambled(own), turn))[:_MOST_OWN]
    ids, own = (part[chosen][np.argsort(ids[chosen])] for part in (ids, own))
    _, groups = np.unique(own, return_inverse=True)
    return Probes(reader.embeddings(ids), groups.astype(np.int64), own, (), str, ids=ids)


def _scrambled(ids: np.ndarray) -> np.ndarray:
    product: np.ndarray = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return product
