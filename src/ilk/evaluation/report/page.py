"""One self-contained page: what an evaluation found, for people.

The page loads nothing: style, charts and pictures are inside it, there is no script, and its
content security policy forbids requests. Equal input gives equal bytes.
"""

from __future__ import annotations

import os
import re
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.evaluation.figures import Evaluation
from ilk.evaluation.report.check_section import check_section, problem_list
from ilk.evaluation.report.groups_section import groups_section
from ilk.evaluation.report.headline import headline
from ilk.evaluation.report.map_section import map_section, map_words
from ilk.evaluation.report.mistakes import mistake_grid, weakest_classes
from ilk.evaluation.report.radii_section import RADII_WORDS, radii_section
from ilk.evaluation.report.sections import (
    card_section,
    curves,
    distances,
    figure_table,
    settings_section,
)
from ilk.evaluation.report.wording import shortened
from ilk.items import Items
from ilk.whole_file import whole_file

__all__ = ["SupportsJson", "render_report", "write_report"]

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_MOST_CARD_CHARACTERS = 200_000


class SupportsJson(Protocol):
    """What a report needs of a data-set check."""

    def to_json(self) -> dict[str, Any]:
        """Return what was found, as plain data."""


def write_report(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    items: Items,
    embeddings: np.ndarray,
    distance: Distance,
    card: str = "",
    check: SupportsJson | None = None,
    title: str = "Evaluation",
    warning: str = "",
) -> None:
    """Write the page of `render_report` to `path`, whole or not at all.

    Raises:
        InvalidInput: There are not as many embeddings as items.
        OSError: The file cannot be written.
    """
    page = render_report(
        evaluation,
        items=items,
        embeddings=embeddings,
        distance=distance,
        card=card,
        check=check,
        title=title,
        warning=warning,
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


def render_report(
    evaluation: Evaluation,
    *,
    items: Items,
    embeddings: np.ndarray,
    distance: Distance,
    card: str = "",
    check: SupportsJson | None = None,
    title: str = "Evaluation",
    warning: str = "",
) -> str:
    """Return the page as HTML.

    Args:
        evaluation: What was found; its positions are positions in `items`.
        items: The evaluated items. Their pictures are read for the grid and the map; those that
            cannot be read are shown as such.
        embeddings: One per item, (N, D).
        distance: What the embeddings were compared with.
        card: Markdown of the artifact's card.
        check: The check of the data set, if one was made.
        title: What was evaluated on what, in one line.
        warning: What makes the figures worth less than they seem, such as classes that training
            saw; shown above everything.

    Raises:
        InvalidInput: There are not as many embeddings as items.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(items):
        raise InvalidInput(
            f"expected one embedding per item, (N, D), got {embeddings.shape} for {len(items)} "
            "items; pass the items that `embed_items` returns"
        )
    sections = _sections(evaluation, items, embeddings, distance)
    told = [] if check is None else [check_section(check.to_json())]
    told += [problem_list(items.problems)]
    sections.append(("check", "The data", "What the check of the items found.", "".join(told)))
    card_text = card_section(card[:_MOST_CARD_CHARACTERS]) if card.strip() else ""
    sections.append(("card", "The card", "What the encoder says about itself.", card_text))
    sections.append(("asked", "What was measured", "", settings_section(evaluation)))
    top = headline(evaluation, shortened(warning, 600))
    return _page(shortened(title, 160), top, [s for s in sections if s[3]])


def _sections(
    evaluation: Evaluation, items: Items, embeddings: np.ndarray, distance: Distance
) -> list[tuple[str, str, str, str]]:
    """Return (anchor, heading, introduction, content) of what shows the evaluation itself."""
    mistakes = mistake_grid(evaluation, items, embeddings, distance)
    mistakes += weakest_classes(evaluation, items)
    return [
        (
            "figures",
            "Figures",
            "Dots are measured values; bars are 95 % intervals from a bootstrap by class.",
            figure_table(evaluation),
        ),
        (
            "groups",
            "Groups",
            "Intervals are clustered by class; a warning is of a difference to all other groups "
            "that is more than chance, corrected for the number of groups. A group without a "
            "warning is not thereby alike.",
            groups_section(evaluation),
        ),
        ("curves", "Error curves", "", curves(evaluation)),
        (
            "distances",
            "Distances",
            "A threshold can only be as good as the gap between the two hills.",
            distances(evaluation),
        ),
        ("radii", "Radii", RADII_WORDS, radii_section(embeddings, distance)),
        (
            "mistakes",
            "The worst mistakes",
            "Items whose closest neighbours are of another class, with their distances.",
            mistakes if len(items) else "",
        ),
        (
            "map",
            "Map of the embedding",
            map_words(distance),
            map_section(items, embeddings, distance),
        ),
    ]


def _page(title: str, top: str, sections: list[tuple[str, str, str, str]]) -> str:
    links = "".join(f'<li><a href="#{anchor}">{name}</a></li>' for anchor, name, _, _ in sections)
    body = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-name">'
        f'<h2 id="{anchor}-name">{escape(name)}</h2>'
        + (f'<p class="soft">{escape(words)}</p>' if words else "")
        + f"{content}</section>"
        for anchor, name, words, content in sections
    )
    style = resources.files("ilk.evaluation.report").joinpath("page.css").read_text("utf-8")
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1>{top}<nav aria-label="Sections"><ul>{links}</ul></nav>'
        f"</header>\n<main>\n{body}\n</main>\n"
        "<footer><p>Written by ilk. A known item is one whose class is enrolled; a stranger is "
        "one whose class is not. This page is complete: it loads and sends nothing.</p></footer>"
        "\n</body>\n</html>\n"
    )
    return _UNPRINTABLE.sub("\ufffd", page)
