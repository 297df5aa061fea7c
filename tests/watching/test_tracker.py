"""Boxes become tracks: one each, for as long as they go on, whatever else moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.detector import overlap
from ilk.images import Box
from ilk.watching.tracker import Step, Track, Unlikeness, advance

boxes = st.tuples(st.floats(0, 500), st.floats(0, 300), st.floats(1, 120), st.floats(1, 120)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
frames = st.lists(st.lists(boxes, max_size=5), max_size=8)


def run(
    scenes: list[list[Box]], fps: float = 10.0, most_lost_seconds: float = 1.0
) -> tuple[list[Step], list[Track]]:
    """Go through all frames; return the steps, and all tracks at the end."""
    steps: list[Step] = []
    tracks: tuple[Track, ...] = ()
    next_id = 1
    ended: list[Track] = []
    for number, scene in enumerate(scenes):
        step = advance(
            tracks, scene, number / fps, next_id=next_id, most_lost_seconds=most_lost_seconds
        )
        steps.append(step)
        tracks = step.tracks
        next_id = max([next_id, *(i + 1 for i in step.ids)])
        ended += step.ended
    return steps, [*ended, *tracks]


def at(x: float, y: float = 100.0, side: float = 60.0) -> Box:
    return x, y, x + side, y + side


@given(frames)
@settings(deadline=None, max_examples=150)
def test_every_box_is_in_one_track_and_none_is_lost(scenes: list[list[Box]]) -> None:
    steps, tracks = run(scenes)
    for step, scene in zip(steps, scenes, strict=True):
        assert len(step.ids) == len(scene) == len(set(step.ids))
        assert {t.id for t in step.tracks} >= set(step.ids)
        assert not {t.id for t in step.tracks} & {t.id for t in step.ended}
    assert sum(track.num_frames for track in tracks) == sum(map(len, scenes))
    assert len({track.id for track in tracks}) == len(tracks)
    assert sorted(t.id for t in tracks) == list(range(1, len(tracks) + 1))


@given(frames, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_the_order_of_boxes_does_not_count(scenes: list[list[Box]], random: object) -> None:
    """Tracks that began in an earlier frame continue with the same boxes in any order."""
    scenes = [list(dict.fromkeys(scene)) for scene in scenes]
    tracks = run(scenes[:-1])[0][-1].tracks if len(scenes) > 1 else ()
    last = scenes[-1] if scenes else []
    there = advance(tracks, last, 5.0, next_id=99)
    back = advance(tracks, last[::-1], 5.0, next_id=99)
    old = {box: i for box, i in zip(last, there.ids, strict=True) if i < 99}
    assert old == {box: i for box, i in zip(last[::-1], back.ids, strict=True) if i < 99}


@given(boxes, boxes)
@settings(deadline=None)
def test_overlap_is_a_share_and_the_same_both_ways(first: Box, second: Box) -> None:
    assert 0 <= overlap(first, second) <= 1 + 1e-9
    assert overlap(first, second) == pytest.approx(overlap(second, first))
    assert overlap(first, first) == pytest.approx(1)


def test_two_who_cross_keep_their_tracks() -> None:
    """They meet in the middle, pass each other in front of one another, and go on."""
    way = np.linspace(0, 400, 41)
    scenes = [[at(x, 100), at(400 - x, 112)] for x in way]
    steps, tracks = run(scenes)
    assert {step.ids for step in steps} == {(1, 2)}
    assert len(tracks) == 2


def test_two_who_cross_are_told_apart_though_one_is_hidden() -> None:
    way = np.linspace(0, 400, 41)
    scenes = [[at(x)] if abs(2 * x - 400) < 55 else [at(x), at(400 - x, 104)] for x in way]
    steps, tracks = run(scenes)
    assert len(tracks) == 2
    assert steps[0].ids == steps[-1].ids == (1, 2)


@pytest.mark.parametrize(("hidden", "count"), [(7, 1), (14, 2)])
def test_a_gap_is_bridged_for_a_second(hidden: int, count: int) -> None:
    scenes = [[] if 8 <= i < 8 + hidden else [at(10.0 * i)] for i in range(30)]
    _, tracks = run(scenes)
    assert len(tracks) == count
    assert sum(track.num_frames for track in tracks) == 30 - hidden


def test_somebody_else_at_the_same_place_later_is_another_track() -> None:
    _, tracks = run([[at(0)]] * 5 + [[]] * 15 + [[at(0)]] * 5)
    assert [(t.first_seconds, t.last_seconds, t.num_frames) for t in tracks] == [
        (0.0, 0.4, 5),
        (2.0, 2.4, 5),
    ]


def test_who_enters_and_leaves_has_a_track_for_that_time() -> None:
    scenes = [
        [*([at(20.0 * i)] if i < 10 else []), *([at(300, 10)] if 5 <= i < 15 else [])]
        for i in range(30)
    ]
    _, tracks = run(scenes)
    assert {(t.id, t.num_frames) for t in tracks} == {(1, 10), (2, 10)}


def test_fast_ones_are_followed_though_their_boxes_do_not_overlap() -> None:
    _, tracks = run([[at(70.0 * i)] for i in range(12)])
    assert len(tracks) == 1
    _, tracks = run([[at(0)], [at(400)]])
    assert len(tracks) == 2


def test_another_size_is_somebody_else() -> None:
    """A face in front, beside where one in the back was: near, and much too large."""
    _, tracks = run([[at(100, 100, 30)], [at(120, 120, 60)]])
    assert len(tracks) == 2


def test_trembling_boxes_stay_where_they_are_through_a_gap() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        scenes = [[at(100 + float(random.normal(0, 2)))] for _ in range(60)]
        scenes[40:58] = [[]] * 18
        assert len(run(scenes, fps=25)[1]) == 1


def test_frames_may_be_far_apart() -> None:
    """One frame in three seconds: the time between them is no gap."""
    _, tracks = run([[at(4.0 * i)] for i in range(6)], fps=1 / 3)
    assert len(tracks) == 1


def test_who_appears_beside_where_somebody_vanished_is_another() -> None:
    """Near is enough from one frame to the next, and not after a gap."""
    beside = at(55)
    assert len(run([[at(0)]] * 5 + [[beside]] * 5)[1]) == 1
    assert len(run([[at(0)]] * 5 + [[]] + [[beside]] * 5)[1]) == 2


class Onlookers:
    """Who looks at people, and knows each by sight; goes through scenes of who is where."""

    def __init__(self, *, same: float = 0.4, others: float = 1.5) -> None:
        self.same, self.others, self.num_asked = same, others, 0
        self.who_is: dict[int, set[str]] = {}

    def follow(
        self, scenes: list[dict[str, Box]], fps: float = 10.0, *, look: bool = True
    ) -> list[Track]:
        """Return all tracks; `who_is` tells whom each of them followed."""
        tracks: tuple[Track, ...] = ()
        ended: list[Track] = []
        next_id, self.who_is, self.num_asked = 1, {}, 0
        for number, scene in enumerate(scenes):
            step = advance(
                tracks,
                list(scene.values()),
                number / fps,
                next_id=next_id,
                unlikeness=self._of(list(scene)) if look else None,
            )
            for name, i in zip(scene, step.ids, strict=True):
                self.who_is.setdefault(i, set()).add(name)
            tracks, ended = step.tracks, [*ended, *step.ended]
            next_id = max([next_id, *(i + 1 for i in step.ids)])
        return [*ended, *tracks]

    def _of(self, names: list[str]) -> Unlikeness:
        def unlike(ids: Sequence[int], places: Sequence[int]) -> np.ndarray:
            self.num_asked += 1
            return np.array(
                [
                    [self.same if names[at] in self.who_is[i] else self.others for at in places]
                    for i in ids
                ]
            )

        return unlike


def behind_a_pillar(
    ada: Any, bob: Any, first: int = 12, num_hidden: int = 7
) -> list[dict[str, Box]]:
    """Both are out of sight for some frames, 0.7 s of ten a second."""
    hidden = range(first, first + num_hidden)
    return [
        {} if i in hidden else {"Ada": at(a), "Bob": at(b, 108)}
        for i, (a, b) in enumerate(zip(ada, bob, strict=True))
    ]


WALK = np.arange(32) * 40.0
THERE_AND_BACK = np.minimum(WALK, WALK[::-1])
CROSSINGS = {
    "past each other, fast": (WALK, 1240 - WALK),
    "past each other, slow": (WALK / 4, 310 - WALK / 4),
    "they meet and turn back": (THERE_AND_BACK, 1200 - THERE_AND_BACK),
    "one turns back": (WALK / 2, 620 - THERE_AND_BACK / 2),
}


@pytest.mark.parametrize(("ada", "bob"), CROSSINGS.values(), ids=CROSSINGS)
def test_two_who_cross_out_of_sight_are_known_by_their_looks(ada: Any, bob: Any) -> None:
    onlookers = Onlookers()
    tracks = onlookers.follow(behind_a_pillar(ada, bob))
    assert onlookers.who_is == {1: {"Ada"}, 2: {"Bob"}}
    assert [track.num_frames for track in tracks] == [25, 25]
    assert onlookers.num_asked


def test_motion_alone_mistakes_some_of_them() -> None:
    """Else the looks would not be needed."""
    onlookers = Onlookers()
    for name in ("past each other, fast", "they meet and turn back"):
        onlookers.follow(behind_a_pillar(*CROSSINGS[name]), look=False)
        assert onlookers.who_is != {1: {"Ada"}, 2: {"Bob"}}


def test_who_comes_out_first_keeps_the_track() -> None:
    scenes = behind_a_pillar(THERE_AND_BACK, 1200 - THERE_AND_BACK)
    for i in range(19, 22):
        del scenes[i]["Ada"]
    onlookers = Onlookers()
    onlookers.follow(scenes)
    assert onlookers.who_is == {1: {"Ada"}, 2: {"Bob"}}


def test_who_is_hidden_by_another_keeps_the_track() -> None:
    """Bob walks behind Ada, who stops; a box is hers all the time."""
    ada = [*np.linspace(0, 200, 11), *[200.0] * 20]
    bob = [*np.linspace(400, 220, 11), *np.linspace(215, 180, 7), *np.linspace(150, -100, 13)]
    scenes: list[dict[str, Box]] = [
        {"Ada": at(a)} if 11 <= i < 18 else {"Ada": at(a), "Bob": at(b, 104)}
        for i, (a, b) in enumerate(zip(ada, bob, strict=True))
    ]
    onlookers = Onlookers()
    assert [t.num_frames for t in onlookers.follow(scenes)] == [31, 24]
    assert onlookers.who_is == {1: {"Ada"}, 2: {"Bob"}}


def test_somebody_else_who_comes_out_is_another_track() -> None:
    scenes = behind_a_pillar(WALK, 1240 - WALK)
    scenes = [
        {("Eve" if name == "Bob" and i > 15 else name): box for name, box in scene.items()}
        for i, scene in enumerate(scenes)
    ]
    onlookers = Onlookers()
    onlookers.follow(scenes)
    assert onlookers.who_is == {1: {"Ada"}, 2: {"Bob"}, 3: {"Eve"}}


def test_looks_that_say_nothing_change_nothing() -> None:
    for same, others in ((0.5, 0.5), (np.nan, np.nan)):
        for ada, bob in CROSSINGS.values():
            scenes = behind_a_pillar(ada, bob)
            seeing, blind = Onlookers(same=same, others=others), Onlookers()
            assert seeing.follow(scenes) == blind.follow(scenes, look=False)
            assert seeing.who_is == blind.who_is


def test_looks_are_not_asked_for_where_motion_tells() -> None:
    onlookers = Onlookers()
    way = np.linspace(0, 400, 41)
    onlookers.follow([{"Ada": at(x), "Bob": at(x, 300)} for x in way])
    onlookers.follow([{} if 8 <= i < 13 else {"Ada": at(x / 4)} for i, x in enumerate(way)])
    assert onlookers.num_asked == 0


@given(frames, st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_whatever_looks_say_every_box_is_in_one_track(scenes: list[list[Box]], seed: int) -> None:
    random = np.random.default_rng(seed)

    def unlike(ids: Sequence[int], places: Sequence[int]) -> np.ndarray:
        found = random.uniform(0, 2, (len(ids), len(places)))
        return np.where(random.random(found.shape) < 0.2, np.nan, found)

    tracks: tuple[Track, ...] = ()
    next_id = 1
    for number, scene in enumerate(scenes):
        step = advance(tracks, scene, number / 10, next_id=next_id, unlikeness=unlike)
        assert len(step.ids) == len(scene) == len(set(step.ids))
        assert {t.id for t in step.tracks} >= set(step.ids)
        tracks, next_id = step.tracks, max([next_id, *(i + 1 for i in step.ids)])
