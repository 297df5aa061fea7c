"""From boxes in one frame after the other to tracks: what moves on as one.

Boxes are followed by where they were and how they moved. What they show is not looked at, so two
who change places behind a pillar may change tracks, too.

Shapes: m boxes in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from ilk.detector import area_of, overlap
from ilk.images import Box

__all__ = ["Step", "Track", "advance"]

_LEAST_OVERLAP = 0.3
"""Of a box with where it was expected, to be the same for sure."""
_LEAST_NEARNESS = 0.15
"""The same, of boxes made twice as wide and high: for what moves fast."""
_MOST_GROWTH = 2.5
"""How much larger or smaller in area a fast one may have become."""
_LEARNING_SECONDS = 0.2
"""How long a change of speed takes to be believed: boxes tremble."""
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
) -> Step:
    """Continue tracks with the boxes of one frame; a box without a track begins one.

    Pairs are taken by overlap with where a track is expected, the largest first; then, of what is
    left and was seen in the frame before, by nearness. The result depends on nothing but the
    arguments.

    Args:
        tracks: As the last step left them.
        boxes: Of the frame, (m,).
        seconds: Of the frame, not before those of the last one.
        next_id: Of the first track that begins now.
        most_lost_seconds: How long a track may be unseen.

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
