"""Frames in, events out: one decision per track, chosen without asking the gallery."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.detector import Quality, Region
from ilk.errors import InvalidInput, NotCalibrated
from ilk.recognizer import Recognizer
from ilk.results import Identification
from ilk.thresholds import Threshold
from ilk.watching import Event, EventLog, Frame, Watch, WatchSettings, decide
from ilk.watching.events import clock
from ilk.watching.shots import Shot, goodness, with_shot

FPS = 10.0


def go(watching: Watch, images: Iterable[np.ndarray], fps: float = FPS) -> list[Event]:
    """Look at all, and finish."""
    events: list[Event] = []
    for number, image in enumerate(images):
        events += watching.look(Frame(number, number / fps, image))
    return events + watching.finish()


def walk(make_stage: Any, people: Mapping[int, Sequence[tuple[float, float]]]) -> list[np.ndarray]:
    """Draw everybody on a way of their own, all over the same frames."""
    count = len(next(iter(people.values())))
    return [make_stage({who: way[i] for who, way in people.items()}, i) for i in range(count)]


def line(y: float, first: float, last: float, count: int = 30) -> list[tuple[float, float]]:
    return [(float(x), y) for x in np.linspace(first, last, count)]


def test_who_passes_is_told_once(recognizer: Recognizer, make_stage: Any) -> None:
    frames = walk(make_stage, {1: line(10, 0, 120), 200: line(100, 280, 170)})
    frames += [make_stage({}) for _ in range(15)]
    frames += walk(make_stage, {2: line(60, 200, 40)})
    watching = Watch(recognizer, "door.mp4")
    events = go(watching, frames)
    told = [(e.track.id, e.decision.answer.decision, e.decision.answer.label) for e in events]
    assert told == [
        (1, "identified", "person 1"),
        (2, "unknown", None),
        (3, "identified", "person 2"),
    ]
    assert [(e.track.first_seconds, e.track.last_seconds) for e in events] == [
        (0.0, 2.9),
        (0.0, 2.9),
        (4.5, 7.4),
    ]
    assert {e.track.num_frames for e in events} == {e.num_assessable for e in events} == {30}
    assert watching.decisions == {"identified": 2, "unknown": 1}
    assert watching.most_false_names == pytest.approx(0.15)
    assert watching.num_open == 0
    assert not watching.finish()


@pytest.mark.parametrize("decide_after", [None, 5])
def test_two_who_meet_out_of_sight_are_two_tracks_with_a_decision_each(
    recognizer: Recognizer, make_stage: Any, decide_after: int | None
) -> None:
    """They turn back, or pass each other so fast that where they come out says little."""
    way = np.arange(20) * 8.0
    back = np.minimum(way, way[::-1])
    for mine, yours in ((back, 280 - back), (way * 1.5, 280 - way * 1.5)):
        frames = walk(
            make_stage,
            {1: [(x, 60.0) for x in mine], 200: [(x, 64.0) for x in yours]},
        )
        frames[7:14] = [make_stage({})] * 7
        watching = Watch(recognizer, "door", WatchSettings(decide_after=decide_after))
        events = [event for event in go(watching, frames) if event.kind == "ended"]
        told = [(e.track.id, e.decision.answer.label, e.track.num_frames) for e in events]
        assert told == [(1, "person 1", 13), (2, None, 13)]
        assert watching.decisions == {"identified": 1, "unknown": 1}


def test_distances_of_crops_are_those_of_the_gallery(
    recognizer: Recognizer, make_stage: Any
) -> None:
    first, second, other = (make_stage({who: (0, 0)}, v)[:32, :32] for who, v in
                            ((1, 0), (1, 1), (2, 0)))  # fmt: skip
    found = recognizer.crop_distances([first, np.zeros((4, 4, 3), np.uint8)], [second, other])
    assert found.shape == (2, 2)
    assert found[0, 0] < recognizer.gallery.threshold.value < found[0, 1]
    assert np.isnan(found[1]).all()
    assert recognizer.crop_distances([], [first]).shape == (0, 1)


def test_an_event_holds_the_evidence(recognizer: Recognizer, make_stage: Any) -> None:
    (event,) = go(Watch(recognizer, "a.mp4"), walk(make_stage, {0: line(30, 0, 90)}))
    told = json.loads(json.dumps(event.to_json(), allow_nan=False))
    limit = recognizer.gallery.threshold.value
    assert told["schema"] == "ilk.watch.event"
    assert (told["event"], told["track"], told["source"]) == ("ended", 1, "a.mp4")
    assert (told["decision"], told["label"]) == ("identified", "person 0")
    assert (told["threshold"], told["target_fpir"]) == (limit, 0.05)
    assert 0 <= told["distance"] <= limit
    assert told["p_value"] == pytest.approx(1 / 60)
    assert (told["rule"], told["num_probes"]) == ("best", 1)
    assert told["best_seconds"] == pytest.approx(told["best_frame"] / FPS)
    x = 90 * told["best_frame"] / 29
    assert told["box"] == pytest.approx([x, 30, x + 32, 62], abs=1)
    assert "person 0 (distance 0.0" in event.line()
    assert event.line().startswith("0:00.0 - 0:02.9")


def test_the_best_frame_is_chosen_by_quality_and_not_by_the_gallery(
    recognizer: Recognizer, make_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty frames of one track, and one probe: the one with most contrast."""
    asked: list[np.ndarray] = []
    real = Recognizer.identify_crop_set

    def watched(self: Recognizer, crops: Sequence[np.ndarray], **options: Any) -> Identification:
        asked.extend(crops)
        return real(self, crops, **options)

    monkeypatch.setattr(Recognizer, "identify_crop_set", watched)
    frames = [
        make_stage({1: (2.0 * i, 40)}, i, contrast=1.0 if i == 37 else 0.5) for i in range(60)
    ]
    (event,) = go(Watch(recognizer, "a"), frames)
    assert event.decision.best is not None
    assert event.decision.best.number == 37
    assert len(asked) == 1
    np.testing.assert_array_equal(asked[0], frames[37][40:72, 74:106])


