"""The charts of a report: curves of open-set and 1:1 errors, and histograms of distances."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ilk.evaluation.report.axes import (
    Axis,
    deviate_axis,
    linear_axis,
    log_axis,
    share_axis,
)
from ilk.evaluation.report.svg import Frame, element, text, thinned
from ilk.evaluation.report.wording import distance_text

__all__ = ["bar_chart", "det_chart", "dir_chart", "dots_chart", "histogram_chart", "whisker"]

_MOST_POINTS = 600


def dir_chart(
    fpir: np.ndarray, tpir: np.ndarray, point: tuple[float, float] | None, classes: int
) -> str:
    """Return the DIR curve: mated probes named correctly over strangers given a name.

    Args:
        fpir: False positive identification rates, shape (n,).
        tpir: True positive identification rates at them, shape (n,).
        point: (fpir, tpir) that the threshold reached, or None.
        classes: How many are enrolled, for the description.
    """
    seen = fpir[fpir > 0]
    low = float(np.clip(seen.min(), 1e-5, 0.1)) if len(seen) else 0.001
    frame = Frame(
        log_axis("strangers given a name (FPIR)", low, 1.0),
        share_axis("known items named correctly (TPIR)"),
    )
    is_shown = fpir >= frame.x.low
    best_without = tpir[~is_shown].max(initial=0.0)
    xs = np.concatenate([[frame.x.low], fpir[is_shown]])
    content = _curve(frame, xs, np.concatenate([[best_without], tpir[is_shown]]))
    if point is not None:
        content += _marked(frame, *point, "threshold")
    return frame.chart(
        content,
        title="DIR curve",
        description=f"Share of known items named correctly over the share of strangers that are "
        f"given a name, {classes} classes enrolled. Higher is better.",
    )


def det_chart(fmr: np.ndarray, fnmr: np.ndarray, eer: float | None) -> str:
    """Return the DET curve on normal-deviate axes, with the point of equal errors.

    Args:
        fmr: False match rates, shape (n,).
        fnmr: False non-match rates at them, shape (n,).
        eer: The equal error rate, or None.
    """
    rates = np.concatenate([fmr, fnmr])
    inside = rates[(rates > 0) & (rates < 1)]
    low = float(np.clip(inside.min(), 1e-4, 0.01)) if len(inside) else 0.001
    high = 0.6 if eer is None or eer < 0.45 else 0.99
    frame = Frame(
        deviate_axis("impostors accepted (FMR)", low, high),
        deviate_axis("genuine pairs rejected (FNMR)", low, high),
    )
    start, end = frame.at(low, low), frame.at(high, high)
    diagonal = element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_="aid")
    is_shown = (np.minimum(fmr, fnmr) >= low) & (np.maximum(fmr, fnmr) <= high)
    content = diagonal + _curve(frame, fmr[is_shown], fnmr[is_shown])
    if not is_shown.any():
        x, y = frame.width / 2, frame.height / 2
        content += text("nothing inside these rates", x, y, text_anchor="middle", class_="note")
    if eer is not None and low < eer < high:
        content += _marked(frame, eer, eer, "equal errors")
    return frame.chart(
        content,
        title="DET curve",
        description="Genuine pairs rejected over impostor pairs accepted, on normal-deviate axes. "
        "Lower and further left is better.",
    )


def histogram_chart(
    near: tuple[str, np.ndarray],
    far: tuple[str, np.ndarray],
    limit: float | None,
    *,
    title: str,
) -> str:
    """Return two histograms of distances over one axis, with the threshold between them.

    Args:
        near: What the first hill is called, and its distances, shape (n,).
        far: The same for the second.
        limit: The largest accepted distance, or None.
        title: What a screen reader calls the chart.
    """
    both = np.concatenate([near[1], far[1]])
    both = both[np.isfinite(both)]
    ends = [0.0, *([both.max()] if len(both) else []), *([limit] if limit is not None else [])]
    x = linear_axis("distance", ends)
    edges = np.linspace(x.low, x.high, 57)
    shares = [np.histogram(d, edges)[0] / max(1, len(d)) for _, d in (near, far)]
    highest = float(max(0.01, *(s.max() for s in shares)))
    y = linear_axis("share of each kind", [0.0, 1.12 * highest])
    frame = Frame(x, _as_percent(y))
    content = "".join(
        _hill(frame, edges, share, kind)
        for share, kind in zip(shares, ("near", "far"), strict=True)
    )
    if limit is not None:
        content += _limit_line(frame, limit)
    return frame.chart(
        content,
        title=title,
        description=f"Distances of {near[0]} ({len(near[1]):,}) and of {far[0]} ({len(far[1]):,})."
        " The further apart the hills, the better.",
    )


def bar_chart(
    names: Sequence[str],
    counts: Sequence[int],
    *,
    title: str,
    label: str,
    counted: str = "classes",
) -> str:
    """Return vertical bars with their names below and their counts above.

    Args:
        names: What each bar is called.
        counts: How high each bar is, as many.
        title: What a screen reader calls the chart.
        label: What the bars differ in.
        counted: What there are as many of.
    """
    num = max(1, len(names))
    bars = Axis(label, 0.0, float(num), tuple((i + 0.5, n) for i, n in enumerate(names)))
    frame = Frame(bars, linear_axis(counted, [0.0, 1.2 * max([1, *counts])]), 960, 240)
    content = ""
    for i, count in enumerate(counts):
        left, top = frame.at(i + 0.12, count)
        right, bottom = frame.at(i + 0.88, 0.0)
        content += element(
            "rect", x=left, y=top, width=right - left, height=bottom - top, class_="hill near"
        )
        middle = (left + right) / 2
        content += text(f"{count:,}", middle, top - 5, text_anchor="middle", class_="note")
    told = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))
    return frame.chart(
        content, title=title, description=f"{counted.capitalize()} by {label}. {told}."
    )


def whisker(value: float, low: float | None, high: float | None) -> str:
    """Return a small bar from 0 to 100 % with the value as a dot and its interval as a line."""
    width, middle = 240.0, 9.0
    parts = [element("line", x1=0, x2=width, y1=middle, y2=middle, class_="rail")]
    parts += [
        element("line", x1=x, x2=x, y1=middle - 3, y2=middle + 3, class_="rail")
        for x in (0, width / 2, width)
    ]
    if low is not None and high is not None:
        start, end = np.clip([low, high], 0, 1) * width
        d = f"M{start:.1f} {middle:g}H{end:.1f}"
        d += "".join(f"M{x:.1f} {middle - 5:g}v10" for x in (start, end))
        parts.append(element("path", d=d, class_="interval"))
    x = float(np.clip(value, 0, 1)) * width
    parts.append(element("circle", cx=x, cy=middle, r=3.6, class_="value"))
    content = "".join(parts)
    return element("svg", content, viewBox="-5 0 250 18", class_="whisker", aria_hidden="true")


def dots_chart(share: float, kind: str, description: str) -> str:
    """Return 100 dots of which `share` are filled: a rate as people picture it."""
    filled = round(100 * share)
    dots = [
        element(
            "circle",
            cx=6 + 12 * (i % 20),
            cy=6 + 12 * (i // 20),
            r=4.2,
            class_=f"dot {kind}" if i < filled else "dot empty",
        )
        for i in range(100)
    ]
    spoken = element("title", escape(description))
    return element("svg", spoken + "".join(dots), viewBox="0 0 240 60", role="img", class_="dots")


def _curve(frame: Frame, xs: np.ndarray, ys: np.ndarray) -> str:
    if not len(xs):
        return ""
    order = np.argsort(xs, kind="stable")
    kept = order[thinned(order, _MOST_POINTS)]
    return element("path", d=frame.path(xs[kept], ys[kept]), class_="curve")


def _marked(frame: Frame, x: float, y: float, words: str) -> str:
    left, top = frame.at(x, y)
    is_right = left > frame.width * 0.62
    is_low = top > frame.height * 0.7
    label = text(
        words,
        left + (-9 if is_right else 9),
        top + (-9 if is_low else 18),
        text_anchor="end" if is_right else "start",
        class_="note",
    )
    return element("circle", cx=left, cy=top, r=5, class_="point") + label


def _hill(frame: Frame, edges: np.ndarray, share: np.ndarray, kind: str) -> str:
    xs = np.repeat(edges, 2)
    ys = np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
    return element("path", d=frame.path(xs, ys) + "Z", class_=f"hill {kind}")


def _limit_line(frame: Frame, limit: float) -> str:
    x, bottom = frame.at(limit, frame.y.low)
    _, top = frame.at(limit, frame.y.high)
    is_right = x > frame.width * 0.7
    return element("line", x1=x, x2=x, y1=top, y2=bottom, class_="limit") + text(
        f"threshold {distance_text(limit)}",
        x + (-6 if is_right else 6),
        top + 12,
        text_anchor="end" if is_right else "start",
        class_="note",
    )


def _as_percent(axis: Axis) -> Axis:
    ticks: Sequence[tuple[float, str]] = [(v, f"{100 * v:.4g} %") for v, _ in axis.ticks]
    return Axis(axis.label, axis.low, axis.high, tuple(ticks))
