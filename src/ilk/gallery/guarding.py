"""The guard: look at what is to be enrolled before it is kept.

Shapes: N items, n of them looked at, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.closest import Members, closest_classes
from ilk.errors import NotCalibrated
from ilk.gallery.enrolling import Candidates
from ilk.gallery.state import State
from ilk.labels import difference, has_invisible, look_of
from ilk.plugins import load
from ilk.searcher import Searcher
from ilk.thresholds import within

__all__ = ["guard_reasons"]

_MOST_TOGETHER = 5000
"""More items of one call than this are compared with what is enrolled alone."""

_OTHERS = 2
"""A class shows who is an outlier of it by so many others."""


def guard_reasons(state: State, asked: Candidates) -> list[str]:
    """Return for each item what speaks against enrolling it, "" for nothing.

    - Its label is new, and looks like that of another class, or holds what cannot be seen.
    - It is closer to another class than to its own, and that other class is within the threshold.
      If there is nothing else of its class, an enrolled class within the threshold is enough.
    - It is an outlier: its class has at least two others, and none is within the threshold.
    - It takes a class of strangers out of the calibration, and too few would be left for the rate.

    Its own class and the others are what is enrolled and what is in the same call (of up to 5,000
    items). It costs one search per item, and only labels are looked at as long as the gallery is
    not calibrated.
    """
    looked_at = [i for i, refused in enumerate(asked.refused) if not refused]
    if asked.role != "exemplar" or not looked_at:
        return [""] * len(asked)
    of_labels = _of_labels(state, dict.fromkeys(asked.labels[i] or "" for i in looked_at))
    reasons = _of_distances(state, asked, looked_at)
    for i in looked_at:
        reasons[i] = "; ".join(filter(None, (of_labels.get(asked.labels[i] or ""), reasons[i])))
    return reasons


def _of_labels(state: State, labels: Iterable[str]) -> dict[str, str]:
    """Return what is odd about new labels, by label; of two alike, of the later."""
    known = set(state.labels.values())
    new = [label for label in labels if label not in known]
    wanted = {look_of(label) for label in new}
    looks = {look: label for label in known if new and (look := look_of(label)) in wanted}
    odd: dict[str, str] = {}
    for label in new:
        other = looks.setdefault(look_of(label), label)
        if other != label:
            by = difference([label, other])
            odd[label] = f"its label {label!a} and that of class {other!a} differ by {by} only"
        elif has_invisible(label):
            odd[label] = f"its label {label!a} has characters that cannot be seen"
    return odd


def _of_distances(state: State, asked: Candidates, looked_at: list[int]) -> list[str]:
    """Return what speaks against each item of the call by where it lies."""
    reasons = [""] * len(asked)
    labels = [asked.labels[i] or "" for i in looked_at]
    _guard_strangers(state, asked, looked_at, labels, reasons)
    try:
        limit = state.threshold.value
    except NotCalibrated:
        return reasons
    probes = asked.embeddings[looked_at]
    known = {label: class_id for class_id, label in state.labels.items()}
    own = np.array([known.get(label, -1) for label in labels], np.int64)
    live = state.live
    enrolled = _sides(live.searcher, live.members, probes, own, len(state.labels))
    sizes = np.array([live.sizes[int(class_id)] for class_id in own], np.int64)
    together, more, names = _in_this_call(state, asked, looked_at, labels)
    mine = np.minimum(enrolled.mine, together.mine)
    num_own = sizes + more
    for at, i in enumerate(looked_at):
        if reasons[i]:
            continue
        rival, other = state.labels.get(int(enrolled.rivals[at]), ""), float(enrolled.others[at])
        if num_own[at] and together.others[at] < other:
            rival, other = names[int(together.rivals[at])], float(together.others[at])
        if within(other, limit) and other < mine[at]:
            than = (
                "closer than to its own class"
                if num_own[at]
                else f"within the threshold {limit:.4g}, and nothing else is of its own class"
            )
            reasons[i] = f"it is at {other:.4g} from {rival!r}, {than}"
        elif num_own[at] >= _OTHERS and not within(mine[at], limit):
            reasons[i] = f"it is an outlier: nothing of its class is within {limit:.4g}"
    return reasons


def _guard_strangers(
    state: State, asked: Candidates, looked_at: list[int], labels: list[str], reasons: list[str]
) -> None:
    contents = [asked.content_hashes[i] for i in looked_at]
    missing = state.shortage(labels, contents)
    if missing and state.probes is not None:
        for i, is_out in zip(looked_at, state.probes.is_taken_out(labels, contents), strict=True):
            reasons[i] = missing if is_out else ""


@final
@dataclass(frozen=True, eq=False)
class _Sides:
    """The distances to an item's own class and to the closest other, (n,).

    Its own counts as infinitely far where two others are closer.
    """

    mine: np.ndarray
    others: np.ndarray
    rivals: np.ndarray
    """The closest other class, -1 for none."""


def _sides(
    searcher: Searcher,
    members: Members,
    probes: np.ndarray,
    own: np.ndarray,
    num_classes: int,
    except_row: np.ndarray | None = None,
) -> _Sides:
    """Compare items with their own class (n,), -1 for none, and with the others.

    The closest two classes tell it, unless both are at the same distance: its own may then be a
    third at that distance, and all `num_classes` are looked at.
    """
    found = closest_classes(searcher, members, probes, 2, except_row=except_row)
    is_own = (found.class_ids == own[:, None]) & (own[:, None] >= 0)
    mine = np.where(is_own, found.distances, np.inf).min(1)
    column = is_own[:, 0].astype(np.int64)  # the first, unless that is its own
    is_tie = (found.distances[:, 0] == found.distances[:, 1]) & np.isfinite(found.distances[:, 0])
    asked = np.flatnonzero(is_tie & (own >= 0) & ~is_own.any(1))
    if len(asked) and num_classes > found.class_ids.shape[1]:
        rows = None if except_row is None else except_row[asked]
        all_of_them = closest_classes(
            searcher, members, probes[asked], num_classes, except_row=rows
        )
        is_own = all_of_them.class_ids == own[asked, None]
        mine[asked] = np.where(is_own, all_of_them.distances, np.inf).min(1)
    at = np.arange(len(own))
    return _Sides(mine, found.distances[at, column], found.class_ids[at, column])


def _in_this_call(
    state: State, asked: Candidates, looked_at: Sequence[int], labels: Sequence[str]
) -> tuple[_Sides, np.ndarray, list[str]]:
    """Compare items with the others of the call; what has the same content is one item.

    Returns:
        The sides; how many others of the call are of the same class, (n,); the labels by the ids
        that stand for them here.
    """
    n = len(looked_at)
    names = list(dict.fromkeys(labels))
    if n > _MOST_TOGETHER or n < 2:
        far = np.full(n, np.inf)
        return _Sides(far, far, np.full(n, -1)), np.zeros(n, np.int64), names
    number = {name: at for at, name in enumerate(names)}
    own = np.array([number[label] for label in labels], np.int64)
    seen: dict[str, int] = {}
    first = np.array(
        [seen.setdefault(asked.content_hashes[i], at) for at, i in enumerate(looked_at)]
    )
    rows, probes = np.unique(first), asked.embeddings[looked_at]
    binding, members = state.binding, Members()
    searcher: Searcher = load("searchers", "exact")(binding.distance, binding.embedding_size)
    searcher.put(rows, probes[rows])
    members.put(rows, own[rows], np.zeros(len(rows), np.int8))
    others = np.bincount(own[rows], minlength=len(names))[own] - (own[first] == own)
    return _sides(searcher, members, probes, own, len(names), first), others, names
