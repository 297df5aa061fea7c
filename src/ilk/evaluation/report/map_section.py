"""The map of the embedding: points of the most frequent classes in colour, some with pictures."""

from __future__ import annotations

from html import escape

import numpy as np

from ilk.distances import Distance, Hyperbolic
from ilk.evaluation.report.pictures import data_uri, pixels, thumbnail
from ilk.evaluation.report.projection import neighbor_map, poincare_map, poincare_radius
from ilk.evaluation.report.svg import element, text
from ilk.evaluation.report.wording import shortened
from ilk.items import Item, Items

__all__ = ["map_section", "map_words"]

_MOST_POINTS = 1000
_MOST_PICTURES = 70
_NUM_COLOURED = 8
_WIDTH, _HEIGHT, _MARGIN = 960.0, 640.0, 26.0
_THUMB = 38.0
_SHAPES = (
    "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z",
    "M-4.4-4.4H4.4V4.4H-4.4Z",
    "M0-5.6L5.4 4H-5.4Z",
    "M0-6L6 0L0 6L-6 0Z",
    "M0 5.6L5.4-4H-5.4Z",
    "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    "M0-6L1.8-1.8L6 0L1.8 1.8L0 6L-1.8 1.8L-6 0L-1.8-1.8Z",
    "M-6 0L-3-5.2H3L6 0L3 5.2H-3Z",
)


def map_words(distance: Distance) -> str:
    """Return how to read the map."""
    if isinstance(distance, Hyperbolic):
        return (
            "The Poincaré disc: how far a mark lies from the centre is the true distance of its "
            "embedding from the origin (the rings; the outermost is the longest allowed). Its "
            "angle comes from the two main directions. Point at a mark to read its label."
        )
    return (
        "Neighbours on the map are neighbours in the embedding. How far apart groups lie, and how "
        "large they are, says little. Point at a mark to read its label."
    )


def map_section(items: Items, embeddings: np.ndarray, distance: Distance, *, seed: int = 0) -> str:
    """Return the map as a figure with its legend, or nothing where there are no items."""
    if not len(items):
        return ""
    rng = np.random.default_rng(seed)
    coloured = _frequent_classes(items)
    rows = _sample(items, coloured, rng)
    colour = {class_id: i for i, class_id in enumerate(coloured)}
    kinds = [colour.get(int(items.class_ids[row])) for row in rows]
    if isinstance(distance, Hyperbolic):
        positions, behind = _in_disc(poincare_map(embeddings[rows], distance), distance)
    else:
        positions, behind = _on_page(neighbor_map(embeddings[rows], distance, seed=seed)), ""
    points = [
        _point(items.items[row], kind, x, y)
        for row, kind, (x, y) in sorted(
            zip(rows, kinds, positions, strict=True), key=lambda p: p[1] is not None
        )
    ]
    content = behind + "".join(points)
    content += _pictures(items.take(rows), kinds, positions, rng)
    drawing = element(
        "svg",
        f"<title>Map of {len(rows):,} embeddings</title>{content}",
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="chart",
    )
    return f'<figure class="map">{drawing}{_legend(items, coloured, len(rows))}</figure>'


def _frequent_classes(items: Items) -> list[int]:
    """Return the ids of the most frequent classes; among equals, evenly spread by name."""
    sizes = np.bincount(items.class_ids, minlength=len(items.classes))
    order = np.lexsort((np.arange(len(sizes)), -sizes))
    wanted = min(_NUM_COLOURED, len(order))
    last = sizes[order[wanted - 1]]
    above = [int(i) for i in order if sizes[i] > last]
    equal = [int(i) for i in order if sizes[i] == last]
    missing = wanted - len(above)
    spread = np.linspace(0, len(equal) - 1, missing).round().astype(int)
    return above + [equal[i] for i in spread]


