"""Is B better than A? The difference of two evaluations of the same items, with its interval.

Both have asked the same queries, so that what is compared is the difference per query; it varies
much less than either value. Classes are drawn again for the interval, and for the p-value whole
classes change sign.

Shapes: N items, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from ilk.errors import InvalidInput
from ilk.evaluation.figures import Evaluation
from ilk.evaluation.intervals import FEW_CLASSES, ClassBootstrap

__all__ = ["Comparison", "Difference", "compare_evaluations"]

_NUM_FLIPS = 10_000
_FLIPS_AT_ONCE = 500


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
    chance_b_higher: float
    """The share of the bootstrap's draws in which B is higher; half of the draws without any
    difference."""
    p_value: float
    """How often a difference at least as large comes about if each class's difference changes
    sign by chance: two-sided, of 10,000 sign flips."""
    num_queries: int
    num_classes: int
    note: str = ""

    @property
    def is_lower_better(self) -> bool:
        """Whether the figure is an error rate."""
        return self.name.startswith("fnir")


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """Two evaluations of the same items, figure by figure."""

    differences: tuple[Difference, ...]
    per_class: dict[str, dict[str, float]]
    """For each figure and each label, the mean difference B minus A of its queries."""

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dump` can write."""
        return {
            "schema": "ilk.comparison",
            "schema_version": 1,
            "differences": [asdict(difference) for difference in self.differences],
            "per_class": self.per_class,
        }


def compare_evaluations(
    a: Evaluation, b: Evaluation, *, num_bootstraps: int = 2000, seed: int = 0
) -> Comparison:
    """Return the paired differences B minus A of all figures that are means over items.

    Args:
        a: One evaluation.
        b: Another, of the same items with the same settings; the distance may differ.
        num_bootstraps: Draws of the bootstrap by class.
        seed: Decides the draws and the flips.

    Raises:
        InvalidInput: The items or the settings differ; the message says in what.

    Example:
        >>> ids = np.arange(40) % 10
        >>> classes = tuple("abcdefghij")
        >>> weak, strong = (
        ...     Evaluation(figures=(), per_query={"mrr": v}, class_ids=ids, classes=classes)
        ...     for v in (np.full(40, 0.5), np.full(40, 0.75))
        ... )
        >>> found = compare_evaluations(weak, strong).differences[0]
        >>> found.difference, found.low, found.chance_b_higher, found.p_value < 0.01
        (0.25, 0.25, 1.0, True)
    """
    _check_settings(a.settings, b.settings)
    order_a, order_b = _aligned(a, b)
    class_ids = a.class_ids[order_a]
    bootstrap = ClassBootstrap(len(a.classes), num_draws=num_bootstraps, seed=seed)
    differences, per_class = [], {}
    for name, values in a.per_query.items():
        if name not in b.per_query:
            continue
        first, second = values[order_a], b.per_query[name][order_b]
        both = ~np.isnan(first) & ~np.isnan(second)
        if both.any():
            first, second = np.where(both, first, np.nan), np.where(both, second, np.nan)
            differences.append(_difference(name, first, second, class_ids, bootstrap, seed))
            per_class[name] = _by_class(second - first, class_ids, a.classes)
    return Comparison(tuple(differences), per_class)


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


def _aligned(a: Evaluation, b: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Return orders of the items of `a` and `b` in which they are the same, (N,) each."""
    keys_a, keys_b = _keys(a), _keys(b)
    order_a = sorted(range(len(keys_a)), key=keys_a.__getitem__)
    order_b = sorted(range(len(keys_b)), key=keys_b.__getitem__)
    if [keys_a[i] for i in order_a] != [keys_b[i] for i in order_b]:
        num_common = len(set(keys_a) & set(keys_b))
        raise InvalidInput(
            f"expected evaluations of the same items with the same labels, got {len(keys_a):,} and "
            f"{len(keys_b):,} items with {num_common:,} in common; evaluate both on one source"
        )
    return np.array(order_a, np.int64), np.array(order_b, np.int64)


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
    change = second - first
    figure = bootstrap.mean(name, change, class_ids)
    draws = bootstrap.mean_draws(change, class_ids)
    draws = draws[~np.isnan(draws)]
    counted = ~np.isnan(change)
    sums = np.bincount(class_ids[counted], change[counted])
    is_few = figure.num_classes < FEW_CLASSES
    return Difference(
        name=name,
        a=float(np.nanmean(first)),
        b=float(np.nanmean(second)),
        difference=float(np.nanmean(change)),
        low=figure.low,
        high=figure.high,
        chance_b_higher=float((draws > 0).mean() + (draws == 0).mean() / 2),
        p_value=_sign_flip(sums[np.bincount(class_ids[counted]) > 0], seed),
        num_queries=figure.num_trials,
        num_classes=figure.num_classes,
        note=figure.note if is_few else "",
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
