"""Do rates differ between groups of items: age bands, cameras?

Each group of a column is held against all others of the column. The difference of the two rates has
an interval that respects classes (`shares`; the design effect is that of the group or of all groups
together, whichever is larger). Its p-value is the least level at which the interval leaves 0 out,
and the p-values of one column are corrected together by Holm's method. So a table without any true
difference warns with a chance of at most about 5 %, however many groups it has. The limits that
decide who is accepted are held as they are.

A group without a warning is not thereby alike: where its interval reaches beyond twice the upper
end of the others', or either side has fewer than five classes, it is too small to tell.

Shapes: n trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, final

import numpy as np

from ilk.errors import InvalidInput
from ilk.evaluation.shares import FEW_CLASSES, Share, difference_interval, difference_p_value

__all__ = ["GroupRate", "GroupTable", "Trials", "Verdict", "group_table"]

Verdict = Literal["higher", "lower", "no sign", "too few"]
"""What can be said of a rate beside that of all other groups."""

_ALPHA = 0.05
_MOST_GROUPS = 100


@final
@dataclass(frozen=True, eq=False)
class Trials:
    """What one rate is the mean of."""

    rate: str
    """Its name: "fnir_at_fpir_0.01"."""
    values: np.ndarray
    """Of each trial 0 or 1, or a share between them, (n,)."""
    groups: Sequence[str]
    """The group of each trial; "" for none."""
    first: np.ndarray
    """The class of each, (n,) int64."""
    second: np.ndarray | None = None
    """The other class of each comparison, (n,) int64."""


@final
@dataclass(frozen=True)
class GroupRate:
    """One rate of one group."""

    rate: str
    group: str
    value: float
    low: float
    """Lower end of the 95 % interval, clustered by class."""
    high: float
    """Upper end."""
    num_trials: int
    num_classes: int
    difference: float | None = None
    """Less the rate of all other groups; None where there are none."""
    difference_low: float | None = None
    """Lower end of its 95 % interval, not corrected for the number of groups."""
    difference_high: float | None = None
    """Upper end."""
    p_value: float | None = None
    """Of no difference, corrected for all rates and groups of the column; None if not tested."""
    verdict: Verdict = "too few"
    """ "higher" and "lower" than the others is a warning; "no sign" is none."""

    @property
    def is_warning(self) -> bool:
        """Whether the rate differs from that of the other groups by more than chance."""
        return self.verdict in ("higher", "lower")

    @property
    def told(self) -> str:
        """The verdict in a sentence."""
        if self.is_warning and self.difference is not None and self.p_value is not None:
            others = self.value - self.difference
            return (
                f"{self.rate} of {self.group} is {self.verdict} than that of the others: "
                f"{self.value:.4f} and {others:.4f} (p {self.p_value:.2g})"
            )
        if self.verdict == "too few":
            return f"{self.rate} of {self.group}: too few to tell whether it differs"
        return f"{self.rate} of {self.group}: no sign of a difference"


@final
@dataclass(frozen=True)
class GroupTable:
    """The rates of the groups of one column."""

    column: str
    rates: tuple[GroupRate, ...]
    """By rate, and within a rate by group."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where a group differs, in sentences."""
        return tuple(rate.told for rate in self.rates if rate.is_warning)

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dump` can write."""
        return asdict(self) | {"rates": [asdict(rate) for rate in self.rates]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Make the table that `to_json` described."""
        return cls(content["column"], tuple(GroupRate(**rate) for rate in content["rates"]))


def group_table(column: str, all_trials: Sequence[Trials]) -> GroupTable:
    """Return the rates of each group of a column, compared with those of the other groups.

    Trials without a group are in no rate.

    Args:
        column: Its name.
        all_trials: Of each rate.

    Raises:
        InvalidInput: The column has more than 100 groups.

    Example:
        >>> person = np.arange(400)
        >>> missed = np.where(person < 200, person % 4 == 0, person % 20 == 0)
        >>> bands = ["under 18" if i < 200 else "adult" for i in person]
        >>> table = group_table("age", [Trials("fnmr", missed, bands, person)])
        >>> [(rate.group, rate.value, rate.verdict) for rate in table.rates]
        [('adult', 0.05, 'lower'), ('under 18', 0.25, 'higher')]
    """
    rates: list[GroupRate] = []
    tests: list[list[int]] = []
    for trials in all_trials:
        found = _rates(column, trials)
        tested = [len(rates) + i for i, rate in enumerate(found) if rate.p_value is not None]
        are_one = len(found) == len(tested) == 2  # each of two groups is all others of the other
        tests += [tested] if are_one else [[i] for i in tested]
        rates += found
    return GroupTable(column, tuple(_judged(rates, tests)))


def _rates(column: str, trials: Trials) -> list[GroupRate]:
    """Return the rates of the groups, with p-values that are not corrected yet."""
    groups = np.array(trials.groups, dtype=object)
    names = sorted(set(groups) - {""})
    if len(names) > _MOST_GROUPS:
        raise InvalidInput(
            f"expected a column of at most {_MOST_GROUPS} groups, got {len(names):,} in "
            f"{column!r} (such as {names[0]!r}); cut it into bands"
        )
    return [_rate(trials, groups, name) for name in names]


def _rate(trials: Trials, groups: np.ndarray, name: str) -> GroupRate:
    is_own, is_other = groups == name, (groups != name) & (groups != "")
    own = _share(trials, is_own)
    low, high = own.interval()
    rate = GroupRate(trials.rate, name, own.value, low, high, own.num_trials, own.num_classes)
    if not is_other.any():
        return rate
    other, both = _share(trials, is_other), _share(trials, is_own | is_other)
    alike = own.as_alike_as(both), other.as_alike_as(both)
    ends = difference_interval(*alike)
    rate = replace(
        rate,
        difference=own.value - other.value,
        difference_low=ends[0],
        difference_high=ends[1],
        verdict="too few" if high > 2 * other.interval()[1] else "no sign",
    )
    if min(own.num_classes, other.num_classes) < FEW_CLASSES:
        return replace(rate, verdict="too few")
    return replace(rate, p_value=difference_p_value(*alike))


def _share(trials: Trials, where: np.ndarray) -> Share:
    second = None if trials.second is None else trials.second[where]
    return Share.of(trials.values[where], trials.first[where], second)


def _judged(rates: list[GroupRate], tests: list[list[int]]) -> list[GroupRate]:
    """Return the rates with p-values corrected by Holm's method, and warnings.

    Args:
        rates: Of all groups, with plain p-values.
        tests: Positions of the rates that each test is about.
    """

    def plain(test: list[int]) -> float:
        return rates[test[0]].p_value or 0.0

    judged, corrected = list(rates), 0.0
    for rank, test in enumerate(sorted(tests, key=plain)):
        corrected = max(corrected, min(1.0, plain(test) * (len(tests) - rank)))
        for i in test:
            judged[i] = replace(rates[i], p_value=corrected)
            if corrected <= _ALPHA:
                verdict: Verdict = "higher" if (rates[i].difference or 0.0) > 0 else "lower"
                judged[i] = replace(judged[i], verdict=verdict)
    return judged
