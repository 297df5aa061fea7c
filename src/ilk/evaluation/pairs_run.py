"""From a pairs file and pictures to what they show: each picture is looked at and embedded once.

Shapes: P pairs, N pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from ilk.detecting import Choice
from ilk.detector import Detector
from ilk.distances import Distance
from ilk.embedding import EmbeddingCache
from ilk.encoder import Encoder
from ilk.errors import DataError, InvalidInput
from ilk.evaluation.acquisition import Acquired, acquire
from ilk.evaluation.columns import groups_of, no_column
from ilk.evaluation.figures import Evaluation, Figure
from ilk.evaluation.groups import Trials
from ilk.evaluation.impostor_limit import ImpostorLimit, limit_from_strangers
from ilk.evaluation.pairs import Pairs
from ilk.evaluation.pairs_verification import PairsFound, compare_pairs, with_pair_groups
from ilk.evaluation.settings import EvaluationSettings
from ilk.evaluation.shares import Share
from ilk.items import Items
from ilk.words import counted

__all__ = [
    "PairsRun",
    "acquire_pairs",
    "as_evaluation",
    "people_of",
    "run_pairs",
    "strangers_limit",
]


@final
@dataclass(frozen=True, eq=False)
class PairsRun:
    """What a pairs file found, and the pictures that gave no probe."""

    found: PairsFound
    acquired: Acquired
    first: np.ndarray
    """Position of the first picture of each pair in `acquired.pictures`, (P,); -1 is missing."""
    second: np.ndarray
    """Of the second, (P,)."""
    missing: tuple[str, ...]
    """Names in the pairs that no picture has, or several have."""


def acquire_pairs(
    pairs: Pairs,
    pictures: Items,
    encoder: Encoder,
    detector: Detector,
    *,
    choice: Choice = "only",
    batch_size: int = 64,
    cache: EmbeddingCache | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Acquired, np.ndarray, np.ndarray]:
    """Detect and embed the pictures that pairs name.

    Returns:
        What they gave, and the positions in it of both pictures of each pair, (P,); -1 is missing.

    Raises:
        DataError: No pair has both of its pictures.
    """
    first, second = pairs.positions([item.name for item in pictures.items])
    if not ((first >= 0) & (second >= 0)).any():
        example = pictures.items[0].name if len(pictures) else "nothing"
        raise DataError(
            f"none of the {len(pairs):,} pairs has both pictures in {pictures.origin}; the pairs "
            f"name {pairs.first[0]!r}, there is {example!r}; say where they are with --root"
        )
    used = np.unique(np.append(first, second))
    used = used[used >= 0]
    acquired = acquire(
        encoder,
        detector,
        pictures.take(used.tolist()),
        choice=choice,
        batch_size=batch_size,
        cache=cache,
        progress=progress,
    )
    place = np.full(len(pictures) + 1, -1)
    place[used] = np.arange(len(used))
    return acquired, place[first], place[second]


def run_pairs(
    pairs: Pairs,
    acquired: Acquired,
    positions: tuple[np.ndarray, np.ndarray],
    distance: Distance,
    *,
    target_fmr: float = 0.001,
    limit: ImpostorLimit | None = None,
    by: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
) -> PairsRun:
    """Compare pairs of acquired pictures.

    Args:
        pairs: What was asked.
        acquired: As `acquire_pairs` gives it.
        positions: As `acquire_pairs` gives them.
        distance: What closeness means.
        target_fmr: The share of impostor comparisons that may be accepted.
        limit: Chosen for it on strangers; see `compare_pairs`.
        by: Columns of the pairs file or of the pictures' table to tell groups apart by.
        settings: See `compare_pairs`.

    Raises:
        InvalidInput: A column is not there, or has too many groups.
    """
    first, second = positions
    pictures = acquired.pictures
    distances = _distances(acquired, first, second, distance)
    people = _people(pairs, pictures, first, second)
    found = compare_pairs(
        pairs, distances, target_fmr=target_fmr, limit=limit, people=people, settings=settings
    )
    missing = tuple(
        dict.fromkeys(
            name
            for names, ends in ((pairs.first, first), (pairs.second, second))
            for name, at in zip(names, ends, strict=True)
            if at < 0
        )
    )
    fta = _failure_rate(acquired, first, second, people)
    found = replace(
        found,
        figures=(*found.figures, fta),
        counts={
            **found.counts,
            "pictures": len(pictures),
            "pictures_without_probe": len(acquired.failures),
            "pictures_missing": len(missing),
        },
    )
    if by:
        found = _by_columns(found, acquired, first, second, by)
    return PairsRun(found, acquired, first, second, missing)


def strangers_limit(
    strangers: Acquired, of_pairs: Acquired, distance: Distance, pairs: Pairs, fmr: float
) -> ImpostorLimit:
    """Return the limit from all impostor comparisons among strangers.

    People whom the pairs name or show, by their labels, and pictures that they show are left out.

    Raises:
        NotEnoughTrials: What is left is too few for the rate.
    """
    shown = set(of_pairs.embedded.hashes)
    known = people_of(pairs, of_pairs)
    items, hashes = strangers.embedded.items, strangers.embedded.hashes
    is_used = np.array(
        [
            item.label not in known and content not in shown
            for item, content in zip(items.items, hashes, strict=True)
        ],
        bool,
    )
    ids = items.class_ids[is_used]
    left_out = int((~is_used).sum())
    basis = counted(len(np.unique(ids)), "class", "classes")
    basis += f" ({counted(len(ids), 'picture')}) of {items.origin}"
    if left_out:
        basis += f", without {counted(left_out, 'picture')} of people whom the pairs show"
    embeddings = strangers.embedded.embeddings[is_used]
    return limit_from_strangers(embeddings, ids, distance, fmr, basis)


def people_of(pairs: Pairs, acquired: Acquired) -> set[str]:
    """Return whom the pairs name, and the labels of the pictures that they show."""
    return {name for both in pairs.people for name in both} | set(acquired.pictures.labels)


def as_evaluation(run: PairsRun, distance: Distance) -> Evaluation:
    """Return what the pairs found as an evaluation of the pictures that gave a probe."""
    found, items = run.found, run.acquired.embedded.items
    is_there = ~np.isnan(found.distances)
    return Evaluation(
        figures=found.figures,
        curves=found.curves,
        genuine=np.sort(found.distances[is_there & found.pairs.is_same]),
        impostor=np.sort(found.distances[is_there & ~found.pairs.is_same]),
        groups=found.groups,
        counts=found.counts,
        settings={
            "protocol": "lfw",
            "target_fmr": found.target_fmr,
            "limit": None if found.limit is None else found.limit.value,
            "limit_basis": found.basis,
            "distance": distance.settings,
        },
        classes=items.classes,
        class_ids=items.class_ids,
        hashes=run.acquired.embedded.hashes,
    )


def _distances(
    acquired: Acquired, first: np.ndarray, second: np.ndarray, distance: Distance
) -> np.ndarray:
    """Return the distance of each pair, (P,) float64, NaN where a picture gives no probe."""
    row = np.full(len(acquired.pictures) + 1, -1)
    row[acquired.position] = np.arange(len(acquired.position))
    ends = row[first], row[second]
    is_there = (ends[0] >= 0) & (ends[1] >= 0)
    wide = acquired.embedded.embeddings.astype(np.float64)
    distances = np.full(len(first), np.nan)
    distances[is_there] = distance.paired(wide[ends[0][is_there]], wide[ends[1][is_there]])
    return distances


def _people(
    pairs: Pairs, pictures: Items, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return whose both pictures are: by label, if labels agree with every pair, else by pairs."""
    is_known = (first >= 0) & (second >= 0)
    if not is_known.all():
        return pairs.person_ids()
    ids = pictures.class_ids
    agrees = (ids[first] == ids[second]) == pairs.is_same
    return (ids[first], ids[second]) if agrees.all() else pairs.person_ids()


