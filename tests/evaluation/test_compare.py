"""Paired comparison: pairing is checked, the interval is of the difference, chance stays chance."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from ilk.distances import Cosine
from ilk.errors import InvalidInput
from ilk.evaluation import Evaluation, EvaluationSettings, compare_evaluations, evaluate

QUICK = EvaluationSettings(num_bootstraps=50, num_draws=2)
IDS = np.arange(120) % 30
CLASSES = tuple(f"class {i:02d}" for i in range(30))


def scored(values: np.ndarray, **options: object) -> Evaluation:
    made = Evaluation(
        figures=(),
        per_query={"map_at_r": values},
        class_ids=IDS,
        classes=CLASSES,
        hashes=tuple(f"hash {i}" for i in range(120)),
    )
    return replace(made, **options)  # type: ignore[arg-type]


def test_the_interval_is_of_the_paired_difference() -> None:
    """Values vary by 0.3, differences by 0.02: unpaired intervals would overlap."""
    rng = np.random.default_rng(0)
    first = rng.normal(0.5, 0.3, 120)
    second = first + 0.05 + rng.normal(0, 0.02, 120)
    (found,) = compare_evaluations(scored(first), scored(second)).differences
    assert found.difference == pytest.approx((second - first).mean())
    assert found.low is not None
    assert found.high is not None
    assert 0.04 < found.low < found.difference < found.high < 0.06
    assert found.p_value < 0.001
    assert found.chance_b_better == 1.0
    (back,) = compare_evaluations(scored(second), scored(first)).differences
    assert back.difference == -found.difference
    assert back.chance_b_better == 0.0


def test_chance_is_called_better_as_seldom_as_it_should() -> None:
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shift = rng.normal(size=30)[IDS] / 10
        first = rng.normal(0.5, 0.1, 120)
        second = first + shift + rng.normal(0, 0.02, 120)
        (found,) = compare_evaluations(
            scored(first), scored(second), num_bootstraps=100
        ).differences
        false += found.p_value < 0.05
    assert false <= 12


def test_the_p_value_is_the_share_of_all_sign_flips() -> None:
    change = np.random.default_rng(5).normal(0.4, 1.0, 10)
    options = {"class_ids": np.arange(10), "classes": CLASSES[:10], "hashes": ()}
    first, second = scored(np.zeros(10), **options), scored(change, **options)
    (found,) = compare_evaluations(first, second).differences
    totals = np.array([np.dot(signs, change) for signs in product((-1, 1), repeat=10)])
    exact = (np.abs(totals) >= abs(change.sum()) - 1e-12).mean()
    assert 0.05 < exact < 0.95
    assert found.p_value == pytest.approx(exact, abs=0.02)


def test_no_difference_is_no_difference() -> None:
    values = np.random.default_rng(0).random(120)
    (found,) = compare_evaluations(scored(values), scored(values)).differences
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.chance_b_better, found.p_value) == (0.5, 1.0)


def test_items_are_paired_by_content_not_by_position() -> None:
    values = np.random.default_rng(0).random(120)
    order = np.random.default_rng(1).permutation(120)
    shuffled = scored(values[order], class_ids=IDS[order], hashes=tuple(f"hash {i}" for i in order))
    found = compare_evaluations(scored(values), shuffled)
    assert found.differences[0].high == 0.0
    assert set(found.per_class["map_at_r"].values()) == {0.0}


def test_other_items_labels_or_settings_are_refused() -> None:
    values = np.zeros(120)
    others = tuple(f"hash {i + 20}" for i in range(120))
    with pytest.raises(InvalidInput, match="120 and 120 items with 0 in common"):
        compare_evaluations(scored(values), scored(values, hashes=others))
    with pytest.raises(InvalidInput, match="same items with the same labels"):
        compare_evaluations(scored(values), scored(values, class_ids=(IDS + 1) % 30))
    with pytest.raises(InvalidInput, match="different settings: seed 0 and 1"):
        compare_evaluations(
            scored(values, settings={"seed": 0}), scored(values, settings={"seed": 1})
        )
    one, other = {"distance": {"name": "cosine"}}, {"distance": {"name": "euclidean"}}
    assert compare_evaluations(scored(values, settings=one), scored(values, settings=other))


def test_few_classes_are_warned_of() -> None:
    made = Evaluation(
        figures=(),
        per_query={"mrr": np.arange(6.0)},
        class_ids=np.arange(6) % 3,
        classes=("a", "b", "c"),
    )
    (found,) = compare_evaluations(made, made).differences
    assert found.note == "interval from only 3 classes: unreliable"
    assert found.num_classes == 3


def test_queries_that_one_did_not_count_are_left_out() -> None:
    first, second = np.ones(120), np.zeros(120)
    first[:60] = np.nan
    (found,) = compare_evaluations(scored(first), scored(second)).differences
    assert (found.num_queries, found.difference) == (60, -1.0)


def test_two_encoders_on_one_source() -> None:
    """The noisier one loses in retrieval and in the open set, on the same probes."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(40), 12)
    centres, noise = rng.normal(size=(40, 12))[ids], rng.normal(size=(480, 12))
    labels = [f"class {i}" for i in ids]
    weak, strong = (
        evaluate(centres + scale * noise, labels, Cosine(), QUICK) for scale in (1.1, 0.5)
    )
    found = {row.name: row for row in compare_evaluations(weak, strong).differences}
    assert found["map_at_r"].low is not None
    assert found["map_at_r"].low > 0
    fnir = found["fnir_at_fpir_0.1"]
    assert fnir.is_lower_better
    assert fnir.high is not None
    assert fnir.high < 0
    assert fnir.a == pytest.approx(weak.figure("fnir_at_fpir_0.1").value)


