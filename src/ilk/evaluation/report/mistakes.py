"""The retrieval grid: the worst mistakes as pictures, and the classes that go wrong most."""

from __future__ import annotations

from html import escape

import numpy as np

from ilk.distances import Distance
from ilk.evaluation.figures import Evaluation, Mistake
from ilk.evaluation.report.pictures import data_uri, pixels, thumbnail
from ilk.evaluation.report.wording import distance_text, percent, shortened
from ilk.items import Item, Items

__all__ = ["mistake_grid", "weakest_classes"]

_MOST_ROWS = 8
_MOST_NEIGHBORS = 6
_SIZE_PIXELS = 144


def mistake_grid(
    evaluation: Evaluation, items: Items, embeddings: np.ndarray, distance: Distance
) -> str:
    """Return the worst mistakes, each a query with its closest items framed right or wrong.

    The last picture of a row is the closest item of the query's own class: what was looked for.
    """
    if not evaluation.mistakes:
        return "<p>No query has a neighbour of another class before those of its own.</p>"
    rows = "".join(
        _row(mistake, items, _closest_mate(mistake.query, items, embeddings, distance))
        for mistake in evaluation.mistakes[:_MOST_ROWS]
    )
    legend = (
        '<ul class="legend"><li><span><b class="wrong">✗ wrong</b>, dashed: another class than the '
        'query</span></li><li><span><b class="right">✓ right</b>, solid: the class of the query; '
        "last in a row is the closest such item, with its rank</span></li></ul>"
    )
    return f'{legend}<ul class="mistakes">{rows}</ul>'


def weakest_classes(evaluation: Evaluation, items: Items, *, largest: int = 8) -> str:
    """Return the classes of lowest MAP@R as a table, or nothing where it was not measured."""
    values = evaluation.per_query.get("map_at_r")
    if values is None or len(values) != len(items):
        return ""
    counted = np.isfinite(values)
    size = np.bincount(items.class_ids[counted], minlength=len(items.classes))
    total = np.bincount(items.class_ids[counted], values[counted], minlength=len(items.classes))
    present = np.flatnonzero(size)
    if len(present) < 2:
        return ""
    mean = total[present] / size[present]
    order = np.argsort(mean, kind="stable")[:largest]
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escape(shortened(items.classes[present[i]], 80))}</bdi></th>'
        f'<td class="number">{percent(float(mean[i]))}</td>'
        f'<td class="number">{size[present[i]]:,}</td></tr>'
        for i in order
    )
    return (
        "<details><summary>Classes that go wrong most</summary>"
        '<div class="scroll"><table><thead><tr><th scope="col">Class</th>'
        '<th scope="col" class="number">MAP@R</th><th scope="col" class="number">Items</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _closest_mate(
    query: int, items: Items, embeddings: np.ndarray, distance: Distance
) -> tuple[int, int, float] | None:
    """Return position, rank and distance of the closest other item of the query's class."""
    distances = distance.pairwise(embeddings[[query]], embeddings)[0]
    order = np.argsort(distances, kind="stable")
    order = order[order != query]
    ranks = np.flatnonzero(items.class_ids[order] == items.class_ids[query])
    if not len(ranks):
        return None
    mate = int(order[ranks[0]])
    return mate, int(ranks[0]) + 1, float(distances[mate])


def _row(mistake: Mistake, items: Items, mate: tuple[int, int, float] | None) -> str:
    query = items.items[mistake.query]
    pairs = list(zip(mistake.neighbors, mistake.distances, strict=True))[:_MOST_NEIGHBORS]
    tiles = [f"<li>{_neighbor(items.items[i], query, d)}</li>" for i, d in pairs]
    if mate is not None and all(items.items[i].label != query.label for i, _ in pairs):
        position, rank, far = mate
        tile = _neighbor(items.items[position], query, far, f"rank {rank:,}")
        tiles.append(f'<li class="sought">{tile}</li>')
    return f"<li>{_query(query)}<ol>{''.join(tiles)}</ol></li>"


def _query(item: Item) -> str:
    return (
        f'<div class="tile query" title="{_title(item)}">'
        f'<span class="frame">{_picture(item, "query")}</span>'
        f'<div><span class="word">query</span>{_label(item)}</div></div>'
    )


def _neighbor(item: Item, query: Item, distance: float, rank: str = "") -> str:
    kind, word = ("right", "✓ right") if item.label == query.label else ("wrong", "✗ wrong")
    return (
        f'<div class="tile {kind}" title="{_title(item)}">'
        f'<span class="frame">{_picture(item, kind)}</span>'
        f'<span class="word">{rank or word}</span> {distance_text(distance)}{_label(item)}</div>'
    )


def _picture(item: Item, role: str) -> str:
    picture = pixels(item)
    words = escape(f"{role}: {shortened(item.label, 60)}")
    if picture is None:
        return f'<span class="unseen" role="img" aria-label="{words}">no picture</span>'
    uri = data_uri(thumbnail(picture, _SIZE_PIXELS))
    return f'<img src="{uri}" alt="{words}" width="98" height="98">'


def _label(item: Item) -> str:
    return f'<bdi class="label">{escape(shortened(item.label, 120))}</bdi>'


def _title(item: Item) -> str:
    return escape(f"{shortened(item.label, 120)} ({shortened(item.name, 120)})")
