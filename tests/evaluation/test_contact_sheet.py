"""The contact sheet: what it shows is what was decided, legible in any number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilk.distances import Euclidean
from ilk.errors import InvalidInput
from ilk.evaluation.contact_sheet import Decision, draw_contact_sheet, write_contact_sheet
from ilk.evaluation.figures import Evaluation, OpenSetTrial
from ilk.evaluation.sheet_cell import CELL_HEIGHT, CELL_WIDTH
from ilk.evaluation.sheet_sample import sample_decisions
from ilk.items import Items
from ilk.thresholds import Threshold

BLUE, ORANGE = (0x00, 0x66, 0xA8), (0xC2, 0x50, 0x0A)
FIRST_CELL = (48, 48 + 44 + 16 + 30 + 32 + 22)


def decision(**changes: object) -> Decision:
    grey = np.full((30, 40, 3), 90, np.uint8)
    plain = Decision(
        probe=grey,
        exemplar=grey,
        true_label="heron",
        is_mated=True,
        closest_label="heron",
        distance=0.2,
        limit=0.3,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def first_cell(shown: Decision) -> np.ndarray:
    sheet = np.asarray(draw_contact_sheet([shown], title="t"))
    x, y = FIRST_CELL
    return sheet[y : y + CELL_HEIGHT, x : x + CELL_WIDTH]


@pytest.mark.parametrize(
    ("changes", "label", "is_right"),
    [
        ({}, "heron", True),
        ({"distance": 0.3}, "heron", True),  # equal is accepted
        ({"distance": 0.31}, None, False),
        ({"closest_label": "stork"}, "stork", False),
        ({"is_mated": False}, "heron", False),
        ({"is_mated": False, "distance": 0.31}, None, True),
        ({"distance": float("nan")}, None, False),
    ],
)
def test_a_decision_is_right_by_its_label(
    changes: dict[str, object], label: str | None, is_right: bool
) -> None:
    shown = decision(**changes)
    assert (shown.label, shown.is_right) == (label, is_right)
    band = first_cell(shown)[6, CELL_WIDTH - 40]
    assert tuple(band) == (BLUE if is_right else ORANGE)


def test_cells_differ_by_more_than_colour() -> None:
    """In grey, right and wrong must still be told apart: by words and by the sign."""
    right, wrong = (
        np.asarray(Image.fromarray(first_cell(d)).convert("L")).astype(int)
        for d in (decision(), decision(closest_label="stork"))
    )
    sign = (slice(12, 38), slice(14, 44))
    assert (np.abs(right[sign] - wrong[sign]) > 100).sum() > 40


def test_an_answer_that_was_not_accepted_is_faded() -> None:
    accepted, unknown = first_cell(decision()), first_cell(decision(distance=0.4))
    exemplar = (48 + 14 + 81, CELL_WIDTH - 16 - 30)
    assert accepted[exemplar].tolist() == [90, 90, 90]
    assert unknown[exemplar].min() > 180


@pytest.mark.parametrize(
    ("num_mated", "num_strangers", "num_columns", "num_rows"),
    [(1, 0, 4, 1), (0, 5, 4, 2), (8, 4, 4, 3), (3, 3, 2, 4)],
)
def test_a_sheet_has_room_for_every_cell(
    num_mated: int, num_strangers: int, num_columns: int, num_rows: int
) -> None:
    decisions = [decision()] * num_mated + [decision(is_mated=False)] * num_strangers
    sheet = draw_contact_sheet(decisions, title="t", subtitle="s", num_columns=num_columns)
    groups = (num_mated > 0) + (num_strangers > 0)
    assert sheet.width == 96 + num_columns * (CELL_WIDTH + 24) - 24
    head = 48 + 44 + 16 + 27 + 16
    assert sheet.height == head + groups * (30 + 32 + 22) + num_rows * (CELL_HEIGHT + 24) + 84


def test_long_and_foreign_labels_stay_in_their_cell() -> None:
    plain = np.asarray(draw_contact_sheet([decision()] * 2, title="t"))
    for label in ("x" * 4000, "한국어 العربية 日本語 👩‍🔬", "a\nb\x00\ud800", ""):
        shown = decision(true_label=label, closest_label=label)
        sheet = np.asarray(draw_contact_sheet([shown, decision()], title="t"))
        x, y = FIRST_CELL
        outside = np.ones(sheet.shape[:2], bool)
        outside[y : y + CELL_HEIGHT, x : x + CELL_WIDTH] = False
        assert (sheet[outside] == plain[outside]).all()


def test_a_sheet_is_written_whole(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "deep" / "sheet.png", [decision()], title="A title " * 90)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["sheet.png"]
    with Image.open(tmp_path / "deep" / "sheet.png") as image:
        assert image.format == "PNG"


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"at least 1 decision and 2 columns, got 0 and 4"):
        draw_contact_sheet([], title="t")
    with pytest.raises(InvalidInput, match="got 1 and 1"):
        draw_contact_sheet([decision()], title="t", num_columns=1)


def trial() -> tuple[Evaluation, Items, np.ndarray]:
    """Two enrolled classes of 2 exemplars and 3 probes; two classes of 3 strangers."""
    rng = np.random.default_rng(0)
    ids = np.array([0] * 5 + [1] * 5 + [2] * 3 + [3] * 3)
    embeddings = rng.normal(size=(16, 4)) + 4 * np.eye(4)[ids]
    embeddings[2] = embeddings[3]  # a probe that is as close as an exemplar
    items = Items.from_arrays(
        [np.full((6, 6, 3), 10 * i, np.uint8) for i in range(16)], [f"c{i}" for i in ids]
    )
    exemplars = np.array([3, 4, 8, 9])
    probes = np.setdiff1d(np.arange(16), exemplars)
    distances = Euclidean().pairwise(embeddings[probes], embeddings[exemplars])
    closest = ids[exemplars[distances.argmin(1)]]
    is_mated = ids[probes] < 2
    evaluation = Evaluation(
        figures=(),
        threshold=Threshold(
            value=3.0,
            distance=Euclidean().settings,
            target_fpir=0.1,
            num_trials=6,
            basis="strangers",
            gallery_size=2,
        ),
        open_set=OpenSetTrial(
            probes,
            is_mated,
            closest,
            distances.min(1),
            ids[probes],
            (closest == ids[probes]) * 1.0,
            np.where(is_mated, -1, 0),
        ),
        classes=items.classes,
        class_ids=ids,
    )
    return evaluation, items, embeddings


def test_sampled_decisions_are_those_of_the_trial() -> None:
    evaluation, items, embeddings = trial()
    drawn = sample_decisions(
        evaluation, items, embeddings, Euclidean(), num_mated=4, num_strangers=3, seed=5
    )
    assert [d.is_mated for d in drawn] == [True] * 4 + [False] * 3
    for shown in drawn:
        probe, exemplar = (int(p[0, 0, 0]) // 10 for p in (shown.probe, shown.exemplar))
        assert items.items[probe].label == shown.true_label
        assert items.items[exemplar].label == shown.closest_label
        assert exemplar in (3, 4, 8, 9)
        apart = Euclidean().paired(embeddings[[probe]], embeddings[[exemplar]])[0]
        assert shown.distance == pytest.approx(apart)
        assert shown.limit == 3.0
    again = sample_decisions(
        evaluation, items, embeddings, Euclidean(), num_mated=4, num_strangers=3, seed=5
    )
    assert [d.distance for d in again] == [d.distance for d in drawn]
    assert len(sample_decisions(evaluation, items, embeddings, Euclidean(), num_mated=99)) == 10


@pytest.mark.parametrize("seed", range(6))
def test_every_class_is_asked_about_once_before_any_is_again(seed: int) -> None:
    drawn = sample_decisions(*trial(), Euclidean(), num_mated=2, num_strangers=2, seed=seed)
    assert {d.true_label for d in drawn} == {"c0", "c1", "c2", "c3"}


def test_decisions_need_a_trial() -> None:
    evaluation, items, embeddings = trial()
    without = dataclasses.replace(evaluation, threshold=None)
    with pytest.raises(InvalidInput, match="needs an evaluation with an open-set trial"):
        sample_decisions(without, items, embeddings, Euclidean())
