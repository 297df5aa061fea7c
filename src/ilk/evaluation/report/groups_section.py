"""The section that tells groups of items apart: a table for each column."""

from __future__ import annotations

from html import escape

from ilk.evaluation.figures import Evaluation
from ilk.evaluation.groups import GroupRate, GroupTable
from ilk.evaluation.report.charts import whisker
from ilk.evaluation.report.wording import percent, words_for

__all__ = ["groups_section"]

_TITLES = ("Rate", "Group", "Value", "95 % interval", "Trials", "Classes", "Than the others")


def groups_section(evaluation: Evaluation) -> str:
    """Return the tables, or nothing where no column was asked for."""
    return "".join(_table(table) for table in evaluation.groups)


def _table(table: GroupTable) -> str:
    warnings = "".join(
        f'<p class="warning"><b>Warning:</b> {escape(warning)}</p>' for warning in table.warnings
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in _TITLES)
    rows = "".join(_row(rate) for rate in table.rates)
    return (
        f"<h3>By {escape(table.column)}</h3>{warnings}"
        f'<div class="scroll"><table class="figures"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(rate: GroupRate) -> str:
    interval = f"{percent(rate.low)} to {percent(rate.high)}"
    chance = "" if rate.p_value is None else f" (p {rate.p_value:.2g})"
    return (
        f'<tr><th scope="row">{escape(words_for(rate.rate).title)}</th>'
        f"<td>{escape(rate.group)}</td>"
        f'<td><span class="value">{escape(percent(rate.value))}</span>'
        f"{whisker(rate.value, rate.low, rate.high)}</td>"
        f'<td class="number" data-name="interval">{escape(interval)}</td>'
        f'<td class="number" data-name="trials">{rate.num_trials:,}</td>'
        f'<td class="number" data-name="classes">{rate.num_classes:,}</td>'
        f"<td>{escape(rate.verdict + chance)}</td></tr>"
    )
