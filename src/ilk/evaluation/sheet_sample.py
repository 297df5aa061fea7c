"""Decisions for a contact sheet, drawn from the open-set trial of an evaluation."""

from __future__ import annotations

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.evaluation.contact_sheet import Decision
from ilk.evaluation.figures import Evaluation
from ilk.evaluation.report.pictures import pixels
from ilk.items import Items

__all__ = ["sample_decisions"]


def sample_decisions(
    evaluation: Evaluation,
    items: Items,
    embeddings: np.ndarray,
    distance: Distance,
    *,
    num_mated: int = 8,
    num_strangers: int = 4,
    seed: int = 0,
) -> list[Decision]:
    """Return decisions on randomly drawn probes, right and wrong ones as they come.

    Every decision is one of the trial under the evaluation's threshold. Probes that cannot be
    seen are passed over, and no class is asked about twice while there are others.

    Args:
        evaluation: With its threshold; its positions are positions in `items`.
        items: The evaluated items.
        embeddings: One per item, (N, D).
        distance: What they were compared with.
        num_mated: How many probes of enrolled classes, at most.
        num_strangers: How many probes of classes that are not, at most.
        seed: For the draw.

    Raises:
        InvalidInput: The evaluation has no threshold or no open-set trial.
    """
    if evaluation.threshold is None or not len(evaluation.open_set.probe):
        raise InvalidInput(
            "a contact sheet needs an evaluation with an open-set trial and a threshold; this one "
            "has none, its figures say why"
        )
    trial = evaluation.open_set
    rng = np.random.default_rng(seed)
    order = _classes_in_turn(rng.permutation(len(trial.probe)), trial.true)
    chosen: list[Decision] = []
    for is_mated, wanted in ((True, num_mated), (False, num_strangers)):
        rows = [int(row) for row in order if bool(trial.is_mated[row]) == is_mated]
        group: list[Decision] = []
        for row in rows:
            if len(group) == wanted:
                break
            decision = _decision(row, evaluation, items, embeddings, distance)
            if decision is not None:
                group.append(decision)
        chosen += group
    return chosen


def _classes_in_turn(order: np.ndarray, true: np.ndarray) -> list[int]:
    """Return the rows of `order` so that each class comes once before any comes again."""
    seen: dict[int, int] = {}
    turns = []
    for place, row in enumerate(order):
        turn = seen.get(int(true[row]), 0)
        seen[int(true[row])] = turn + 1
        turns.append((turn, place, int(row)))
    return [row for _, _, row in sorted(turns)]


def _decision(
    row: int, evaluation: Evaluation, items: Items, embeddings: np.ndarray, distance: Distance
) -> Decision | None:
    trial, threshold = evaluation.open_set, evaluation.threshold
    probe = int(trial.probe[row])
    exemplar = _exemplar(row, evaluation, embeddings, distance)
    pictures = pixels(items.items[probe]), pixels(items.items[exemplar])
    if threshold is None or pictures[0] is None or pictures[1] is None:
        return None
    return Decision(
        probe=pictures[0],
        exemplar=pictures[1],
        true_label=items.items[probe].label,
        is_mated=bool(trial.is_mated[row]),
        closest_label=items.items[exemplar].label,
        distance=float(trial.distance[row]),
        limit=threshold.value,
    )


def _exemplar(row: int, evaluation: Evaluation, embeddings: np.ndarray, distance: Distance) -> int:
    """Return the item that decided: of the closest class, not a probe, at the trial's distance."""
    trial = evaluation.open_set
    candidates = np.flatnonzero(evaluation.class_ids == trial.closest[row])
    candidates = candidates[~np.isin(candidates, trial.probe)]
    probe = embeddings[[int(trial.probe[row])]].astype(np.float64)
    distances = distance.pairwise(probe, embeddings[candidates].astype(np.float64))[0]
    return int(candidates[np.abs(distances - trial.distance[row]).argmin()])
