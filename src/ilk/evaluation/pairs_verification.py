"""Verification of a pairs file: accuracy over its folds, and at a limit that was chosen before.

Accuracy counts every pair, and a pair of which a picture gives no probe is an error, whatever the
right answer is. FMR, FNMR and EER are about the pairs that were compared. A person appears in many
pairs, and pairs that share a person are not independent: intervals are clustered by person.

Shapes: P pairs, N pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from ilk.errors import InvalidInput, NotEnoughTrials
from ilk.evaluation.figures import Curve, Figure
from ilk.evaluation.groups import GroupTable, Trials, group_table
from ilk.evaluation.impostor_limit import ImpostorLimit, limit_for_fmr
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.pairs import Pairs, fold_accuracy, fold_limits
from ilk.evaluation.settings import EvaluationSettings
from ilk.evaluation.shares import Share
from ilk.evaluation.verification import Comparisons
from ilk.evaluation.verification_figures import verification_figures
from ilk.thresholds import within

__all__ = ["PairsFound", "compare_pairs", "with_pair_groups"]

_CLUSTERED = "clustered by person"


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class PairsFound:
    """What a pairs file found."""

    pairs: Pairs
    first: np.ndarray
    """The person of the first picture of each pair, (P,) int64."""
    second: np.ndarray
    """The person of the second, (P,) int64."""
    distances: np.ndarray
    """(P,) float64; NaN where a picture gives no probe."""
    limits: np.ndarray
    """The largest accepted distance of each pair at the target FMR, (P,); NaN if there is none."""
    limit: ImpostorLimit | None
    """The one limit of all pairs; None where each fold has its own or there is none."""
    basis: str
    """Whose distances the limits were chosen on; why there is none if there is none."""
    target_fmr: float
    figures: tuple[Figure, ...]
    curves: dict[str, Curve]
    counts: dict[str, int]
    groups: tuple[GroupTable, ...] = ()

    @property
    def is_accepted(self) -> np.ndarray:
        """Whether each pair is accepted at its limit, (P,) bool."""
        accepted: np.ndarray = within(self.distances, self.limits)
        return accepted


def compare_pairs(
    pairs: Pairs,
    distances: np.ndarray,
    *,
    target_fmr: float = 0.001,
    limit: ImpostorLimit | None = None,
    people: tuple[np.ndarray, np.ndarray] | None = None,
    settings: EvaluationSettings | None = None,
) -> PairsFound:
    """Judge the distances of pairs.

    Args:
        pairs: What was asked.
        distances: Of each pair, (P,); NaN where a picture gives no probe.
        target_fmr: The share of impostor comparisons that may be accepted.
        limit: Chosen for it on strangers. Without one, each fold is judged by the limit that the
            impostor pairs of the others give, or by none if these are too few.
        people: Whose both pictures of each pair are, (P,) int64 each, from 0; by default what the
            pairs tell.
        settings: Its FMR targets, seed and number of bootstraps are used.

    Raises:
        InvalidInput: There are not as many distances as pairs, or the target is no rate.

    Example:
        >>> is_same = np.arange(400) % 2 == 0
        >>> names = tuple(f"{i}.png" for i in range(800))
        >>> pairs = Pairs(names[:400], names[400:], is_same, np.arange(400) // 40)
        >>> found = compare_pairs(pairs, np.where(is_same, 0.1, 0.9), target_fmr=0.01)
        >>> [(f.name, f.value) for f in found.figures[:3]]
        [('pairs_accuracy', 1.0), ('accuracy_at_fmr_0.01', 1.0), ('fmr_at_target_0.01', 0.0)]
    """
    if distances.shape != (len(pairs),):
        raise InvalidInput(f"expected {len(pairs)} distances, got shape {distances.shape}")
    settings = settings or EvaluationSettings()
    first, second = pairs.person_ids() if people is None else people
    limits, basis = _limits(pairs, distances, target_fmr, limit, first, second)
    judged = _judged(pairs, distances, limits, target_fmr, first, second, basis)
    compared, curves = _compared(pairs, distances, first, second, settings)
    is_there = ~np.isnan(distances)
    return PairsFound(
        pairs=pairs,
        first=first,
        second=second,
        distances=distances,
        limits=limits,
        limit=limit,
        basis=basis,
        target_fmr=target_fmr,
        figures=(_ten_fold(pairs, distances), *judged, *compared),
        curves=curves,
        counts={
            "pairs": len(pairs),
            "people": len(np.unique(np.append(first, second))),
            "genuine_pairs": int(pairs.is_same.sum()),
            "genuine_compared": int((pairs.is_same & is_there).sum()),
            "impostor_pairs": int((~pairs.is_same).sum()),
            "impostor_compared": int((~pairs.is_same & is_there).sum()),
        },
    )


def with_pair_groups(
    found: PairsFound, columns: Mapping[str, Sequence[str]], others: Mapping[str, Trials]
) -> PairsFound:
    """Return what was found with a table for each column.

    FNMR and FMR of a group are at the limit for the target FMR, or where there is none at the most
    accurate limit on the other folds.

    Args:
        found: What was found.
        columns: The group of each pair, (P,); "" where its pictures differ in theirs.
        others: Further trials for each column, such as pictures that gave no probe.

    Raises:
        InvalidInput: A column has too many groups.
    """
    pairs, is_there = found.pairs, ~np.isnan(found.distances)
    limits, at = found.limits, f"target_{found.target_fmr:g}"
    if np.isnan(limits).any():
        limits, at = fold_limits(found.distances, pairs.is_same, pairs.fold), "best_accuracy"
    is_accepted = within(found.distances, limits)
    tables = []
    for column, groups in columns.items():
        trials = []
        for name, kind, is_hit in (
            (f"fnmr_at_{at}", pairs.is_same, ~is_accepted),
            (f"fmr_at_{at}", ~pairs.is_same, is_accepted),
        ):
            where = np.flatnonzero(kind & is_there)
            own = [groups[int(i)] for i in where]
            values = is_hit[where].astype(float)
            trials.append(Trials(name, values, own, found.first[where], found.second[where]))
        more = [others[column]] if column in others else []
        tables.append(group_table(column, [*trials, *more]))
    return replace(found, groups=tuple(tables))


def _limits(
    pairs: Pairs,
    distances: np.ndarray,
    fmr: float,
    limit: ImpostorLimit | None,
    first: np.ndarray,
    second: np.ndarray,
) -> tuple[np.ndarray, str]:
    """Return the limit of each pair, (P,), and whose distances it was chosen on."""
    if limit is not None:
        return np.full(len(distances), limit.value), limit.basis
    limits = np.full(len(distances), np.nan)
    is_impostor = ~pairs.is_same & ~np.isnan(distances)
    basis = "the impostor pairs of the other folds"
    for this in np.unique(pairs.fold):
        others = is_impostor & (pairs.fold != this)
        num_people = len(np.unique(np.append(first[others], second[others])))
        try:
            chosen = limit_for_fmr(distances[others], fmr, num_classes=num_people, basis=basis)
        except NotEnoughTrials as error:
            return np.full(len(distances), np.nan), f"no limit: {error}"
        limits[pairs.fold == this] = chosen.value
    return limits, basis


def _judged(
    pairs: Pairs,
    distances: np.ndarray,
    limits: np.ndarray,
    fmr: float,
    first: np.ndarray,
    second: np.ndarray,
    basis: str,
) -> list[Figure]:
    """Return the figures at the limits for the target FMR."""
    names = [f"accuracy_at_fmr_{fmr:g}", f"fmr_at_target_{fmr:g}", f"fnmr_at_target_{fmr:g}"]
    if np.isnan(limits).any():
        return [Figure(name, None, None, None, 0, 0, basis) for name in names]
    is_there, is_accepted = ~np.isnan(distances), within(distances, limits)
    is_right = (is_accepted == pairs.is_same) & is_there
    note = f"limit chosen on {basis}; {_CLUSTERED}"
    parts = (
        (np.ones(len(distances), bool), is_right),
        (~pairs.is_same & is_there, is_accepted),
        (pairs.is_same & is_there, ~is_accepted),
    )
    figures = []
    for name, (where, values) in zip(names, parts, strict=True):
        if not where.any():
            figures.append(Figure(name, None, None, None, 0, 0, "no such pair was compared"))
            continue
        share = Share.of(values[where].astype(float), first[where], second[where])
        figures.append(
            Figure(name, share.value, *share.interval(), share.num_trials, share.num_classes, note)
        )
    return figures


def _ten_fold(pairs: Pairs, distances: np.ndarray) -> Figure:
    try:
        return fold_accuracy(distances, pairs.is_same, pairs.fold)
    except InvalidInput as error:
        return Figure("pairs_accuracy", None, None, None, len(distances), 0, str(error))


def _compared(
    pairs: Pairs,
    distances: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    settings: EvaluationSettings,
) -> tuple[list[Figure], dict[str, Curve]]:
    """Return "eer", "fnmr_at_fmr_..." and the DET curve of the pairs that were compared."""
    order = np.argsort(distances, kind="stable")
    genuine = order[pairs.is_same[order] & ~np.isnan(distances[order])]
    impostor = order[~pairs.is_same[order] & ~np.isnan(distances[order])]
    found = Comparisons(
        distances[genuine],
        first[genuine],
        distances[impostor],
        np.stack([first[impostor], second[impostor]], axis=1),
        True,
    )
    num_people = int(max(first.max(initial=0), second.max(initial=0))) + 1
    bootstrap = ClassBootstrap(num_people, num_draws=settings.num_bootstraps, seed=settings.seed)
    figures, curves = verification_figures(found, settings, bootstrap)
    return [_held(figure, found, first[genuine], settings) for figure in figures], curves


def _held(
    figure: Figure, found: Comparisons, people: np.ndarray, settings: EvaluationSettings
) -> Figure:
    """Return an FNMR with the exact interval at the limit that it was read at.

    The bootstrap of `verification_figures` has no width where no pair is refused.
    """
    for fmr in settings.fmr_targets:
        if figure.name != f"fnmr_at_fmr_{fmr:g}" or figure.value is None:
            continue
        num_refused = round(figure.value * len(people))
        is_refused = np.arange(len(people)) >= len(people) - num_refused
        low, high = Share.of(is_refused.astype(float), people).interval()
        return replace(figure, low=low, high=high, note=f"limit from these pairs; {_CLUSTERED}")
    if figure.name == "eer" and figure.value == 0 and figure.high == 0:
        return replace(
            figure, low=None, high=None, note="no error was seen, so a bootstrap gives no interval"
        )
    return replace(figure, note="; ".join(filter(None, [figure.note, _CLUSTERED])))
