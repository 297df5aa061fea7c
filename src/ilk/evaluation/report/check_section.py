"""The data-set check and the list of items that could not be used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ilk.evaluation.report.sections import facts
from ilk.evaluation.report.wording import shortened
from ilk.items import Problem

__all__ = ["check_section", "problem_list"]

_MOST_ENTRIES = 20
_MOST_PROBLEMS = 50


def check_section(found: Mapping[str, Any]) -> str:
    """Return what a check found, whatever it holds: numbers as facts, lists folded away."""
    plain = {k: v for k, v in found.items() if isinstance(v, bool | int | float | str)}
    nested = {k: v for k, v in found.items() if k not in plain and v}
    words = {k: v for k, v in plain.items() if isinstance(v, str) and len(v) > 40}
    told = "".join(
        f"<p><b>{_name(k)}.</b> {escape(shortened(v, 600))}</p>" for k, v in words.items()
    )
    short = {k: v for k, v in plain.items() if k not in words}
    return facts(short) + told + "".join(_folded(k, v) for k, v in nested.items())


def problem_list(problems: Sequence[Problem]) -> str:
    """Return the items that were left out, by name, or nothing where there are none."""
    if not problems:
        return ""
    rows = "".join(
        f"<li><bdi>{escape(shortened(p.name, 160))}</bdi>: {escape(shortened(p.reason, 200))}</li>"
        for p in problems[:_MOST_PROBLEMS]
    )
    left = len(problems) - _MOST_PROBLEMS
    noun = "item" if len(problems) == 1 else "items"
    more = f"<li>and {left:,} more</li>" if left > 0 else ""
    return (
        f"<details open><summary>{len(problems):,} {noun} could not be used</summary>"
        f"<ul>{rows}{more}</ul></details>"
    )


def _folded(name: str, value: Any) -> str:
    if isinstance(value, Mapping) and all(isinstance(v, int | float | str) for v in value.values()):
        content = facts(dict(list(value.items())[:_MOST_ENTRIES]))
    elif isinstance(value, Mapping):
        content = check_section(value)
    else:
        entries = [f"<li><bdi>{escape(_entry(v))}</bdi></li>" for v in list(value)[:_MOST_ENTRIES]]
        content = f"<ul>{''.join(entries)}</ul>"
    left = len(value) - _MOST_ENTRIES
    more = f"<p>and {left:,} more</p>" if left > 0 else ""
    return f"<details><summary>{_name(name)} ({len(value):,})</summary>{content}{more}</details>"


def _entry(value: Any) -> str:
    written = (
        value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    )
    return shortened(written, 240)


def _name(key: str) -> str:
    spaced = key.replace("_", " ")
    return escape(shortened(spaced[:1].upper() + spaced[1:], 60))
