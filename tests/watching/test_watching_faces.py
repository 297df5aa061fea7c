"""The real networks on drawn people who walk through a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ilk.datasets.portraits import draw_portrait
from ilk.errors import MissingWeights
from ilk.items import Item, Items
from ilk.ready import ready_artifact
from ilk.recognizer import Recognizer
from ilk.watching import Event, Frame, Watch, open_frames

KNOWN, STRANGER = 1, 300


def write_walk(path: Path) -> Path:
    """Somebody known and a stranger pass each other."""
    cv2 = pytest.importorskip("cv2")

    people = {who: draw_portrait(who, 20, 200) for who in (KNOWN, STRANGER)}
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 12.5, (640, 440))
    grain = np.random.default_rng(0)
    for i in range(20):
        frame = np.full((440, 640, 3), 90, np.uint8)
        for who, (x, y) in {KNOWN: (20 + 18 * i, 10), STRANGER: (420 - 18 * i, 230)}.items():
            frame[y : y + 200, x : x + 200] = people[who]
        grainy = np.clip(frame + grain.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
        writer.write(np.ascontiguousarray(grainy[..., ::-1]))
    writer.release()
    return path


def test_faces_are_followed_and_named(tmp_path: Path) -> None:
    try:
        artifact = ready_artifact("faces", may_download=False)
    except MissingWeights as error:
        pytest.skip(str(error))
    known = [(who, v) for who in (0, KNOWN, 2) for v in range(2)]
    strangers = [(100 + i, 0) for i in range(9)]
    events: list[Event] = []
    with Recognizer.create(tmp_path / "door.gallery", artifact) as recognizer:
        recognizer.enroll(drawn(known))
        recognizer.calibrate(0.1, strangers=drawn(strangers), on_unreadable="skip")
        watching = Watch(recognizer, "walk")
        with open_frames(write_walk(tmp_path / "walk.mp4")) as frames:
            for frame in frames:
                events += watching.look(frame)
        events += watching.finish()
    told = {event.decision.answer.label: event.track.num_frames for event in events}
    assert told == {f"person {KNOWN}": 20, None: 20}


def drawn(shown: list[tuple[int, int]]) -> Items:
    return Items(
        tuple(Item(draw_portrait(who, v, 200), f"person {who}", f"{who} {v}") for who, v in shown)
    )


@pytest.mark.slow
@pytest.mark.parametrize("turn_back", [False, True])
def test_two_who_cross_hidden_for_a_while_are_told_apart_by_their_faces(
    tmp_path: Path, turn_back: bool
) -> None:
    """A van hides both for 0.7 s; they come out where they were going, or turn back."""
    pytest.importorskip("cv2")
    try:
        artifact = ready_artifact("faces", may_download=False)
    except MissingWeights as error:
        pytest.skip(str(error))
    way = np.arange(22) * 20.0
    mine = np.minimum(way, way[::-1]) if turn_back else way
    people = {who: draw_portrait(who, 20, 200) for who in (KNOWN, STRANGER)}
    events: list[Event] = []
    with Recognizer.create(tmp_path / "door.gallery", artifact) as recognizer:
        recognizer.enroll(drawn([(who, v) for who in (0, KNOWN, 2) for v in range(2)]))
        strangers = drawn([(100 + i, 0) for i in range(19)])
        recognizer.calibrate(0.1, strangers=strangers, on_unreadable="skip")
        watching = Watch(recognizer, "street")
        grain = np.random.default_rng(0)
        blocks = grain.integers(0, 255, (6, 10, 1), np.uint8)
        street = np.kron(blocks, np.ones((64, 64, 3), np.uint8))
        for number, x in enumerate(mine):
            image = street.copy()
            if not 7 <= number < 14:
                image[20:220, int(x) : int(x) + 200] = people[KNOWN]
                image[30:230, 440 - int(x) : 640 - int(x)] = people[STRANGER]
            grainy = np.clip(image + grain.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
            events += watching.look(Frame(number, number / 10, grainy))
        events += watching.finish()
    events = [event for event in events if event.kind == "ended"]
    told = sorted((e.track.id, str(e.decision.answer.label)) for e in events)
    assert told == [(1, f"person {KNOWN}"), (2, "None")]
    for event, x in zip(sorted(events, key=lambda e: e.track.id), (mine, 440 - mine), strict=True):
        assert event.track.num_frames >= 12
        assert abs((event.track.box[0] + event.track.box[2]) / 2 - (x[-1] + 100)) < 40
