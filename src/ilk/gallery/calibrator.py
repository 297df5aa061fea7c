"""Strangers and their closest class, kept up to date as the gallery changes.

A change is followed at the cost of the new rows: a stranger whose deciding row is still there can
only come closer, and only to a new row. What is kept is equal, to the last bit, to what asking
everything anew would give.

Shapes: n strangers, N rows, M new rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import final

import numpy as np

from ilk.calibration import StrangerDistances, clustered_interval
from ilk.closest import EXEMPLAR, Members, closest_classes
from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.searcher import Searcher
from ilk.thresholds import Threshold, within

__all__ = ["Calibrator"]

_PROBES_AT_ONCE, _ROWS_AT_ONCE = 4096, 1024
"""Size of one block of distances: 32 MiB."""

_EXACT_ELEMENTS = 1 << 20
"""How many numbers per side an exact recomputation holds at once."""

_SLACK, _LEAST_SLACK = 1e-6, 1e-9
"""Far more than a float64 matrix product errs by, relative and absolute: what looks farther than
the closest by more than this is farther."""


@final
class Calibrator:
    """The non-mated probes of a gallery, and their smallest class distance as identifying sees it.

    Not safe for threads: its owner holds a lock.

    Where enrolled classes stand in for strangers, each is asked about the m - 1 others, and a real
    stranger meets all m. Of the m only the one that it is closest to makes a difference, so that
    this one is counted below all distances as well (`StrangerDistances.num_first` is 2). With one
    exemplar per class that is exact: had the stranger been enrolled, no other class would have come
    closer to the rest than it is. With more exemplars the rate is at most 2 target - 1 / (m + 1),
    by the argument of the jackknife+, and in simulations at most the target.
    Source: Barber, Candes, Ramdas and Tibshirani, Predictive inference with the jackknife+ (2021).

    Args:
        embeddings: (n, D) of the strangers.
        groups: (n,) int64; strangers of one group stand for one class.
        basis: Who they are; goes into the threshold.
        distance: Of the gallery.
        own_class: (n,) int64, the enrolled class that is left out for each, -1 for none: exemplars
            of the gallery stand in for strangers when they are asked about the other classes.
        num_first: As in `StrangerDistances`; 2 where enrolled classes stand in for strangers.

    Raises:
        InvalidInput: The shapes do not fit each other.

    Example:
        >>> from ilk.searcher import ScanSearcher
        >>> searcher, members = ScanSearcher(Euclidean(), 1), Members()
        >>> strangers = np.arange(1.0, 20.0, dtype=np.float32)[:, None]
        >>> calibrator = Calibrator(strangers, np.arange(19), basis="us", distance=Euclidean())
        >>> calibrator.recompute(searcher, members)
        >>> ids, row = np.array([1]), np.array([[0.0]], np.float32)
        >>> searcher.put(ids, row)
        >>> members.put(ids, np.array([7]), np.zeros(1, np.int8))
        >>> calibrator.follow(searcher, members, ids[:0], ids, row)
        >>> calibrator.closest[:3].tolist(), calibrator.closest_rows[:3].tolist()
        ([1.0, 2.0, 3.0], [1, 1, 1])
        >>> threshold = calibrator.threshold(0.1, gallery_size=1, fingerprint="")
        >>> 1.9 < threshold.value < 2, threshold.num_named
        (True, 1)
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        groups: np.ndarray,
        *,
        basis: str,
        distance: Distance,
        own_class: np.ndarray | None = None,
        num_first: int = 1,
    ) -> None:
        n = len(embeddings)
        self.own_class = np.full(n, -1, np.int64) if own_class is None else own_class
        if embeddings.ndim != 2 or groups.shape != (n,) or self.own_class.shape != (n,):
            raise InvalidInput(
                f"expected embeddings (n, D), groups (n,) and own_class (n,), got "
                f"{embeddings.shape}, {groups.shape} and {self.own_class.shape}"
            )
        self.embeddings, self.groups = embeddings, groups
        self.basis, self.distance = basis, distance
        self.closest = np.full(n, np.inf)
        """(n,) distance to the closest class; infinite where there is none."""
        self.closest_rows = np.full(n, -1, np.int64)
        """(n,) id of the row that decided; -1 where there is none."""
        self.is_kept = np.ones(n, bool)
        """(n,) whether each counts; those that do not are followed all the same."""
        self._num_first = num_first
        self._barring = np.zeros(0, np.int64)
        self._distances: StrangerDistances | None = None

    def __len__(self) -> int:
        """Return n."""
        return len(self.embeddings)

    @property
    def distances(self) -> StrangerDistances:
        """The distances of those that count, with their classes."""
        if self._distances is None:
            self._distances = StrangerDistances(
                self.closest[self.is_kept], self.groups[self.is_kept], num_first=self._num_first
            )
        return self._distances

    def impostors(self, distances: np.ndarray, class_id: int) -> StrangerDistances:
        """Return those that count and are not of a class, by their (n,) distances to it."""
        counts = self.is_kept & (self.own_class != class_id)
        return StrangerDistances(distances[counts], self.groups[counts])

    def keep(self, is_kept: np.ndarray) -> None:
        """Say which strangers count, (n,) bool: not those whose class became enrolled.

        Raises:
            InvalidInput: The shape is another.
        """
        if is_kept.shape != (len(self),):
            raise InvalidInput(f"expected is_kept ({len(self)},), got {is_kept.shape}")
        self.is_kept, self._distances = is_kept.astype(bool), None

    def recompute(self, searcher: Searcher, members: Members) -> None:
        """Ask about all strangers anew."""
        self._ask(np.ones(len(self), bool), searcher, members)
        self._barring = members.barring()

    def follow(
        self,
        searcher: Searcher,
        members: Members,
        dropped: np.ndarray,
        put_ids: np.ndarray,
        put_embeddings: np.ndarray,
    ) -> None:
        """Take over a change of rows that `searcher` and `members` have gone through already.

        Args:
            searcher: After the change.
            members: After the change.
            dropped: Ids of rows that were taken out.
            put_ids: (M,) ids of rows that came or were replaced, or whose class or role is another;
                each once.
            put_embeddings: (M, D).
        """
        touched = np.concatenate([dropped, put_ids])
        if np.isin(touched, self._barring).any() or 2 * len(put_ids) > len(searcher):
            self.recompute(searcher, members)
            return
        shows = members.role_of(put_ids) == EXEMPLAR
        is_asked = np.isin(self.closest_rows, touched)
        if not shows.all():
            bars, _ = self._closest_of(put_ids[~shows], put_embeddings[~shows], None)
            is_asked |= within(bars, self.closest)
        ids, rows = put_ids[shows], put_embeddings[shows]
        values, found = self._closest_of(ids, rows, members.class_of(ids))
        is_tied = (values == self.closest) & (found >= 0) & (found < self.closest_rows)
        is_closer = (values < self.closest) | is_tied
        if members.num_barring:  # the new row's class may be ruled out
            is_asked |= is_closer
        else:
            self.closest[is_closer] = values[is_closer]
            self.closest_rows[is_closer] = found[is_closer]
        self._ask(is_asked, searcher, members)
        self._barring = members.barring()

    def pass_on(
        self,
        heir: Calibrator,
        came_from: np.ndarray,
        searcher: Searcher,
        members: Members,
    ) -> None:
        """Give what is known to a calibrator of partly the same strangers; it asks about the rest.

        Args:
            heir: Of the same distance.
            came_from: For each stranger of the heir its position here, (n of the heir,) int64; -1
                for one that is new, or whose own class is another by now.
            searcher: What this one was brought up to date with.
            members: The same.
        """
        is_known = came_from >= 0
        heir.closest[is_known] = self.closest[came_from[is_known]]
        heir.closest_rows[is_known] = self.closest_rows[came_from[is_known]]
        heir._ask(~is_known, searcher, members)
        heir._barring = self._barring

    def threshold(
        self,
        target_fpir: float,
        *,
        gallery_size: int,
        fingerprint: str,
        confidence: float | None = None,
    ) -> Threshold:
        """Return the threshold for a rate, from the strangers that count.

        Args:
            target_fpir: The accepted rate.
            gallery_size: How many classes are enrolled.
            fingerprint: Of the encoder.
            confidence: With which probability over the draw of the strangers the rate is kept; None
                keeps it on average.

        Raises:
            NotEnoughTrials: They are too few for that rate; the message says how many to add.
            InvalidInput: The rate is not above 0 and below 1.
        """
        strangers = self.distances
        value = min(strangers.limit(target_fpir, confidence), self.distance.upper)
        is_named = within(self.closest[self.is_kept], value)
        return Threshold(
            value=value,
            distance=self.distance.settings,
            target_fpir=target_fpir,
            num_trials=len(strangers),
            basis=self.basis,
            gallery_size=gallery_size,
            fingerprint=fingerprint,
            num_named=int(is_named.sum()),
            num_classes=strangers.num_classes,
            measured_fpir=strangers.fpir(value),
            level=strangers.level(target_fpir, confidence),
            interval=clustered_interval(is_named, self.groups[self.is_kept], is_per_class=True),
            confidence=confidence,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return what `adopt` needs to go on from here, as arrays."""
        return {
            "closest": self.closest,
            "closest_rows": self.closest_rows,
            "barring": self._barring,
            "digest": self._digest(),
        }

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Go on from the `state` of a calibrator of the same strangers; False if it does not fit.

        What happened to the rows since is for `follow`.
        """
        names = ("closest", "closest_rows", "barring", "digest")
        if not all(name in arrays for name in names):
            return False
        closest, rows, barring, digest = (np.array(arrays[name]) for name in names)
        fits = closest.shape == rows.shape == (len(self),) and barring.ndim == 1
        if not fits or not np.array_equal(digest, self._digest()):
            return False
        self.closest, self.closest_rows = closest.astype(np.float64), rows.astype(np.int64)
        self._barring, self._distances = barring.astype(np.int64), None
        return True

    def _digest(self) -> np.ndarray:
        """Tell these strangers under this distance from others, (16,) uint8."""
        digest = blake2b(repr(sorted(self.distance.settings.items())).encode(), digest_size=16)
        for array in (self.embeddings, self.own_class):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return np.frombuffer(digest.digest(), np.uint8)

    def _ask(self, is_asked: np.ndarray, searcher: Searcher, members: Members) -> None:
        found = closest_classes(
            searcher, members, self.embeddings[is_asked], except_class=self.own_class[is_asked]
        )
        self.closest[is_asked] = found.distances[:, 0]
        self.closest_rows[is_asked] = found.rows[:, 0]
        self._distances = None

    def _closest_of(
        self, ids: np.ndarray, rows: np.ndarray, class_ids: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distance and id of the closest of the rows, where it is no farther than `closest`.

        Infinite and -1 elsewhere. Of rows at the same distance, the one with the smallest id. Rows
        of a stranger's own class do not count, if classes are given.
        """
        values, found = np.full(len(self), np.inf), np.full(len(self), -1, np.int64)
        for probe, row, exact in self._near(rows, class_ids):
            order = np.lexsort((ids[row], exact, probe))
            first = order[np.diff(probe[order], prepend=-1) > 0]
            at, value, row_id = probe[first], exact[first], ids[row[first]]
            is_better = (value < values[at]) | ((value == values[at]) & (row_id < found[at]))
            values[at[is_better]] = value[is_better]
            found[at[is_better]] = row_id[is_better]
        return values, found

    def _near(
        self, rows: np.ndarray, class_ids: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield positions (stranger, row) and exact distances of the pairs that may be closest."""
        for low in range(0, len(self), _PROBES_AT_ONCE):
            probes = self.embeddings[low : low + _PROBES_AT_ONCE].astype(np.float64)
            own = self.own_class[low : low + _PROBES_AT_ONCE, None]
            known = self.closest[low : low + _PROBES_AT_ONCE]
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
                about = self.distance.pairwise(probes, part)
                if class_ids is not None:
                    about[class_ids[None, start : start + _ROWS_AT_ONCE] == own] = np.inf
                reach = np.minimum(about.min(1), known) * (1 + _SLACK) + _LEAST_SLACK
                probe, row = np.nonzero((about <= reach[:, None]) & np.isfinite(about))
                yield low + probe, start + row, self._exact(probes, part, probe, row)

    def _exact(
        self, probes: np.ndarray, rows: np.ndarray, probe: np.ndarray, row: np.ndarray
    ) -> np.ndarray:
        result = np.empty(len(probe))
        step = max(1, _EXACT_ELEMENTS // max(1, probes.shape[1]))
        for start in range(0, len(probe), step):
            part = slice(start, start + step)
            result[part] = self.distance.paired(probes[probe[part]], rows[row[part]])
        return result