def test_a_decision_that_is_made_early_stays(
    recognizer: Recognizer, make_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    real = Recognizer.identify_crop_set

    def counted(self: Recognizer, crops: Sequence[np.ndarray], **options: Any) -> Identification:
        nonlocal count
        count += 1
        return real(self, crops, **options)

    monkeypatch.setattr(Recognizer, "identify_crop_set", counted)
    settings = WatchSettings(decide_after=8)
    frames = [make_stage({1: (3.0 * i, 40)}, i, contrast=0.5 + i / 60) for i in range(30)]
    watching = Watch(recognizer, "a", settings)
    events = []
    for number, image in enumerate(frames):
        events += watching.look(Frame(number, number / FPS, image))
        assert len(watching._following[1].shots) <= (5 if number < 7 else 0)
    early, ended = events + watching.finish()
    assert (early.kind, early.track.num_frames) == ("decided", 8)
    assert (ended.kind, ended.track.num_frames) == ("ended", 30)
    assert early.decision is ended.decision
    assert count == 1
    assert watching.decisions.total() == 1
    assert "0:00.0 - ..." in early.line()


def test_what_cannot_be_compared_says_why(recognizer: Recognizer, make_stage: Any) -> None:
    frames = [make_stage({0: (3.0 * i, 40)}, i, contrast=0.0) for i in range(20)]
    watching = Watch(recognizer, "a")
    (event,) = go(watching, frames)
    answer = event.decision.answer
    assert (answer.decision, answer.code, answer.reason) == (
        "not_assessable",
        "blurred",
        "it is blurred",
    )
    assert event.to_json()["box"] is None
    assert watching.most_false_names == 0
    assert "not assessable (it is blurred; 20 frames)" in event.line()


def test_a_moment_is_left_out(recognizer: Recognizer, make_stage: Any) -> None:
    frames = [make_stage({0: (40, 40)})] + [make_stage({})] * 20
    watching = Watch(recognizer, "a")
    assert not go(watching, frames)
    assert (watching.num_left_out, watching.decisions.total()) == (1, 0)
    (event,) = go(Watch(recognizer, "a", WatchSettings(least_frames=1)), frames)
    assert event.decision.answer.label == "person 0"


def test_only_the_largest_is_followed_on_request(recognizer: Recognizer) -> None:
    frame = np.full((160, 320, 3), 12, np.uint8)
    rng = np.random.default_rng(0)
    frame[10:40, 10:40] = rng.integers(80, 250, (30, 30, 1))
    frame[60:120, 100:160] = rng.integers(80, 250, (60, 60, 1))
    (event,) = go(Watch(recognizer, "a", WatchSettings(choice="largest")), [frame] * 5)
    assert event.track.box == (100, 60, 160, 120)


def test_a_cut_ends_all_tracks(recognizer: Recognizer, make_stage: Any) -> None:
    """Two interviews in turns, each face where the other was."""
    walls = [np.linspace(0, 50, 320), np.linspace(50, 0, 320)]
    frames = []
    for i in range(20):
        frame = make_stage({i // 10: (150, 60)}, i)
        wall = np.tile(walls[i // 10].astype(np.uint8)[None, :, None], (160, 1, 3))
        frames.append(np.where(frame > 60, frame, wall))
    events = go(Watch(recognizer, "a"), frames)
    assert [e.decision.answer.label for e in events] == ["person 0", "person 1"]


def test_unknown_tracks_are_kept_on_request(recognizer: Recognizer, make_stage: Any) -> None:
    frames = walk(make_stage, {1: line(10, 0, 120), 200: line(100, 280, 170)})
    settings = WatchSettings(keep_unknown=True)
    events = go(Watch(recognizer, "a.mp4", settings), frames)
    (row,) = recognizer.gallery.unknowns()
    assert [e.unknown_id for e in events] == [None, row.id]
    assert row.name == "a.mp4 track 2"
    assert row.has_crop
    again = go(Watch(recognizer, "a.mp4", settings), frames)
    assert len(recognizer.gallery.unknowns()) == 1, "the same pixels are kept once"
    assert again[1].decision.answer.decision == "unknown"


def test_memory_does_not_grow_with_a_track(recognizer: Recognizer, make_stage: Any) -> None:
    """A track of 250 frames whose quality rises keeps as much as one of 60."""
    settings = WatchSettings(num_shots=3, with_scenes=True)
    watching = Watch(recognizer, "a", settings)
    frame = make_stage({0: (40, 40), 1: (200, 40)})

    def look(first: int, last: int) -> int:
        for i in range(first, last):
            noise = np.random.default_rng(i).integers(0, 2 + i // 10, (160, 320, 1))
            seen = np.where(frame > 60, frame - noise, frame).astype(np.uint8)
            assert not watching.look(Frame(i, i / FPS, seen))
        held = [f.shots for f in watching._following.values()]
        assert all(len(shots) <= 3 for shots in held)
        assert all(sum(shot.scene is not None for shot in shots) <= 1 for shots in held)
        return sum(shot.crop.nbytes for shots in held for shot in shots)

    assert look(0, 60) == look(60, 250) == 2 * 3 * 32 * 32 * 3
    assert len(watching.finish()) == 2
    assert not watching._following


def region(**facts: Any) -> Region:
    return Region(box=(0, 0, 50, 50), quality=Quality(**({"size_pixels": 50} | facts)))


def test_goodness_prefers_what_an_encoder_can_use() -> None:
    def good(**facts: Any) -> float:
        return goodness(region(**facts), 112)

    assert good(sharpness=2.0) > good(sharpness=1.0)
    assert good(size_pixels=100) > good(size_pixels=50)
    assert good(size_pixels=500) == good(size_pixels=112)
    assert good(turned_degrees=5) > good(turned_degrees=-40) > good(turned_degrees=95) == 0
    assert good(brightness=0.5) > good(brightness=0.95)
    assert good(brightness=0.5) > good(brightness=0.05)
    plain = Region(box=(0, 0, 1, 1), score=0.7)
    assert goodness(plain, 112) == 0.7
    assert goodness(replace(region(), score=0.5), 112) < good()


def test_shots_are_the_best_and_apart() -> None:
    rng = np.random.default_rng(0)
    goods = rng.permutation(200) / 200.0
    kept: tuple[Shot, ...] = ()
    for i, good in enumerate(goods):

        def make(i: int = i, good: float = float(good)) -> Shot:
            crop = np.zeros((1, 1, 3), np.uint8)
            return Shot(number=i, seconds=i / 10, region=region(), goodness=good, crop=crop)

        kept = with_shot(kept, i / 10, float(good), make, most=4, part_seconds=0.5)
    times = [shot.seconds for shot in kept]
    best = [max(goods[i : i + 5]) for i in range(0, 200, 5)]
    assert times == sorted(times)
    assert sorted(shot.goodness for shot in kept) == sorted(best)[-4:]


def shots_of(make_stage: Any, recognizer: Recognizer, person: int, count: int) -> list[Shot]:
    made = []
    for i in range(count):
        frame = make_stage({person: (40, 40)}, 10 + i)
        (found,) = recognizer.detector.detect(frame)
        crop = recognizer.detector.crop(frame, found)
        made.append(Shot(number=i, seconds=float(i), region=found, goodness=1.0, crop=crop))
    return made


def test_a_set_is_asked_about_where_it_can_be_named(
    recognizer: Recognizer, make_stage: Any
) -> None:
    """59 strangers at 5 % make (59 + 1) * 0.05 = 3, above e; at 4 % they are too few."""
    shots = shots_of(make_stage, recognizer, 1, 4)
    made = decide(recognizer, shots, rule="set", name="x")
    assert (made.rule, made.num_probes) == ("set", 4)
    assert (made.answer.label, made.answer.name) == ("person 1", "x")
    assert made.answer.p_value == pytest.approx(np.e / 60)
    one = decide(recognizer, shots[:1], rule="set")
    assert (one.rule, one.num_probes, one.why) == (
        "best",
        1,
        "the track has only one frame to compare",
    )
    recognizer.gallery.calibrate(0.04)
    few = decide(recognizer, shots, rule="set")
    assert (few.rule, few.num_probes) == ("best", 1)
    assert "59 classes of strangers are too few to name a set at 0.04" in few.why
    assert few.answer.label == "person 1"


def test_one_crop_is_answered_like_a_picture(recognizer: Recognizer, make_stage: Any) -> None:
    for person in (1, 200, 201, 202):
        (shot,) = shots_of(make_stage, recognizer, person, 1)
        (alone,) = recognizer.identify([make_stage({person: (40, 40)}, 10)])
        made = decide(recognizer, [shot]).answer
        assert replace(made, name=alone.name) == alone
    assert recognizer.identify_crop_set([], name="x").decision == "not_assessable"


def test_whole_pictures_cannot_be_followed(gallery_place: Path) -> None:
    with (
        Recognizer.open(gallery_place, detector="whole_image") as opened,
        pytest.raises(InvalidInput, match="one track of a whole video"),
    ):
        Watch(opened, "a")


def test_a_gallery_without_a_threshold_is_refused_at_once(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> Threshold:
        raise NotCalibrated("no threshold")

    monkeypatch.setattr("ilk.gallery.Gallery.threshold", property(refuse))
    with pytest.raises(NotCalibrated):
        Watch(recognizer, "a")


@pytest.mark.parametrize(
    "options",
    [
        {"choice": "only"},
        {"num_shots": 0},
        {"decide_after": 0},
        {"least_frames": 0},
        {"most_lost_seconds": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        WatchSettings(**options)


def test_a_log_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"track": 1}\n{"tra')
    with EventLog(path) as log:
        log.write({"label": "Zoë"})
    with EventLog(path) as log:
        log.write({"track": 3})
    assert path.read_text("utf-8").splitlines() == [
        '{"track": 1}',
        '{"tra',
        '{"label": "Zoë"}',
        '{"track": 3}',
    ]


def test_a_source_whose_name_is_no_text_can_be_logged(tmp_path: Path) -> None:
    name = os.fsdecode(b"door\xff.mp4 \xe2\x82\xac")
    with EventLog(tmp_path / "log.jsonl") as log:
        log.write({"source": name})
    assert json.loads((tmp_path / "log.jsonl").read_text("utf-8")) == {"source": name}


def test_times_are_told_as_people_read_them() -> None:
    told = [clock(s) for s in (0, 59.96, 60, 3599.99, 86400)]
    assert told == ["0:00.0", "0:59.9", "1:00.0", "59:59.9", "24:00:00.0"]
