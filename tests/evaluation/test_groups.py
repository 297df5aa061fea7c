"""Groups of a column: what differs is found, and what does not is not warned of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ilk.errors import InvalidInput
from ilk.evaluation.groups import GroupTable, Trials, group_table


def trials(
    rng: np.random.Generator,
    *,
    sizes: tuple[int, ...] = (30, 40, 60),
    rate: float = 0.2,
    alike: float = 0.3,
    times: float = 1.0,
    is_within: bool = False,
) -> Trials:
    """Draw trials of classes whose own rates vary; the first group errs `times` as often.

    Args:
        rng: What draws.
        sizes: Classes of each group.
        rate: Of all classes.
        alike: The correlation of two trials of a class.
        times: What the rate of the first group is multiplied with.
        is_within: Whether each class has trials in all groups.
    """
    of_class = rng.beta(
        rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, num := sum(sizes)
    )
    person = np.repeat(np.arange(num), rng.integers(1, 16, num))
    group = np.repeat(np.arange(len(sizes)), sizes)[person]
    if is_within:
        group = rng.integers(0, len(sizes), len(person))
    chance = of_class[person] * np.where(group == 0, times, 1.0)
    values = (rng.random(len(person)) < chance).astype(float)
    return Trials("fnir", values, [f"camera {g}" for g in group], person)


@pytest.mark.parametrize(
    ("rate", "alike", "sizes"),
    [(0.2, 0.3, (30, 40, 60)), (0.05, 0.5, (20, 30, 50, 100)), (0.1, 0.2, (10, 90))],
)
@pytest.mark.parametrize("is_within", [False, True])
def test_equal_groups_are_warned_of_at_no_more_than_the_nominal_rate(
    rate: float, alike: float, sizes: tuple[int, ...], is_within: bool
) -> None:
    rng = np.random.default_rng(5)
    tables = [
        group_table("c", [trials(rng, rate=rate, alike=alike, sizes=sizes, is_within=is_within)])
        for _ in range(40)
    ]
    assert sum(bool(table.warnings) for table in tables) <= 5  # 2 are expected at most; P(> 5) 1 %


@pytest.mark.parametrize("is_within", [False, True])
def test_a_group_that_errs_more_often_is_found_and_named(is_within: bool) -> None:
    rng = np.random.default_rng(6)
    num_found = 0
    for _ in range(12):
        drawn = trials(rng, sizes=(60, 60, 60), alike=0.2, times=3, is_within=is_within)
        table = group_table("camera", [drawn])
        warned = {rate.group: rate.verdict for rate in table.rates if rate.is_warning}
        num_found += warned.get("camera 0") == "higher"
        assert set(warned.values()) <= {"higher", "lower"}
        assert "higher" not in {verdict for group, verdict in warned.items() if group[-1] != "0"}
    assert num_found >= 11


def test_tests_that_forget_classes_would_warn_of_nothing() -> None:
    """The same trials, taken as independent: what the clusters are there for."""
    rng = np.random.default_rng(7)
    drawn = [trials(rng, alike=0.5) for _ in range(12)]
    forgetful = [Trials(t.rate, t.values, t.groups, np.arange(len(t.values))) for t in drawn]
    assert sum(bool(group_table("c", [t]).warnings) for t in forgetful) > 4
    assert sum(bool(group_table("c", [t]).warnings) for t in drawn) <= 2


def test_two_groups_are_one_test_and_more_are_corrected() -> None:
    person = np.arange(300)
    values = np.where(person < 150, person % 10 < 3, person % 10 < 1).astype(float)
    two = group_table(
        "c", [Trials("r", values, ["a", "b"] * 0 + ["a"] * 150 + ["b"] * 150, person)]
    )
    assert [rate.verdict for rate in two.rates] == ["higher", "lower"]
    assert two.rates[0].p_value == two.rates[1].p_value
    groups = ["a"] * 150 + [f"b{i % 3}" for i in range(150)]
    four = group_table("c", [Trials("r", values, groups, person)])
    assert four.rates[0].value == two.rates[0].value
    assert four.rates[0].p_value == pytest.approx(4 * (two.rates[0].p_value or 0))
    both = group_table(
        "c", [Trials("r", values, groups, person), Trials("s", values, groups, person)]
    )
    assert both.rates[0].p_value == pytest.approx(8 * (two.rates[0].p_value or 0))


def test_what_is_too_small_to_tell_says_so() -> None:
    person = np.arange(104)
    values = (person % 10 == 0).astype(float)
    groups = ["many"] * 100 + ["few"] * 4
    many, few = sorted(
        group_table("c", [Trials("r", values, groups, person)]).rates,
        key=lambda r: r.group != "many",
    )
    assert (few.verdict, few.p_value, few.num_classes) == ("too few", None, 4)
    assert many.p_value is None  # there is nobody to hold them against
    alone = group_table("c", [Trials("r", values, ["one"] * 104, person)]).rates[0]
    assert (alone.difference, alone.verdict) == (None, "too few")
    wide = group_table("c", [Trials("r", values, ["many"] * 90 + ["some"] * 14, person)]).rates[1]
    assert (wide.group, wide.verdict) == ("some", "too few")
    assert wide.p_value is not None
    even = group_table("c", [Trials("r", values, ["a", "b"] * 52, person // 2)])
    assert {rate.verdict for rate in even.rates} <= {"no sign", "higher", "lower"}


def test_trials_without_a_group_are_in_no_rate() -> None:
    person = np.arange(90)
    values = (person >= 60).astype(float)
    groups = ["a"] * 30 + ["b"] * 30 + [""] * 30
    table = group_table("c", [Trials("r", values, groups, person)])
    assert [(rate.group, rate.value, rate.difference) for rate in table.rates] == [
        ("a", 0.0, 0.0),
        ("b", 0.0, 0.0),
    ]


def test_a_column_of_names_is_refused_and_a_table_comes_back_from_json() -> None:
    person = np.arange(101)
    with pytest.raises(InvalidInput, match="at most 100 groups, got 101 in 'serial'"):
        group_table("serial", [Trials("r", person % 2, [str(i) for i in person], person)])
    table = group_table("c", [trials(np.random.default_rng(0), times=3)])
    assert GroupTable.from_json(json.loads(json.dumps(table.to_json()))) == table
