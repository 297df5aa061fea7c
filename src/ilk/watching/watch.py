"""Watch: frame by frame in, events about tracks out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, final

import numpy as np

from ilk.detector import Region
from ilk.errors import InvalidInput, NotCalibrated
from ilk.preprocess import sides_of
from ilk.questions import Questions
from ilk.watching.cuts import Cuts
from ilk.watching.decision import Rule, TrackDecision, decide
from ilk.watching.events import Event, now
from ilk.watching.frames import Frame
from ilk.watching.picturing import scene_of
from ilk.watching.shots import Shot, goodness, with_shot
from ilk.watching.tracker import Track, advance

__all__ = ["Watch", "WatchSettings"]

_NUM_LOOKS = 3
"""How many of the best frames of a track say what it looks like."""


@final
@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """How tracks are followed and decided."""

    rule: Rule = "best"
    """What stands for a track."""
    num_shots: int = 5
    """How many of the best frames are kept of a track."""
    part_seconds: float = 0.2
    """Of frames that follow each other within this time, one is kept."""
    least_frames: int = 2
    """Tracks seen in fewer frames are left out: detectors err for a moment."""
    decide_after: int | None = None
    """Decide after so many frames that can be compared; None is at the end of the track."""
    most_lost_seconds: float = 1.0
    """How long something may be out of sight and be the same track."""
    choice: Literal["all", "largest"] = "all"
    """Follow all that is found, or only the largest of each frame."""
    keep_unknown: bool = False
    """Keep the best frame of unknown tracks in the gallery, for a person to name."""
    with_scenes: bool = False
    """Keep the whole picture of the best frame, to draw on it."""

    def __post_init__(self) -> None:
        """Refuse what is out of its range.

        Raises:
            InvalidInput: A number is too small.
        """
        if self.choice not in ("all", "largest"):
            raise InvalidInput(f"choice must be all or largest, got {self.choice!r}")
        for name in ("num_shots", "least_frames", "decide_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} must be at least 1, got {value}")
        for name in ("part_seconds", "most_lost_seconds"):
            value = getattr(self, name)
            if not value >= 0:
                raise InvalidInput(f"{name} must be at least 0, got {value}")


@dataclass
class _Following:
    """What is known of an open track besides where it is."""

    shots: tuple[Shot, ...] = ()
    looks: tuple[np.ndarray, ...] = ()
    """What it looks like, from its best frames; kept after the decision."""
    num_assessable: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    decision: TrackDecision | None = None
    unknown_id: int | None = None


@final
class Watch:
    """Follows what a recognizer's detector finds, and decides once per track.

    Of each track a few small pictures are kept in memory, and nothing of what ended.

    Attributes:
        target_fpir: The share of strangers' tracks that may get a name, as it was at the beginning.
        num_looked: Frames that were looked at.
        num_left_out: Tracks of too few frames.
        decisions: How many tracks were decided how.
        most_false_names: To be expected at most, were all that was compared strangers.
    """

    def __init__(
        self, questions: Questions, source: str, settings: WatchSettings | None = None
    ) -> None:
        """Begin.

        Args:
            questions: A recognizer.
            source: What events call the source.
            settings: How.

        Raises:
            NotCalibrated: The gallery has no threshold.
            InvalidInput: The detector takes whole pictures, so there is nothing to follow.
        """
        if questions.detector.is_whole:
            raise InvalidInput(
                "expected a detector that finds what is to be followed, such as faces, got "
                f"{questions.detector.settings['name']}, which makes one track of a whole video; "
                "name one with --detector"
            )
        self.target_fpir = questions.gallery.threshold.target_fpir
        self._questions, self._source = questions, source
        self._settings = settings or WatchSettings()
        self._enough_pixels = float(min(sides_of(questions.encoder.preprocess.size_pixels)))
        self._cuts = Cuts()
        self._tracks: tuple[Track, ...] = ()
        self._following: dict[int, _Following] = {}
        self._next_id = 1
        self.num_looked = 0
        self.num_left_out = 0
        self.decisions: Counter[str] = Counter()
        self.most_false_names = 0.0

    @property
    def num_open(self) -> int:
        """How many tracks go on."""
        return len(self._tracks)

    def look(self, frame: Frame) -> list[Event]:
        """Take in the next frame; return what can be told now."""
        events = self.finish() if self._cuts.is_cut(frame.image) else []
        detector = self._questions.detector
        regions = detector.detect(frame.image)
        if self._settings.choice == "largest" and regions:
            regions = (max(regions, key=lambda region: region.area),)
        step = advance(
            self._tracks,
            [region.box for region in regions],
            frame.seconds,
            next_id=self._next_id,
            most_lost_seconds=self._settings.most_lost_seconds,
            unlikeness=partial(self._unlikeness, frame, regions),
        )
        for region, track_id in zip(regions, step.ids, strict=True):
            self._take_in(self._following.setdefault(track_id, _Following()), frame, region)
        self._next_id = max((self._next_id, *(i + 1 for i in step.ids)))
        self._tracks = step.tracks
        self.num_looked += 1
        events += [event for track in step.ended for event in self._ended(track)]
        return events + [event for track in step.tracks for event in self._decided(track)]

    def finish(self) -> list[Event]:
        """End all tracks that are open; return what there is to tell about them."""
        tracks, self._tracks = self._tracks, ()
        return [event for track in tracks for event in self._ended(track)]

    def _take_in(self, following: _Following, frame: Frame, region: Region) -> None:
        if region.code:
            following.refusals[region.code] += 1
            following.reasons[region.code] = region.reason
            return
        following.num_assessable += 1
        if following.decision is not None:
            return
        good = goodness(region, self._enough_pixels)

        def make() -> Shot:
            best = max((shot.goodness for shot in following.shots), default=-1.0)
            is_wanted = self._settings.with_scenes and good > best
            return Shot(
                number=frame.number,
                seconds=frame.seconds,
                region=region,
                goodness=good,
                crop=np.array(self._questions.detector.crop(frame.image, region)),
                scene=scene_of(frame.image) if is_wanted else None,
            )

        shots = with_shot(
            following.shots,
            frame.seconds,
            good,
            make,
            most=self._settings.num_shots,
            part_seconds=self._settings.part_seconds,
        )
        if shots is not following.shots:
            best = max(shots, key=lambda shot: shot.goodness)
            shots = tuple(
                s if s is best or s.scene is None else replace(s, scene=None) for s in shots
            )
            best_first = sorted(shots, key=lambda shot: -shot.goodness)
            following.looks = tuple(shot.crop for shot in best_first[:_NUM_LOOKS])
        following.shots = shots

    def _unlikeness(
        self, frame: Frame, regions: Sequence[Region], ids: Sequence[int], places: Sequence[int]
    ) -> np.ndarray:
        """Return how far tracks and regions look apart, as a share of the gallery's threshold."""
        unlike = np.full((len(ids), len(places)), np.nan)
        looks = [(n, look) for n, i in enumerate(ids) for look in self._following[i].looks]
        seen = [n for n, at in enumerate(places) if regions[at].is_assessable]
        try:
            limit = self._questions.gallery.threshold.value
        except NotCalibrated:
            return unlike
        if not looks or not seen or not 0 < limit < math.inf:
            return unlike
        crops = [self._questions.detector.crop(frame.image, regions[places[n]]) for n in seen]
        found = self._questions.crop_distances([look for _, look in looks], crops) / limit
        for (row, _), distances in zip(looks, found, strict=True):
            unlike[row, seen] = np.fmin(unlike[row, seen], distances)
        return unlike

    def _decided(self, track: Track) -> list[Event]:
        """Decide about an open track, if it is time to."""
        after, following = self._settings.decide_after, self._following[track.id]
        if after is None or following.decision is not None:
            return []
        if following.num_assessable < after or track.num_frames < self._settings.least_frames:
            return []
        self._decide(track, following)
        return [self._event("decided", track, following)]

    def _ended(self, track: Track) -> list[Event]:
        following = self._following.pop(track.id)
        if track.num_frames < self._settings.least_frames:
            self.num_left_out += 1
            return []
        if following.decision is None:
            self._decide(track, following)
        return [self._event("ended", track, following)]

    def _decide(self, track: Track, following: _Following) -> None:
        code = following.refusals.most_common(1)[0][0] if following.refusals else ""
        name = f"{self._source} track {track.id}"
        made = decide(
            self._questions,
            following.shots,
            rule=self._settings.rule,
            name=name,
            code=code,
            reason=following.reasons.get(code, ""),
        )
        following.decision, following.shots = made, ()
        self.decisions[made.answer.decision] += 1
        if made.answer.threshold is not None:
            self.most_false_names += made.answer.threshold.target_fpir
        if self._settings.keep_unknown and made.best is not None:
            (following.unknown_id,) = self._questions.keep_unknown([made.best.crop], [made.answer])

    def _event(self, kind: str, track: Track, following: _Following) -> Event:
        if following.decision is None:
            raise ValueError(f"track {track.id} was not decided")
        return Event(
            kind="decided" if kind == "decided" else "ended",
            source=self._source,
            track=track,
            num_assessable=following.num_assessable,
            decision=following.decision,
            unknown_id=following.unknown_id,
            time=now(),
        )