def _sample(items: Items, coloured: list[int], rng: np.random.Generator) -> np.ndarray:
    """Return the rows to draw: those of the coloured classes first, up to half of the map."""
    everything = rng.permutation(len(items))
    is_coloured = np.isin(items.class_ids[everything], coloured)
    first = everything[is_coloured][: _MOST_POINTS // 2]
    others = everything[~is_coloured][: _MOST_POINTS - len(first)]
    return np.sort(np.concatenate([first, others]))


def _on_page(positions: np.ndarray) -> np.ndarray:
    low = positions.min(0)
    spread = np.maximum(np.ptp(positions, 0), 1e-12)
    inner = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    centred = np.where(np.ptp(positions, 0) > 0, (positions - low) / spread, 0.5)
    return _MARGIN + centred * inner


def _in_disc(positions: np.ndarray, distance: Hyperbolic) -> tuple[np.ndarray, str]:
    """Return positions on the page, and rings at whole distances from the origin."""
    centre = np.array([_WIDTH / 2, _HEIGHT / 2])
    outermost = poincare_radius(distance.max_radius, distance)
    scale = (_HEIGHT / 2 - _MARGIN / 2) / outermost
    step = max(1, round(distance.max_radius / 5))
    rings = [(float(t), "ring") for t in np.arange(step, distance.max_radius, step)]
    parts = []
    for length, kind in [*rings, (distance.max_radius, "rim")]:
        r = scale * poincare_radius(length, distance)
        parts.append(element("circle", cx=centre[0], cy=centre[1], r=r, class_=kind))
        parts.append(
            text(f"{length:g}", centre[0] + r * 0.71 + 6, centre[1] + r * 0.71, class_="tick")
        )
    return centre + positions * scale, "".join(parts)


def _point(item: Item, kind: int | None, x: float, y: float) -> str:
    if kind is None:
        mark = element("circle", r=3.4, class_="rest")
    else:
        mark = element("path", d=_SHAPES[kind], class_=f"mark c{kind}")
    return element("g", _spoken(item) + mark, transform=f"translate({x:.1f} {y:.1f})")


def _pictures(
    items: Items, kinds: list[int | None], positions: np.ndarray, rng: np.random.Generator
) -> str:
    """Return pictures beside some of the points, coloured classes first, none over another."""
    order = sorted(rng.permutation(len(items)), key=lambda i: kinds[i] is None)
    centres: list[np.ndarray] = []
    drawn: list[str] = []
    for i in order:
        centre = _free_place(positions[i], positions, centres)
        if centre is None:
            continue
        picture = pixels(items.items[i])
        if picture is None:
            continue
        centres.append(centre)
        drawn.append(_mounted(items.items[i], picture, kinds[i], centre, positions[i]))
        if len(drawn) == _MOST_PICTURES:
            break
    return "".join(drawn)


def _free_place(
    point: np.ndarray, points: np.ndarray, centres: list[np.ndarray]
) -> np.ndarray | None:
    """Return where a picture of `point` hides the fewest points and no picture, or None."""
    angles = np.arange(12) * (np.pi / 6)
    around = point + 0.95 * _THUMB * np.column_stack([np.cos(angles), np.sin(angles)])
    half = _THUMB / 2 + 4
    is_inside = ((around > half) & (around < (_WIDTH - half, _HEIGHT - half))).all(1)
    if centres:
        apart = np.abs(around[:, None] - np.array(centres)).max(2)
        is_inside &= (apart > _THUMB + 6).all(1)
    if not is_inside.any():
        return None
    around = around[is_inside]
    hidden = (np.abs(around[:, None] - points).max(2) < half).sum(1)
    return around[hidden.argmin()]


def _mounted(
    item: Item, picture: np.ndarray, kind: int | None, centre: np.ndarray, point: np.ndarray
) -> str:
    x, y = centre - _THUMB / 2
    colour = "" if kind is None else f" c{kind}"
    lead = element(
        "line", x1=point[0], y1=point[1], x2=centre[0], y2=centre[1], class_=f"lead{colour}"
    )
    mount = element(
        "rect", x=x - 1, y=y - 1, width=_THUMB + 2, height=_THUMB + 2, rx=4, class_=f"mount{colour}"
    )
    uri = data_uri(thumbnail(picture, int(_THUMB * 2)))
    image = element("image", href=uri, x=x, y=y, width=_THUMB, height=_THUMB)
    return element("g", _spoken(item) + lead + mount + image)


def _spoken(item: Item) -> str:
    label, name = shortened(item.label, 80), shortened(item.name, 80)
    return element("title", escape(f"{label} ({name})"))


def _legend(items: Items, coloured: list[int], num_points: int) -> str:
    entries = [
        f'<li><svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">'
        f'<path d="{_SHAPES[i]}" class="mark c{i}"/></svg>'
        f"<bdi>{escape(shortened(items.classes[class_id], 60))}</bdi></li>"
        for i, class_id in enumerate(coloured)
    ]
    others = len(items.classes) - len(coloured)
    if others:
        entries.append(f'<li class="soft">grey: {others:,} further classes</li>')
    if num_points < len(items):
        entries.append(f'<li class="soft">{num_points:,} of {len(items):,} items drawn</li>')
    return f'<ul class="legend">{"".join(entries)}</ul>'