def _failure_rate(
    acquired: Acquired,
    first: np.ndarray,
    second: np.ndarray,
    people: tuple[np.ndarray, np.ndarray],
) -> Figure:
    """Return "fta": the share of the pictures that give no probe."""
    lost, person = _lost(acquired, first, second, people)
    share = Share.of(lost, person)
    told = ", ".join(f"{code} {count:,}" for code, count in acquired.codes.items())
    note = f"no probe: {told}" if told else "every picture gives a probe"
    return Figure("fta", share.value, *share.interval(), len(lost), share.num_classes, note)


def _lost(
    acquired: Acquired,
    first: np.ndarray,
    second: np.ndarray,
    people: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each picture gives no probe, and whose it is, (N,) each."""
    lost = np.ones(len(acquired.pictures))
    lost[acquired.position] = 0.0
    person = np.zeros(len(lost) + 1, np.int64)
    person[first], person[second] = people
    return lost, person[:-1]


def _by_columns(
    found: PairsFound,
    acquired: Acquired,
    first: np.ndarray,
    second: np.ndarray,
    by: Sequence[str],
) -> PairsFound:
    pictures = acquired.pictures.items
    of_pictures = {name for item in pictures for name in item.metadata}
    known = sorted({*found.pairs.metadata, *of_pictures})
    columns: dict[str, Sequence[str]] = {}
    more: dict[str, Trials] = {}
    lost, person = _lost(acquired, first, second, (found.first, found.second))
    for column in by:
        if column not in known:
            raise InvalidInput(no_column(column, known))
        if column in found.pairs.metadata:
            columns[column] = found.pairs.metadata[column]
            continue
        own = [*groups_of(pictures, column), ""]
        both = ((own[a], own[b]) for a, b in zip(first, second, strict=True))
        columns[column] = [a if a == b else "" for a, b in both]
        if acquired.failures:  # else it would be tests that cannot find anything
            more[column] = Trials("fta", lost, own[:-1], person)
    return with_pair_groups(found, columns, more)
