"""The data-set check as a section of the page, from the JSON of `ilk check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ilk.evaluation.report.charts import bar_chart
from ilk.evaluation.report.sections import facts
from ilk.evaluation.report.wording import shortened
from ilk.items import Problem

__all__ = ["check_section", "problem_list"]

_MOST_ROWS = 20
_MOST_PROBLEMS = 50
_KINDS = {"bytes": "equal files", "pixels": "equal pixels", "near": "almost equal"}


def check_section(found: Mapping[str, Any]) -> str:
    """Return what a check found: sizes, a histogram, duplicates and the recommendation."""
    size = found.get("class_size", {})
    duplicates = found.get("duplicates", [])
    shown = {
        "items": found.get("items", 0),
        "classes": found.get("classes", 0),
        "items per class, median": size.get("median", 0),
        "smallest, largest class": f"{size.get('min', 0):,}, {size.get('max', 0):,}",
        "classes of one item": len(found.get("singletons", [])),
        "groups of duplicates": len(duplicates),
    }
    return facts(shown) + _recommendation(found) + _histogram(found) + _duplicates(duplicates)


def _recommendation(found: Mapping[str, Any]) -> str:
    batch = found.get("batch")
    if not batch:
        return ""
    keys = ("reason", "validation_reason", "mode_reason")
    reasons = [str(batch[key]) for key in keys if batch.get(key)]
    told = "".join(f" {words[:1].upper()}{words[1:].rstrip('.')}." for words in reasons)
    return (
        f"<p><b>To train on it:</b> {batch.get('classes')} classes with "
        f"{batch.get('items_per_class')} items each per batch. {escape(shortened(told, 600))}</p>"
    )


def problem_list(problems: Sequence[Problem]) -> str:
    """Return the items that were left out, by name, or nothing where there are none."""
    if not problems:
        return ""
    rows = "".join(
        f"<li><bdi>{escape(shortened(p.name, 160))}</bdi>: {escape(shortened(p.reason, 200))}</li>"
        for p in problems[:_MOST_PROBLEMS]
    )
    left = len(problems) - _MOST_PROBLEMS
    more = f"<li>and {left:,} more</li>" if left > 0 else ""
    noun = "item" if len(problems) == 1 else "items"
    return (
        f"<details open><summary>{len(problems):,} {noun} could not be used</summary>"
        f"<ul>{rows}{more}</ul></details>"
    )


def _histogram(found: Mapping[str, Any]) -> str:
    histogram = found.get("histogram", {})
    edges, counts = list(histogram.get("from", ())), list(histogram.get("classes", ()))
    if sum(count > 0 for count in counts) < 2:
        return ""
    ends = [*(edge - 1 for edge in edges[1:]), None]
    filled = [i for i, count in enumerate(counts) if count]
    shown = slice(filled[0], filled[-1] + 1)
    names = [
        f"{low:,}" if high == low else f"{low:,} to {high:,}" if high else f"{low:,}+"
        for low, high in zip(edges, ends, strict=True)
    ]
    chart = bar_chart(names[shown], counts[shown], title="Class sizes", label="items in a class")
    caption = "<figcaption><h3>Class sizes</h3><p>How many classes have how many items.</p>"
    return f'<figure class="wide">{caption}</figcaption><div class="scroll">{chart}</div></figure>'


def _duplicates(duplicates: Sequence[Mapping[str, Any]]) -> str:
    if not duplicates:
        return ""
    order = sorted(
        duplicates, key=lambda d: (not d.get("crosses_classes"), not d.get("crosses_splits"))
    )
    rows = "".join(_duplicate_row(duplicate) for duplicate in order[:_MOST_ROWS])
    left = len(duplicates) - _MOST_ROWS
    more = f"<p>and {left:,} more</p>" if left > 0 else ""
    return (
        f"<details><summary>Duplicates ({len(duplicates):,})</summary>"
        '<div class="scroll"><table><thead><tr><th scope="col">Kind</th><th scope="col">Items</th>'
        f'<th scope="col">Classes</th></tr></thead><tbody>{rows}</tbody></table></div>{more}'
        "</details>"
    )


def _duplicate_row(duplicate: Mapping[str, Any]) -> str:
    kind = _KINDS.get(str(duplicate.get("kind")), str(duplicate.get("kind")))
    crossing = [
        words
        for key, words in (
            ("crosses_classes", "in more than one class"),
            ("crosses_splits", "in more than one split"),
        )
        if duplicate.get(key)
    ]
    labels = dict.fromkeys(map(str, duplicate.get("labels", ())))
    return (
        f'<tr><th scope="row">{escape(", ".join([kind, *crossing]))}</th>'
        f"<td>{_listed(duplicate.get('names', ()))}</td><td>{_listed(labels)}</td></tr>"
    )


def _listed(names: Any) -> str:
    """Return the first few of `names`, each isolated from the direction of its script."""
    listed = [str(name) for name in names]
    shown = "<br>".join(f"<bdi>{escape(shortened(name, 120))}</bdi>" for name in listed[:5])
    return shown + (f"<br>and {len(listed) - 5:,} more" if len(listed) > 5 else "")
