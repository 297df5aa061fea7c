"""From boxes in one frame after the other to tracks: what moves on as one.

Boxes are followed by where they were and how they moved. Where that cannot tell (two overlap, or
somebody was out of sight and may be in several places), what they show decides.

Shapes: m boxes in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from ilk.detector import area_of, overlap
from ilk.images import Box

__all__ = ["Step", "Track", "Unlikeness", "advance"]

Unlikeness = Callable[[Sequence[int], Sequence[int]], np.ndarray]
"""How unlike k tracks, by id, and n boxes, by their place in the frame, look: (k, n), where up to 1
may be the same and NaN says nothing."""

_LEAST_OVERLAP = 0.3
"""Of a box with where it was expected, to be the same for sure."""
_LEAST_NEARNESS = 0.15
"""The same, of boxes made twice as wide and high: for what moves fast."""
_MOST_GROWTH = 2.5
"""How much larger or smaller in area a fast one may have become."""
_LEARNING_SECONDS = 0.2
"""How long a change of speed takes to be believed: boxes tremble."""
_LEAST_LEAD = 0.2
"""How much more alike a track and a box must be than either is to others, to be the same."""
_MOST_HASTE = 1.5
"""How many times as fast as before somebody may have gone on unseen."""
_COASTING_SECONDS = 1.0
"""How long something unseen is expected to go on as it did."""


@final
@dataclass(frozen=True, kw_only=True)
class Track:
    """What was followed through some frames."""

    id: int
    """1 is the first of a source."""
    box: Box
    """Where it was last seen."""
    velocity: tuple[float, float] = (0.0, 0.0)
    """Of its middle, in pixels per second."""
    first_seconds: float
    last_seconds: float
    """When it was last seen."""
    num_frames: int = 1
    """In how many frames it was seen."""
    num_missed: int = 0
    """In how many it was not, since then."""

    def expected(self, seconds: float) -> Box:
        """Return where it should be at a time, if it goes on and slows down unseen."""
        gap = max(0.0, seconds - self.last_seconds)
        way = _COASTING_SECONDS * -math.expm1(-gap / _COASTING_SECONDS)
        dx, dy = (speed * way for speed in self.velocity)
        x1, y1, x2, y2 = self.box
        return x1 + dx, y1 + dy, x2 + dx, y2 + dy

    def seen(self, box: Box, seconds: float) -> Track:
        """Return it after one more frame."""
        gap = max(seconds - self.last_seconds, 1e-6)
        share = -math.expm1(-gap / _LEARNING_SECONDS)
        moved = [b - a for a, b in zip(_middle(self.box), _middle(box), strict=True)]
        velocity = tuple(
            v + share * (way / gap - v) for v, way in zip(self.velocity, moved, strict=True)
        )
        return replace(
            self,
            box=box,
            velocity=(velocity[0], velocity[1]),
            last_seconds=seconds,
            num_frames=self.num_frames + 1,
            num_missed=0,
        )


@final
@dataclass(frozen=True)
class Step:
    """What one frame makes of the tracks."""

    tracks: tuple[Track, ...]
    """Those that go on, by id."""
    ids: tuple[int, ...]
    """The track of each box, (m,)."""
    ended: tuple[Track, ...]
    """Those that were not seen for too long, by id."""


def advance(
    tracks: Sequence[Track],
    boxes: Sequence[Box],
    seconds: float,
    *,
    next_id: int,
    most_lost_seconds: float = 1.0,
    unlikeness: Unlikeness | None = None,
) -> Step:
    """Continue tracks with the boxes of one frame; a box without a track begins one.

    Where motion cannot tell, pairs are taken by their looks if these are clear. All others are
    taken by overlap with where a track is expected, the largest first; then, of what is left and
    was seen in the frame before, by nearness. The result depends on nothing but the arguments.

    Args:
        tracks: As the last step left them.
        boxes: Of the frame, (m,).
        seconds: Of the frame, not before those of the last one.
        next_id: Of the first track that begins now.
        most_lost_seconds: How long a track may be unseen.
        unlikeness: Called at most once, and only where motion cannot tell. Nothing is by motion
            alone.

    Example:
        >>> step = advance([], [(0, 0, 10, 10), (50, 0, 60, 10)], 0.0, next_id=1)
        >>> step.ids
        (1, 2)
        >>> advance(step.tracks, [(49, 0, 59, 10), (1, 0, 11, 10)], 0.04, next_id=3).ids
        (2, 1)
    """
    ids = [0] * len(boxes)
    free = {track.id: track for track in tracks}
    expected = {track.id: track.expected(seconds) for track in tracks}
    if unlikeness is not None:
        for i, at in _by_looks(tracks, boxes, seconds, unlikeness):
            ids[at] = i
            del free[i]
    for measure, least in ((overlap, _LEAST_OVERLAP), (_nearness, _LEAST_NEARNESS)):
        pairs = sorted(
            (-measure(expected[i], box), i, at)
            for i, track in free.items()
            if measure is overlap or not track.num_missed
            for at, box in enumerate(boxes)
            if not ids[at]
        )
        for negative, i, at in pairs:
            if -negative >= least and i in free and not ids[at]:
                ids[at] = i
                del free[i]
    by_id = {track.id: track for track in tracks}
    goes_on = {
        i: replace(track, num_missed=track.num_missed + 1)
        for i, track in free.items()
        if seconds - track.last_seconds <= most_lost_seconds
    }
    for at, box in enumerate(boxes):
        if ids[at]:
            goes_on[ids[at]] = by_id[ids[at]].seen(box, seconds)
        else:
            ids[at] = next_id
            goes_on[next_id] = Track(
                id=next_id, box=box, first_seconds=seconds, last_seconds=seconds
            )
            next_id += 1
    ended = tuple(free[i] for i in sorted(free) if i not in goes_on)
    return Step(tuple(goes_on[i] for i in sorted(goes_on)), tuple(ids), ended)


def _by_looks(
    tracks: Sequence[Track], boxes: Sequence[Box], seconds: float, unlikeness: Unlikeness
) -> Iterable[tuple[int, int]]:
    """Return the pairs of track and box that motion cannot tell and looks can."""
    by_motion: dict[tuple[int, int], bool] = {}
    for track in tracks:
        expected = track.expected(seconds)
        for at, box in enumerate(boxes):
            is_expected = overlap(expected, box) >= _LEAST_OVERLAP
            if is_expected or _is_within_reach(track, box, seconds):
                by_motion[track.id, at] = is_expected
    unclear = _unclear(by_motion, {track.id for track in tracks if track.num_missed})
    if not unclear:
        return []
    ids, places = sorted({i for i, _ in unclear}), sorted({at for _, at in unclear})
    found = unlikeness(ids, places)
    measured = {
        pair: float(found[ids.index(pair[0]), places.index(pair[1])])
        for pair in by_motion
        if pair[0] in ids and pair[1] in places
    }
    return _clear_pairs({pair: v for pair, v in measured.items() if v == v}, by_motion)


def _unclear(by_motion: dict[tuple[int, int], bool], missed: set[int]) -> set[tuple[int, int]]:
    """Return the pairs that motion cannot tell.

    Who was seen in the frame before and is where expected is clear, unless another one was
    expected there, too. Who was not seen may be anywhere within reach, where nobody is for sure.
    """
    expected = {pair for pair, is_expected in by_motion.items() if is_expected}
    sure = {
        (i, at)
        for i, at in expected
        if i not in missed and sum(place == at for _, place in expected) == 1
    }
    taken = {at for _, at in sure}
    settled = {i for i, _ in sure}
    left = {(i, at) for i, at in by_motion if i not in settled and at not in taken}
    return {
        (i, at)
        for i, at in left
        if sum(place == at for _, place in left) > 1
        or (i in missed and ((i, at) not in expected or sum(one == i for one, _ in left) > 1))
    }


def _clear_pairs(
    measured: dict[tuple[int, int], float], by_motion: dict[tuple[int, int], bool]
) -> Iterable[tuple[int, int]]:
    """Yield the pairs that are alike, the most alike first, while no other is nearly as much so."""
    left = dict(measured)
    while left:
        i, at = min(left, key=lambda pair: (left[pair], pair))
        value = left[i, at]
        if value > 1 and not by_motion[i, at]:
            del left[i, at]
            continue
        tied = [
            (j, b) for (j, b), v in left.items() if (j == i or b == at) and v - value < _LEAST_LEAD
        ]
        if len(tied) == 1:
            yield i, at
        tracks, places = {j for j, _ in tied}, {b for _, b in tied}
        left = {(j, b): v for (j, b), v in left.items() if j not in tracks and b not in places}


def _is_within_reach(track: Track, box: Box, seconds: float) -> bool:
    """Return whether who was not seen for a while may have come so far, of about that size."""
    small, large = sorted((area_of(track.box), area_of(box)))
    if not track.num_missed or large > _MOST_GROWTH * small:
        return False
    gap = max(0.0, seconds - track.last_seconds)
    side = max(track.box[2] - track.box[0], track.box[3] - track.box[1])
    (x, y), (new_x, new_y) = _middle(track.box), _middle(box)
    far = side * (1 + gap) + _MOST_HASTE * math.hypot(*track.velocity) * gap
    return math.hypot(new_x - x, new_y - y) <= far


def _nearness(first: Box, second: Box) -> float:
    """Return the overlap of twice the boxes, 0 if one has become too large for the other."""
    small, large = sorted((area_of(first), area_of(second)))
    if large > _MOST_GROWTH * small:
        return 0.0
    return overlap(_doubled(first), _doubled(second))


def _doubled(box: Box) -> Box:
    dx, dy = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
