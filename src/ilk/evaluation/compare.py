"""Is B better than A? The difference of two evaluations of the same items, with its interval.

Both have asked the same queries, so that what is compared is the difference per query; it varies
much less than either value. Classes are drawn again for the interval, and for the p-value whole
classes change sign. One training run per side says nothing of what another seed would change; of
several runs per side, the variance between runs is part of the interval (`runs.py`).

Shapes: R runs of one side, N items, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from ilk.errors import InvalidInput
from ilk.evaluation.figures import Evaluation
from ilk.evaluation.intervals import FEW_CLASSES, ClassBootstrap
from ilk.evaluation.runs import Spread

__all__ = ["Comparison", "Difference", "compare_evaluations"]

_LEVEL = 0.95
_NUM_FLIPS = 10_000
_FLIPS_AT_ONCE = 500
_ERROR_RATES = "fnir"
"""What the names of figures begin with of which less is better."""


@final
@dataclass(frozen=True)
class Difference:
    """How one figure differs, B minus A."""

    name: str
    a: float
    b: float
    difference: float
    """B minus A, over the queries that both counted."""
    low: float | None
    """Lower end of the 95 % interval of the difference."""
    high: float | None
    """Upper end."""
    chance_b_better: float
    """The share of the bootstrap's draws in which B is better, that is lower in an error rate; half
    of the draws without any difference. Of several runs, of the distribution of the interval."""
    p_value: float
    """How often a difference at least as large comes about if each class's difference changes
    sign by chance: two-sided, of 10,000 sign flips. Of several runs, the least level at which the
    interval leaves 0 out."""
    num_queries: int
    num_classes: int
    note: str = ""
    seed_share: float | None = None
    """The share of the variance that is the seeds'; None with one run per side."""

    @property
    def is_lower_better(self) -> bool:
        """Whether the figure is an error rate."""
        return self.name.startswith(_ERROR_RATES)


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """Two evaluations of the same items, figure by figure."""

    differences: tuple[Difference, ...]
    per_class: dict[str, dict[str, float]]
    """For each figure and each label, the mean difference B minus A of its queries."""
    num_runs: tuple[int, int] = (1, 1)
    """Training runs of A and of B."""

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dump` can write."""
        return {
            "schema": "ilk.comparison",
            "schema_version": 2,
            "num_runs": list(self.num_runs),
            "differences": [asdict(difference) for difference in self.differences],
            "per_class": self.per_class,
        }


def compare_evaluations(
    a: Evaluation | Sequence[Evaluation],
    b: Evaluation | Sequence[Evaluation],
    *,
    num_bootstraps: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Return the paired differences B minus A of all figures that are means over items.

    Args:
        a: One evaluation, or one for each of several training runs.
        b: Others, of the same items with the same settings; the distance may differ.
        num_bootstraps: Draws of the bootstrap by class.
        seed: Decides the draws and the flips.

    Raises:
        InvalidInput: The items or the settings differ; the message says in what. Or one side has
            several runs and the other has not.

    Example:
        >>> ids = np.arange(40) % 10
        >>> classes = tuple("abcdefghij")
        >>> weak, strong = (
        ...     Evaluation(figures=(), per_query={"mrr": v}, class_ids=ids, classes=classes)
        ...     for v in (np.full(40, 0.5), np.full(40, 0.75))
        ... )
        >>> found = compare_evaluations(weak, strong).differences[0]
        >>> found.difference, found.low, found.chance_b_better, found.p_value < 0.01
        (0.25, 0.25, 1.0, True)
        >>> compare_evaluations([weak, strong], [strong, strong]).differences[0].difference
        0.125
    """
    sides = [[side] if isinstance(side, Evaluation) else list(side) for side in (a, b)]
    num_runs = len(sides[0]), len(sides[1])
    if min(num_runs) < 1 or (min(num_runs) == 1) != (max(num_runs) == 1):
        raise InvalidInput(
            "expected one run on either side or at least two on both, got "
            f"{num_runs[0]} and {num_runs[1]}: the variance of seeds must be seen on both"
        )
    one = sides[0][0]
    for other in (*sides[0][1:], *sides[1]):
        _check_settings(one.settings, other.settings)
    orders = [[_order(one, other) for other in side] for side in sides]
    class_ids = one.class_ids[orders[0][0]]
    bootstrap = ClassBootstrap(len(one.classes), num_draws=num_bootstraps, seed=seed)
    differences, per_class = [], {}
    for name in one.per_query:
        if not all(name in run.per_query for side in sides for run in side):
            continue
        first, second = (
            np.stack([run.per_query[name][order] for run, order in zip(side, of, strict=True)])
            for side, of in zip(sides, orders, strict=True)
        )
        in_all = ~np.isnan(first).any(axis=0) & ~np.isnan(second).any(axis=0)
        if in_all.any():
            first, second = np.where(in_all, first, np.nan), np.where(in_all, second, np.nan)
            differences.append(_difference(name, first, second, class_ids, bootstrap, seed))
            per_class[name] = _by_class(second.mean(0) - first.mean(0), class_ids, one.classes)
    return Comparison(tuple(differences), per_class, num_runs)


def _check_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    # Only figures of the same rates are compared.
    rates = ["fmr_targets", "fpir_targets"]
    left_out = ["distance", "num_bootstraps", "max_comparisons", "artifact", *rates]
    differing = sorted(key for key in {*a, *b} if key not in left_out and a.get(key) != b.get(key))
    if differing:
        told = ", ".join(f"{key} {a.get(key)!r} and {b.get(key)!r}" for key in differing)
        raise InvalidInput(
            f"the evaluations were made with different settings: {told}; evaluate both alike"
        )


def _order(one: Evaluation, other: Evaluation) -> np.ndarray:
    """Return the order of the items of `other` in which they are those of `one`, sorted, (N,)."""
    keys, expected = _keys(other), sorted(_keys(one))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if [keys[i] for i in order] != expected:
        num_common = len(set(keys) & set(expected))
        raise InvalidInput(
            f"expected evaluations of the same items with the same labels, got {len(expected):,} "
            f"and {len(keys):,} items with {num_common:,} in common; evaluate both on one source"
        )
    return np.array(order, np.int64)


def _keys(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    """Return what tells an item: content, label, and which one of several equal ones it is."""
    contents = evaluation.hashes or tuple(f"row {i}" for i in range(len(evaluation.class_ids)))
    seen: dict[tuple[str, str], int] = {}
    keys = []
    for content, class_id in zip(contents, evaluation.class_ids, strict=True):
        pair = (content, evaluation.classes[class_id])
        seen[pair] = seen.get(pair, -1) + 1
        keys.append((*pair, seen[pair]))
    return keys


def _difference(
    name: str,
    first: np.ndarray,
    second: np.ndarray,
    class_ids: np.ndarray,
    bootstrap: ClassBootstrap,
    seed: int,
) -> Difference:
    """Return the difference of (R, N) values of runs of either side, NaN where not counted."""
    change = second.mean(0) - first.mean(0)
    figure = bootstrap.mean(name, change, class_ids)
    draws = bootstrap.mean_draws(change, class_ids)
    draws = draws[~np.isnan(draws)]
    counted = ~np.isnan(change)
    value = float(change[counted].mean())
    means = [side[:, counted].mean(1) for side in (first, second)]
    low, high, seed_share = figure.low, figure.high, None
    if len(first) > 1 and figure.num_classes > 1:
        spread = Spread.of(draws, figure.num_classes, *means)
        reach, seed_share = spread.reach(_LEVEL), spread.seed_share
        low, high, p_value = value - reach, value + reach, spread.p_value(value)
        chance = 1 - p_value / 2 if value > 0 else p_value / 2
    else:
        chance = float((draws > 0).mean() + (draws == 0).mean() / 2)
        sums = np.bincount(class_ids[counted], change[counted])
        p_value = _sign_flip(sums[np.bincount(class_ids[counted]) > 0], seed)
    is_few = figure.num_classes < FEW_CLASSES
    return Difference(
        name=name,
        a=float(means[0].mean()),
        b=float(means[1].mean()),
        difference=value,
        low=low,
        high=high,
        chance_b_better=1 - chance if name.startswith(_ERROR_RATES) else chance,
        p_value=p_value,
        num_queries=figure.num_trials,
        num_classes=figure.num_classes,
        note=figure.note if is_few else "",
        seed_share=seed_share,
    )


def _sign_flip(sums: np.ndarray, seed: int) -> float:
    """Return the two-sided p-value of the total of (C,) class sums under random signs."""
    rng = np.random.default_rng([seed, 3])
    scale = max(float(np.abs(sums).sum()), np.finfo(float).tiny)
    total = abs(sums.sum()) - 1e-12 * scale
    num_larger = 0
    for _ in range(_NUM_FLIPS // _FLIPS_AT_ONCE):
        signs = rng.integers(0, 2, (_FLIPS_AT_ONCE, len(sums))) * 2.0 - 1
        num_larger += int((np.abs(signs @ sums) >= total).sum())
    return (1 + num_larger) / (1 + _NUM_FLIPS)


def _by_class(
    change: np.ndarray, class_ids: np.ndarray, classes: tuple[str, ...]
) -> dict[str, float]:
    counted = ~np.isnan(change)
    number = np.bincount(class_ids[counted], minlength=len(classes))
    total = np.bincount(class_ids[counted], change[counted], minlength=len(classes))
    return {label: float(total[i] / number[i]) for i, label in enumerate(classes) if number[i]}
