"""The sections of the page between the headline and the card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from ilk.evaluation.figures import Evaluation, Figure
from ilk.evaluation.report.charts import det_chart, dir_chart, histogram_chart, whisker
from ilk.evaluation.report.headline import open_set_figure, target_rate
from ilk.evaluation.report.markdown import markdown_to_html
from ilk.evaluation.report.wording import GROUPS, percent, shortened, words_for

__all__ = ["card_section", "curves", "distances", "figure_table", "settings_section"]


def figure_table(evaluation: Evaluation) -> str:
    """Return all figures with their intervals, grouped by the question that they answer."""
    by_name = {figure.name: figure for figure in evaluation.figures}
    macro = {f"{name}_macro" for name in by_name} & by_name.keys()
    told = sorted(
        ((words_for(name).group, f) for name, f in by_name.items() if name not in macro),
        key=lambda pair: GROUPS.index(pair[0]),
    )
    rows = []
    for group, members in groupby(told, key=lambda pair: pair[0]):
        rows.append(f'<tr class="group"><th colspan="5" scope="colgroup">{escape(group)}</th></tr>')
        rows += [_figure_row(figure, by_name.get(f"{figure.name}_macro")) for _, figure in members]
    return (
        '<div class="scroll"><table class="figures"><thead><tr><th scope="col">Figure</th>'
        '<th scope="col">Value</th><th scope="col" class="number">95 % interval</th>'
        '<th scope="col" class="number">Trials</th><th scope="col" class="number">Classes</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def curves(evaluation: Evaluation) -> str:
    """Return the DIR and the DET curve, or nothing where there is neither."""
    charts = []
    if "dir" in evaluation.curves and len(evaluation.curves["dir"].x):
        curve, figure = evaluation.curves["dir"], open_set_figure(evaluation)
        point = None
        if figure is not None and figure.value is not None:
            point = (target_rate(figure), 1 - figure.value)
        enrolled = evaluation.threshold.gallery_size if evaluation.threshold else 0
        chart = dir_chart(curve.x, curve.y, point, enrolled)
        words = "How many known items are named correctly, for every rate of strangers named."
        charts.append(_figure("Identification (DIR curve)", words, chart))
    if "det" in evaluation.curves and len(evaluation.curves["det"].x):
        curve = evaluation.curves["det"]
        eer = next((f.value for f in evaluation.figures if f.name == "eer"), None)
        words = "Both errors of comparing two items, one against the other. Lower left is better."
        charts.append(
            _figure("Comparison of pairs (DET curve)", words, det_chart(curve.x, curve.y, eer))
        )
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def distances(evaluation: Evaluation) -> str:
    """Return histograms of pairs and of closest classes, or nothing where there are none."""
    limit = evaluation.threshold.value if evaluation.threshold else None
    charts = []
    if len(evaluation.genuine) or len(evaluation.impostor):
        near, far = (
            ("genuine pairs", evaluation.genuine),
            ("impostor pairs", evaluation.impostor),
        )
        chart = histogram_chart(near, far, limit, title="Distances of pairs")
        words = "Two items of one class (genuine) and of two classes (impostor)."
        charts.append(_figure("Pairs", words, chart + _hill_legend(near, far)))
    trial = evaluation.open_set
    if len(trial.distance):
        is_mated = np.asarray(trial.is_mated, bool)
        near = ("known items", trial.distance[is_mated])
        far = ("strangers", trial.distance[~is_mated])
        chart = histogram_chart(near, far, limit, title="Distances to the closest enrolled class")
        words = "From a probe to the closest enrolled class: what is decided on."
        charts.append(_figure("Probes", words, chart + _hill_legend(near, far)))
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def card_section(card: str) -> str:
    """Return the card as HTML, all of its text escaped."""
    return f'<div class="card">{markdown_to_html(card, top_level=3)}</div>'


def settings_section(evaluation: Evaluation) -> str:
    """Return counts as facts, and what was asked as it was asked."""
    written = json.dumps(evaluation.settings, indent=2, sort_keys=True, default=str)
    asked = (
        f"<details><summary>Settings</summary><pre><code>{escape(written)}</code></pre></details>"
    )
    return facts(evaluation.counts) + asked


def facts(values: Mapping[str, Any]) -> str:
    """Return named numbers as a row of facts."""
    parts = [
        f"<div><dt>{escape(shortened(str(name).removeprefix('num_').replace('_', ' '), 60))}</dt>"
        f"<dd>{escape(_number(value))}</dd></div>"
        for name, value in values.items()
    ]
    return f'<dl class="facts">{"".join(parts)}</dl>' if parts else ""


def _figure_row(figure: Figure, macro: Figure | None) -> str:
    words = words_for(figure.name)
    direction = " Lower is better." if words.is_lower_better else ""
    meaning = f"{words.meaning[:1].upper()}{words.meaning[1:]}.{direction}" if words.meaning else ""
    note = f'<span class="note">{escape(figure.note)}</span>' if figure.note else ""
    head = (
        f'<th scope="row">{escape(words.title)}'
        f'<span class="meaning">{escape(meaning)}</span>{note}</th>'
    )
    counts = "".join(
        f'<td class="number" data-name="{name}">{count:,}</td>'
        for name, count in (("trials", figure.num_trials), ("classes", figure.num_classes))
    )
    return (
        f"<tr>{head}<td>{_value(figure)}{_by_class(figure, macro)}</td>"
        f'<td class="number" data-name="interval">{escape(_interval(figure))}</td>{counts}</tr>'
    )


def _value(figure: Figure) -> str:
    if figure.value is None:
        return '<span class="none">not measured</span>'
    shown = f'<span class="value">{escape(percent(figure.value))}</span>'
    return shown + whisker(figure.value, figure.low, figure.high)


def _by_class(figure: Figure, macro: Figure | None) -> str:
    """Return the same figure with every class counting alike, where that is another number."""
    if figure.value is None or macro is None or macro.value is None:
        return ""
    value, interval = percent(macro.value), _interval(macro)
    if (value, interval) == (percent(figure.value), _interval(figure)):
        return ""
    told = f"{value} with every class counting alike" + (f" ({interval})" if interval else "")
    return f'<span class="note">{escape(told)}</span>'


def _interval(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return ""
    return f"{percent(figure.low)} to {percent(figure.high)}"


def _figure(title: str, words: str, chart: str) -> str:
    caption = f"<figcaption><h3>{escape(title)}</h3><p>{escape(words)}</p></figcaption>"
    return f"<figure>{caption}{chart}</figure>"


def _hill_legend(near: tuple[str, np.ndarray], far: tuple[str, np.ndarray]) -> str:
    entries = [
        f'<li><svg width="26" height="14" viewBox="0 0 26 14" aria-hidden="true"><rect x="1" y="1" '
        f'width="24" height="12" class="hill {kind}"/></svg>{escape(name)} ({len(values):,})</li>'
        for kind, (name, values) in (("near", near), ("far", far))
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else shortened(str(value), 60)
