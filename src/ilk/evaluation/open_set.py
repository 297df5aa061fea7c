"""The open-set figures: several draws of the protocol, cross-fitted thresholds, intervals.

Every stranger is judged by a threshold chosen on strangers of other classes, every mated probe by
both thresholds, and its figure is the mean of the two. An item's value is its mean over the draws
that made it a mated probe, and a figure is the mean over items. In the bootstrap by class the
thresholds are chosen anew from the strangers drawn; who is enrolled with which exemplars is held.

Shapes: N items, P probes, C classes, b draws of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from ilk.calibration import classes_needed, clustered_interval, least_rate, limit_for_fpir
from ilk.distances import Distance
from ilk.errors import InvalidInput, NotEnoughTrials
from ilk.evaluation.figures import Curve, Figure, OpenSetTrial
from ilk.evaluation.identification import (
    Answers,
    answer,
    auroc,
    auroc_draws,
    dir_curve,
    fnir_draws,
    halves_limits,
    misses,
)
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.protocol import Draw, draw_protocol
from ilk.evaluation.settings import EvaluationSettings, carried_rates
from ilk.thresholds import Threshold, within

__all__ = ["OpenSet", "open_set"]

_Asked = list[tuple[Draw, Answers]]


@final
@dataclass(frozen=True, eq=False)
class OpenSet:
    """What the open-set protocol found."""

    figures: tuple[Figure, ...]
    fpir_targets: tuple[float, ...] = ()
    """The rates of the figures."""
    per_query: dict[str, np.ndarray] = field(default_factory=dict)
    strangers: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    trial: OpenSetTrial = field(default_factory=OpenSetTrial.empty)
    threshold: Threshold | None = None
    counts: dict[str, int] = field(default_factory=dict)


def open_set(
    embeddings: np.ndarray,
    class_ids: np.ndarray,
    distance: Distance,
    settings: EvaluationSettings,
    bootstrap: ClassBootstrap,
    *,
    groups: Sequence[str | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OpenSet:
    """Run the protocol `settings.num_draws` times and return its figures.

    Where the classes are too few or too small for it, every figure is None and says why.

    Args:
        embeddings: (N, D).
        class_ids: (N,) from 0 to C - 1.
        distance: What closeness means.
        settings: Of the evaluation.
        bootstrap: Of the same C classes.
        groups: Of each item, used if the settings exclude probes of an exemplar's group.
        progress: Called with draws done and in all.
    """
    asked: _Asked = []
    for number in range(settings.num_draws):
        try:
            draw = draw_protocol(
                class_ids,
                num_exemplars=settings.num_exemplars,
                enrolled_share=settings.enrolled_share,
                max_stranger_items=settings.max_stranger_items,
                seed=[settings.seed, 2, number],
                groups=groups if settings.exclude_same_group else None,
            )
        except InvalidInput as error:
            names = _names(settings.fpir_targets or carried_rates(9))
            return OpenSet(tuple(_nothing(name, str(error)) for name in names))
        answers = answer(
            embeddings, class_ids, distance, draw, memory_bytes=settings.memory_mib << 20
        )
        asked.append((draw, answers))
        if progress is not None:
            progress(number + 1, settings.num_draws)
    if not settings.fpir_targets:
        fewest = min(_fewest_classes(draw, class_ids) for draw, _ in asked)
        settings = replace(settings, fpir_targets=carried_rates(fewest))
    figures, per_query, strangers = _all_figures(asked, class_ids, settings, bootstrap)
    draw, answers = asked[0]
    return OpenSet(
        figures=figures,
        fpir_targets=settings.fpir_targets,
        per_query=per_query,
        strangers=strangers,
        curves={"dir": _dir_curve(asked)},
        trial=_trial(draw, answers, class_ids),
        threshold=_threshold(draw, answers, class_ids[draw.strangers], distance, settings),
        counts={
            "enrolled_classes": draw.num_enrolled,
            "exemplars": len(draw.exemplars),
            "mated_probes": len(draw.mated),
            "non_mated_probes": len(draw.strangers),
            "same_group_probes_left_out": draw.num_same_group,
        },
    )


def _fewest_classes(draw: Draw, class_ids: np.ndarray) -> int:
    """Return how many classes the smaller half of the strangers has."""
    return min(len(np.unique(class_ids[draw.strangers[draw.half == half]])) for half in (0, 1))


def _too_few(target: float, num_classes: int) -> str:
    return (
        f"a rate of {target:g} needs {classes_needed(target):,} classes of strangers in each half, "
        f"and there are {num_classes:,}, which carry {least_rate(num_classes):g} or more (--fpir)"
    )


def _names(targets: Sequence[float]) -> list[str]:
    rates = [f"fnir_at_fpir_{target:g}" for target in targets]
    achieved = [f"fpir_at_target_{target:g}" for target in targets]
    return [*rates, *achieved, "auroc", "rank_1"]


def _nothing(name: str, reason: str, num_trials: int = 0, num_classes: int = 0) -> Figure:
    return Figure(name, None, None, None, num_trials, num_classes, f"not enough probes: {reason}")


def _all_figures(
    asked: _Asked, class_ids: np.ndarray, settings: EvaluationSettings, bootstrap: ClassBootstrap
) -> tuple[tuple[Figure, ...], dict[str, np.ndarray], dict[str, np.ndarray]]:
    draw, _ = asked[0]
    times = "one draw" if len(asked) == 1 else f"mean of {len(asked)} draws"
    note = f"{times}; no stranger is judged by a threshold that its class had a part in"
    figures, achieved = [], []
    mated, others = [d.mated for d, _ in asked], [d.strangers for d, _ in asked]
    num_items = len(class_ids)
    per_query = {
        "rank_1": _item_means(mated, [a.found[: a.num_mated] for _, a in asked], num_items)
    }
    strangers: dict[str, np.ndarray] = {}
    for target in settings.fpir_targets:
        name = f"fnir_at_fpir_{target:g}"
        try:
            limits = [
                halves_limits(answers, class_ids[draw.strangers], draw.half, target)
                for draw, answers in asked
            ]
        except NotEnoughTrials:
            counts = _stranger_counts(draw, class_ids)
            reason = _too_few(target, _fewest_classes(draw, class_ids))
            figures.append(_nothing(name, reason, *counts))
            achieved.append(_nothing(f"fpir_at_target_{target:g}", reason, *counts))
            continue
        missed = [
            (misses(answers, zero) + misses(answers, one)) / 2
            for (_, answers), (zero, one) in zip(asked, limits, strict=True)
        ]
        per_query[name] = _item_means(mated, missed, num_items)
        named = [
            within(answers.strangers, np.array(both)[draw.half]).astype(float)
            for (draw, answers), both in zip(asked, limits, strict=True)
        ]
        strangers[f"fpir_at_target_{target:g}"] = _item_means(others, named, num_items)
        draws = bootstrap.draws(fnir_draws(asked, class_ids, target))
        figures.append(_item_figure(name, per_query[name], draws, class_ids, bootstrap, note))
        achieved.append(_achieved(draw, class_ids, target, named[0]))
    rank_1 = bootstrap.mean("rank_1", per_query["rank_1"], class_ids, note=note)
    detection = _auroc_figure(asked, class_ids, bootstrap, note)
    return (*figures, *achieved, detection, rank_1), per_query, strangers


def _item_means(items: list[np.ndarray], values: list[np.ndarray], num_items: int) -> np.ndarray:
    """Return for each item the mean of its values over the draws; NaN if it has none, (N,)."""
    total, number = np.zeros(num_items), np.zeros(num_items)
    for item, value in zip(items, values, strict=True):
        total[item] += value
        number[item] += 1
    means: np.ndarray = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return means


def _item_figure(
    name: str,
    values: np.ndarray,
    draws: np.ndarray,
    class_ids: np.ndarray,
    bootstrap: ClassBootstrap,
    note: str,
) -> Figure:
    counted = ~np.isnan(values)
    num_classes = len(np.unique(class_ids[counted]))
    value = float(values[counted].mean())
    return bootstrap.figure(name, value, draws, int(counted.sum()), num_classes, note=note)


def _achieved(draw: Draw, class_ids: np.ndarray, target: float, named: np.ndarray) -> Figure:
    """Return the FPIR of the first draw's strangers, each judged by the other half's limit."""
    classes = class_ids[draw.strangers]
    _, class_of, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    shares = np.bincount(class_of, named) / sizes
    return Figure(
        f"fpir_at_target_{target:g}",
        float(shares.mean()),
        *clustered_interval(named, classes, is_per_class=True),
        len(named),
        len(shares),
        "first draw, every class counted the same; exact interval (Clopper-Pearson), by class",
    )


def _auroc_figure(
    asked: _Asked, class_ids: np.ndarray, bootstrap: ClassBootstrap, note: str
) -> Figure:
    value = float(np.mean([auroc(answers.mated, answers.strangers) for _, answers in asked]))
    statistics = [
        auroc_draws(
            answers.mated, class_ids[draw.mated], answers.strangers, class_ids[draw.strangers]
        )
        for draw, answers in asked
    ]
    draws = bootstrap.draws(
        lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0)
    )
    num_probes = len(np.unique(np.concatenate([answers.probe for _, answers in asked])))
    num_classes = len(np.unique(class_ids))
    return bootstrap.figure("auroc", value, draws, num_probes, num_classes, note=note)


def _stranger_counts(draw: Draw, class_ids: np.ndarray) -> tuple[int, int]:
    return len(draw.strangers), len(np.unique(class_ids[draw.strangers]))


def _dir_curve(asked: _Asked) -> Curve:
    x, y = dir_curve(
        np.concatenate([answers.mated for _, answers in asked]),
        np.concatenate([answers.found[: answers.num_mated] for _, answers in asked]),
        np.concatenate([answers.strangers for _, answers in asked]),
    )
    return Curve("dir", x, y, "False positive identification rate", "True positive, rank 1")


def _trial(draw: Draw, answers: Answers, class_ids: np.ndarray) -> OpenSetTrial:
    return OpenSetTrial(
        probe=answers.probe,
        is_mated=np.arange(len(answers.probe)) < answers.num_mated,
        closest=answers.closest,
        distance=answers.distance,
        true=class_ids[answers.probe],
        found=answers.found,
        half=np.concatenate([np.full(answers.num_mated, -1), draw.half]),
    )


def _threshold(
    draw: Draw,
    answers: Answers,
    classes: np.ndarray,
    distance: Distance,
    settings: EvaluationSettings,
) -> Threshold | None:
    """Return the limit from all strangers of the first draw for the first rate they can carry."""
    for target in settings.fpir_targets:
        try:
            value = limit_for_fpir(answers.strangers, target, classes)
        except NotEnoughTrials:
            continue
        return Threshold(
            value=value,
            distance=distance.settings,
            target_fpir=target,
            num_trials=len(answers.strangers),
            num_classes=len(np.unique(classes)),
            basis="all non-mated probes of the evaluation's first draw",
            gallery_size=draw.num_enrolled,
            fingerprint=settings.fingerprint,
        )
    return None
