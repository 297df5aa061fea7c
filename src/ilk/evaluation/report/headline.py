"""The top of the page: what the evaluation found, in a sentence and in dots."""

from __future__ import annotations

from html import escape

from ilk.evaluation.figures import Evaluation, Figure
from ilk.evaluation.report.charts import dots_chart
from ilk.evaluation.report.wording import percent
from ilk.words import counted

__all__ = ["headline", "open_set_figure", "target_rate"]

_PREFIX = "fnir_at_fpir_"
_PREFERRED_RATE = 0.01


def target_rate(figure: Figure) -> float:
    """Return the FPIR that an open-set figure is for, read from its name.

    Example:
        >>> target_rate(Figure("fnir_at_fpir_0.01", 0.1, None, None, 9, 9))
        0.01
    """
    return float(figure.name.removeprefix(_PREFIX))


def open_set_figure(evaluation: Evaluation) -> Figure | None:
    """Return the open-set figure to lead with: at 1 %, or at the nearest rate that was measured."""
    measured = [
        figure
        for figure in evaluation.figures
        if figure.name.startswith(_PREFIX) and figure.value is not None
    ]
    return min(measured, key=lambda f: abs(target_rate(f) - _PREFERRED_RATE), default=None)


def headline(evaluation: Evaluation, warning: str = "") -> str:
    """Return the sentence that a person should remember, with its interval and its conditions.

    `warning` is what makes the figures worth less than they seem; it stands above them.
    """
    warned = f'<p class="warning"><b>Warning:</b> {escape(warning)}</p>' if warning else ""
    return warned + _claim(evaluation)


def _claim(evaluation: Evaluation) -> str:
    figure = open_set_figure(evaluation)
    if figure is not None and figure.value is not None:
        return _open_set(evaluation, figure, 1 - figure.value)
    return _without_open_set(evaluation)


def _open_set(evaluation: Evaluation, figure: Figure, named: float) -> str:
    rate = percent_short(target_rate(figure))
    claim = (
        f"At a false-identification rate of {rate}, "
        f"<strong>{percent(named)}</strong> of known items are named correctly."
    )
    interval = (
        f"95 % interval {percent(1 - figure.high)} to {percent(1 - figure.low)}. "
        if figure.low is not None and figure.high is not None
        else ""
    )
    known = f"about {round(100 * named)} named correctly"
    strangers = f"about {100 * target_rate(figure):g} given a name, the others called unknown"
    picture = (
        '<div class="pictogram"><div>'
        f"{dots_chart(named, 'near', known)}<p>Of 100 <b>known</b> items, {known}.</p></div><div>"
        f"{dots_chart(target_rate(figure), 'far', strangers)}"
        f"<p>Of 100 <b>strangers</b>, {strangers}.</p></div></div>"
    )
    words = f'<p class="soft">{interval}{_conditions(evaluation, figure)}</p>'
    return f'<div class="headline"><div><p class="claim">{claim}</p>{words}</div>{picture}</div>'


def _conditions(evaluation: Evaluation, figure: Figure) -> str:
    enrolled = evaluation.threshold.gallery_size if evaluation.threshold else 0
    exemplars = evaluation.settings.get("num_exemplars")
    told = [
        f"{counted(enrolled, 'class', 'classes')} enrolled" if enrolled else "",
        f"{counted(exemplars, 'example')} each" if exemplars else "",
    ]
    gallery = " with ".join(part for part in told if part)
    gallery = f"{gallery}. " if gallery else ""
    classes = counted(figure.num_classes, "class", "classes")
    trials = f"{counted(figure.num_trials, 'probe')} of {classes}. "
    note = f"{figure.note[:1].upper()}{figure.note[1:].rstrip('.')}." if figure.note else ""
    return escape(gallery[:1].upper() + gallery[1:] + trials + note)


def _without_open_set(evaluation: Evaluation) -> str:
    closed = {f.name: f for f in evaluation.figures if f.value is not None}
    nearest = closed.get("recall_at_1")
    notes = [f.note for f in evaluation.figures if f.name.startswith(_PREFIX) and f.note]
    reason = f"No open-set figure: {notes[0]}." if notes else "There is no open-set figure."
    if nearest is None or nearest.value is None:
        claim = "This evaluation carries no headline figure."
    else:
        claim = (
            f"The closest other item is of the same class for "
            f"<strong>{percent(nearest.value)}</strong> of {nearest.num_trials:,} items."
        )
        if nearest.low is not None and nearest.high is not None:
            reason = f"95 % interval {percent(nearest.low)} to {percent(nearest.high)}. " + reason
    return (
        f'<div class="headline"><div><p class="claim">{claim}</p>'
        f'<p class="soft">{escape(reason)}</p></div></div>'
    )


def percent_short(rate: float) -> str:
    """Return a rate that was chosen, not measured, without decimals it does not need."""
    return f"{100 * rate:g} %"