def test_runs_of_several_seeds_are_part_of_the_interval() -> None:
    """Each pair of runs differs by far more than chance of classes, and the seeds by as much."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.5, 0.3, 120)

    def side(*shifts: float) -> list[Evaluation]:
        return [scored(base + shift + rng.normal(0, 0.01, 120)) for shift in shifts]

    one = compare_evaluations(*side(0.00), *side(0.05))
    assert one.num_runs == (1, 1)
    assert one.differences[0].p_value < 0.01
    assert one.differences[0].seed_share is None
    found = compare_evaluations(side(0.00, 0.06, -0.05), side(0.05, -0.03, 0.02))
    (row,) = found.differences
    assert found.num_runs == (3, 3)
    assert row.difference == pytest.approx(0.01, abs=0.005)
    assert row.low is not None
    assert row.high is not None
    assert row.low < 0 < row.high
    assert row.p_value > 0.3
    assert row.seed_share is not None
    assert row.seed_share > 0.9
    apart = compare_evaluations(side(0.00, 0.01, 0.02), side(0.30, 0.31, 0.29))
    assert apart.differences[0].p_value < 0.05
    assert apart.differences[0].chance_b_better > 0.97
    assert apart.to_json()["num_runs"] == [3, 3]


def test_the_chance_of_an_error_rate_is_of_less() -> None:
    errors = replace(scored(np.zeros(120)), per_query={"fnir_at_fpir_0.1": np.full(120, 0.5)})
    fewer = replace(errors, per_query={"fnir_at_fpir_0.1": np.full(120, 0.2)})
    (row,) = compare_evaluations(errors, fewer).differences
    assert row.difference == pytest.approx(-0.3)
    assert row.chance_b_better == 1.0


def test_one_run_against_several_is_refused() -> None:
    values = scored(np.zeros(120))
    with pytest.raises(InvalidInput, match="at least two on both, got 1 and 2"):
        compare_evaluations(values, [values, values])
    with pytest.raises(InvalidInput, match="got 0 and 0"):
        compare_evaluations([], [])
