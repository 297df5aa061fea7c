"""The rates of an evaluation by the columns of a table: FNIR, FPIR of strangers, failures.

Of the targets of an open-set trial the first is taken that the strangers can carry.

Shapes: N pictures, n of them with an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ilk.errors import InvalidInput
from ilk.evaluation.acquisition import Acquired
from ilk.evaluation.columns import groups_of
from ilk.evaluation.figures import Evaluation
from ilk.evaluation.groups import GroupTable, Trials, group_table

__all__ = ["item_tables"]


def item_tables(
    evaluation: Evaluation, acquired: Acquired, columns: Sequence[str]
) -> tuple[GroupTable, ...]:
    """Return a table for each column.

    Args:
        evaluation: Of the items that were embedded.
        acquired: The pictures and their metadata.
        columns: Names of columns.

    Raises:
        InvalidInput: A column is not there or has too many groups, or the evaluation has no rate
            to tell apart.
    """
    rates = _rates(evaluation)
    if columns and not rates:
        raise InvalidInput(
            "expected an evaluation with an open-set or retrieval figure for --by, but none can be "
            "carried by these items; add items, or lower --exemplars"
        )
    pictures = acquired.pictures
    lost = np.ones(len(pictures))
    lost[acquired.position] = 0.0
    tables = []
    for column in columns:
        own = groups_of(pictures.items, column)
        found = [own[place] for place in acquired.position]
        trials = [
            Trials(
                name, values[kept], [found[i] for i in kept.tolist()], evaluation.class_ids[kept]
            )
            for name, values in rates
            for kept in [np.flatnonzero(~np.isnan(values))]
        ]
        if acquired.failures:  # else it would be tests that cannot find anything
            trials.append(Trials("fta", lost, own, pictures.class_ids))
        tables.append(group_table(column, trials))
    return tuple(tables)


def _rates(evaluation: Evaluation) -> list[tuple[str, np.ndarray]]:
    """Return name and value of each item of the rates to tell apart; of retrieval, the misses."""
    for name, values in evaluation.per_query.items():
        if name.startswith("fnir_at_fpir_"):
            achieved = f"fpir_at_target_{name.removeprefix('fnir_at_fpir_')}"
            return [(name, values), (achieved, evaluation.strangers[achieved])]
    if "recall_at_1" in evaluation.per_query:
        return [("missed_at_1", 1 - evaluation.per_query["recall_at_1"])]
    return []
