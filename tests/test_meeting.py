"""Who is enrolled, who calibrates, who is met, and how the answers are counted."""

from __future__ import annotations

import numpy as np
import pytest

from ilk.evaluation.contact_sheet import Decision, draw_contact_sheet
from ilk.items import Item, Items
from ilk.meeting import Meeting, draw_roles
from ilk.results import Candidate, Identification
from ilk.thresholds import Threshold

THRESHOLD = Threshold(
    value=0.5,
    distance={"name": "cosine"},
    target_fpir=0.1,
    num_trials=9,
    basis="strangers",
    gallery_size=2,
)
PIXELS = np.zeros((8, 8), np.uint8)


def test_no_class_has_two_roles() -> None:
    items = Items.from_arrays([PIXELS] * 120, [f"{i % 20}" for i in range(120)])
    roles = draw_roles(items, num_exemplars=2, seed=1)
    groups = [set(part.classes) for part in (roles.exemplars, roles.calibration, roles.strangers)]
    assert [len(group) for group in groups] == [10, 5, 5]
    assert len(set.union(*groups)) == 20
    assert set(roles.mated.classes) == groups[0]
    assert set(roles.exemplars.class_sizes.values()) == {2}
    assert set(roles.mated.class_sizes.values()) == {4}
    names = [{item.name for item in part.items} for part in (roles.exemplars, roles.mated)]
    assert not names[0] & names[1]


def told(label: str | None, closest: str, decision: str = "unknown") -> Identification:
    return Identification(
        decision="identified" if label else decision,  # type: ignore[arg-type]
        label=label,
        reason="",
        candidates=(Candidate(closest, 0.2 if label or decision == "ambiguous" else 0.7, (1,)),),
        threshold=THRESHOLD,
    )


@pytest.fixture
def meeting() -> Meeting:
    mated = [told("a", "a"), told("b", "b"), told(None, "a"), told(None, "a", "ambiguous")]
    strangers = [told(None, "a")] * 7 + [told("a", "a")]
    return Meeting(
        THRESHOLD,
        2,
        tuple((Item(PIXELS, "a", str(i)), answer) for i, answer in enumerate(mated)),
        tuple((Item(PIXELS, f"s{i % 4}", str(i)), answer) for i, answer in enumerate(strangers)),
        {1: Item(PIXELS, "a", "exemplar")},
    )


def test_shares_are_counted(meeting: Meeting) -> None:
    quarter = {"right": 0.25, "wrong": 0.25, "ambiguous": 0.25, "unknown": 0.25}
    assert meeting.shares() == quarter
    share, (low, high) = meeting.named_strangers()
    assert share == 1 / 8
    assert low < share < high


def test_decisions_are_those_of_the_gallery(meeting: Meeting) -> None:
    decisions = meeting.decisions(num_mated=1, num_strangers=3, seed=0)
    assert [decision.is_mated for decision in decisions] == [True, False, False, False]
    assert len({decision.true_label for decision in decisions}) == 4
    assert draw_contact_sheet(decisions, title="all").width > 300


def test_an_ambiguous_answer_names_nobody() -> None:
    decision = Decision(
        probe=np.zeros((8, 8, 3), np.uint8),
        exemplar=np.zeros((8, 8, 3), np.uint8),
        true_label="a",
        is_mated=True,
        closest_label="a",
        distance=0.2,
        limit=0.5,
        is_ambiguous=True,
    )
    assert (decision.label, decision.said, decision.is_right) == (None, "ambiguous", False)
