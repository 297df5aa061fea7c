"""The demo with faces: a gallery of one's own photographs, calibrated as well as they allow.

Without photographs it is made of drawn people, of whom some are enrolled and others are strangers.
Nothing that is measured on drawings says anything about photographs of people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL import Image

from ilk.calibration import classes_needed, least_rate
from ilk.datasets.portraits import draw_scene, portraits
from ilk.detecting import crops_of
from ilk.drawing import draw_answers, write_drawing
from ilk.errors import NotCalibrated
from ilk.gallery.settings import num_first
from ilk.images import Box
from ilk.items import Item, Items
from ilk.meeting import Meeting
from ilk.ready import ready_artifact
from ilk.recognizer import Recognizer
from ilk.results import Identification
from ilk.words import counted, percent, told_threshold

__all__ = ["TARGET_FPIR", "Party", "calibrate", "go_to_party", "meet_drawn_people", "open_gallery"]

TARGET_FPIR = 0.01
"""The share of strangers that may get a name, where what is there to calibrate with allows it."""

_FIRST_DRAWN = 500
"""The number of the first person of `portraits:test`."""
_NUM_ENROLLED, _NUM_STRANGERS = 12, 24
_NUM_EXEMPLARS, _NUM_PROBES = 3, 2
_NUM_AT_PARTY = 8, 4
"""How many of the enrolled and of the strangers stand in the group picture."""

Progress = Callable[[str, int, int], None]
Tell = Callable[[str], None]


@final
@dataclass(frozen=True)
class Party:
    """A group picture, and what was said about who is in it."""

    picture: Path
    drawing: Path
    """The picture with the answers drawn in."""
    num_enrolled: int
    num_right: int
    """Enrolled people in it who were given their name."""
    num_strangers: int
    num_named: int
    """Strangers in it who were given any name."""


def open_gallery(location: Path, *, tell: Tell) -> Recognizer:
    """Return a gallery for faces: the one that is there, to add to it, or an empty one.

    Raises:
        IlkError: The weights are nowhere, a package is missing, or the gallery is damaged.
    """
    if (location / "CURRENT").exists():
        tell(f"adding to {location}, which exists already")
        return Recognizer.open(location)
    artifact = ready_artifact("faces", tell=tell)
    location.parent.mkdir(parents=True, exist_ok=True)
    return Recognizer.create(location, artifact)


def calibrate(recognizer: Recognizer, *, strangers: Items | None, progress: Progress) -> str:
    """Calibrate at 1 %, or at the smallest rate that what is there can carry; say so in words.

    Args:
        recognizer: With everybody enrolled.
        strangers: Pictures of people who are not; None takes the cohort of the artifact, and where
            there is none the enrolled photographs, each asked about the other people.
        progress: Called with (stage, steps done, all steps).

    Raises:
        NotCalibrated: There is nothing to calibrate with; nothing was changed.
    """
    gallery = recognizer.gallery
    if strangers is not None:
        return _on_strangers(recognizer, strangers, progress)
    cohort = gallery.binding.cohort
    if cohort is not None and len(cohort):
        rate = max(TARGET_FPIR, least_rate(cohort.num_classes))
        return f"names are given up to {told_threshold(gallery.calibrate(rate, basis='cohort'))}"
    return _on_own(recognizer)


def _on_strangers(recognizer: Recognizer, strangers: Items, progress: Progress) -> str:
    options: dict[str, Any] = {
        "strangers": strangers,
        "on_unreadable": "skip",
        "progress": lambda done, of: progress("Calibrating", done, of),
    }
    try:
        threshold = recognizer.calibrate(TARGET_FPIR, **options)
    except NotCalibrated as error:
        num_people = len(crops_of(recognizer.detector, strangers, "all").classes)
        rate = least_rate(num_people)
        if rate <= TARGET_FPIR or num_people == 0:
            raise
        threshold = recognizer.calibrate(rate, **options)
        return f"names are given up to {told_threshold(threshold)}. For a smaller share: {error}"
    return f"names are given up to {told_threshold(threshold)}"


def _on_own(recognizer: Recognizer) -> str:
    gallery = recognizer.gallery
    num_people = sum(row.num_exemplars > 0 for row in gallery.labels())
    if num_people < 2:
        raise NotCalibrated(
            f"{counted(num_people, 'person is', 'people are')} enrolled, and whom the threshold is "
            "to keep out is not known: give photographs of other people with --strangers DIR, or "
            "enroll more people"
        )
    first = num_first("leave-one-out")
    rate = max(TARGET_FPIR, least_rate(num_people, num_first=first))
    needed = classes_needed(TARGET_FPIR, num_first=first)
    threshold = gallery.calibrate(rate, basis="leave-one-out")
    told = (
        f"your own {num_people} people stand in for strangers, each asked about the others: at "
        f"most {percent(rate)} of strangers like them get a name (threshold {threshold.value:.4g})"
    )
    if num_people < needed:
        brought = classes_needed(TARGET_FPIR)
        told += f"; {percent(TARGET_FPIR)} takes {needed} people, or {brought} strangers"
    return f"{told}. Photographs of people who are not enrolled say it better: --strangers DIR"


def meet_drawn_people(recognizer: Recognizer, *, tell: Tell, progress: Progress) -> Meeting:
    """Enroll some drawn people, calibrate on others, and meet both these and further strangers."""

    def step(stage: str) -> Callable[[int, int], None]:
        return lambda done, of: progress(stage, done, of)

    num_people = _NUM_ENROLLED + _NUM_STRANGERS
    tell(f"drawing {num_people + classes_needed(TARGET_FPIR)} people")
    met = portraits("test", num_people=num_people, items_per_class=_NUM_EXEMPLARS + _NUM_PROBES)
    enrolled = met.of_classes(met.classes[:_NUM_ENROLLED])
    exemplars = enrolled.take(_variations(enrolled, 0, _NUM_EXEMPLARS))
    probes = enrolled.take(_variations(enrolled, _NUM_EXEMPLARS, _NUM_EXEMPLARS + _NUM_PROBES))
    others = met.of_classes(met.classes[_NUM_ENROLLED:])
    strangers = others.take(_variations(others, 0, 1))
    tell(f"enrolling {len(exemplars)} pictures of {_NUM_ENROLLED} of them")
    recognizer.enroll(exemplars, choice="largest", progress=step("Enrolling"))
    calibration = portraits("train", num_people=classes_needed(TARGET_FPIR), items_per_class=1)
    tell(f"calibrating on {len(calibration)} others, who are never enrolled")
    threshold = recognizer.calibrate(
        TARGET_FPIR, strangers=calibration, progress=step("Calibrating")
    )
    tell(f"meeting the enrolled again in {len(probes)} pictures, and {len(strangers)} strangers")

    def meet(items: Items, stage: str) -> tuple[tuple[Item, Identification], ...]:
        answers = recognizer.identify(items.items, choice="largest", progress=step(stage))
        return tuple(zip(items.items, answers, strict=True))

    return Meeting(
        threshold,
        _NUM_ENROLLED,
        meet(probes, "Meeting the enrolled"),
        meet(strangers, "Meeting strangers"),
        {},
    )


def go_to_party(recognizer: Recognizer, output: Path) -> Party:
    """Draw a group of enrolled people and strangers, answer about it, and write both pictures."""
    num_enrolled, num_strangers = _NUM_AT_PARTY
    new = _NUM_EXEMPLARS + _NUM_PROBES
    guests = [(_FIRST_DRAWN + i, new) for i in range(num_enrolled)]
    guests += [(_FIRST_DRAWN + _NUM_ENROLLED + i, new) for i in range(num_strangers)]
    order = np.random.default_rng(0).permutation(len(guests))
    pixels, boxes = draw_scene([guests[i] for i in order], face_pixels=90, num_columns=4)
    picture, drawing = output / "party.png", output / "party-answers.png"
    Image.fromarray(pixels).save(picture)
    (answer,) = recognizer.identify_pictures([Item(pixels, "", picture.name)])
    drawn = draw_answers(pixels, answer, title="A party", noun=recognizer.detector.noun)
    write_drawing(drawn, drawing)
    said = [_name_at(answer.answers, box) for box in boxes]
    names = [f"person {guests[i][0]:03}" if i < num_enrolled else None for i in order]
    return Party(
        picture,
        drawing,
        num_enrolled,
        sum(name is not None and name == told for name, told in zip(names, said, strict=True)),
        num_strangers,
        sum(name is None and told is not None for name, told in zip(names, said, strict=True)),
    )


def _variations(items: Items, first: int, last: int) -> list[int]:
    """Return where the pictures from `first` to before `last` of each person are."""
    num_each = _NUM_EXEMPLARS + _NUM_PROBES
    return [i for i in range(len(items)) if first <= i % num_each < last]


def _name_at(answers: tuple[Identification, ...], box: Box) -> str | None:
    """Return the name that was given to a face in a box."""
    x1, y1, x2, y2 = box
    for answer in answers:
        if answer.region is not None:
            left, top, right, bottom = answer.region.box
            x, y = (left + right) / 2, (top + bottom) / 2
            if x1 <= x <= x2 and y1 <= y <= y2:
                return answer.label
    return None
