"""From pictures to embeddings, with a count of those that give none.

ISO/IEC 19795-1 tells failures apart from errors of comparing: the failure-to-acquire rate (`fta`)
is the share of pictures that give no probe, because nothing was found in them or it was too poor;
the failure-to-enrol rate (`fte`) is the share of classes of which no picture does. FMR, FNMR, EER
and the retrieval figures are about what was compared.

Shapes: N pictures, n of them with an embedding, D embedding size, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from ilk.detecting import Choice, chosen, sight
from ilk.detector import Detector
from ilk.embedding import Embedded, EmbeddingCache, embed_items
from ilk.encoder import Encoder
from ilk.errors import UnreadableItem
from ilk.evaluation.figures import Figure
from ilk.evaluation.shares import Share
from ilk.items import Item, Items, Problem
from ilk.unreadable import OnUnreadable

__all__ = ["Acquired", "Failure", "acquire", "failure_figures"]


@final
@dataclass(frozen=True, eq=False)
class Failure:
    """A picture that gives no probe."""

    picture: Item
    code: str
    """Why, for machines: "no_face", "several_faces", "too_small", "unreadable", "blank"."""
    reason: str
    """Why, in words."""


@final
@dataclass(frozen=True, eq=False)
class Acquired:
    """What pictures gave: an embedding each, or a failure."""

    pictures: Items
    """All N."""
    embedded: Embedded
    """The n, in the order of their pictures; its problems name the failures, too."""
    position: np.ndarray
    """Of each embedding its picture's in `pictures`, (n,) int64."""
    failures: tuple[Failure, ...]

    @property
    def codes(self) -> dict[str, int]:
        """How many failures there are of each code."""
        return dict(sorted(Counter(failure.code for failure in self.failures).items()))


def acquire(
    encoder: Encoder,
    detector: Detector,
    pictures: Items,
    *,
    choice: Choice = "only",
    batch_size: int = 64,
    on_unreadable: OnUnreadable = "skip",
    cache: EmbeddingCache | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Acquired:
    """Detect and embed each picture once.

    Args:
        encoder: What embeds.
        detector: What finds the region that counts.
        pictures: One probe is wanted of each.
        choice: Of several regions in a picture: none ("only") or the largest.
        batch_size: Items per call of the encoder.
        on_unreadable: "stop" raises at a file that cannot be read; a picture in which nothing is
            found is a failure all the same.
        cache: Looked up before embedding, and added to.
        progress: Called with a stage, the pictures done and in all.

    Raises:
        UnreadableItem: A file cannot be read and `on_unreadable` is "stop".
    """
    found: dict[int, Item] = dict(enumerate(pictures.items))
    failures: dict[int, Failure] = {}
    if not detector.is_whole:
        found, failures = _crops(detector, pictures, choice, on_unreadable, progress)
    probes = Items(tuple(found.values()), origin=pictures.origin)
    embedded = embed_items(
        encoder,
        probes,
        batch_size=batch_size,
        on_unreadable=on_unreadable,
        cache=cache,
        progress=None if progress is None else lambda done, of: progress("Embedding", done, of),
    )
    kept = {id(item) for item in embedded.items.items}
    lost = [place for place, item in found.items() if id(item) not in kept]
    for place, problem in zip(lost, embedded.items.problems, strict=True):
        failures[place] = Failure(pictures.items[place], problem.code, problem.reason)
    told = tuple(failures[place] for place in sorted(failures))
    problems = tuple(Problem(f.picture.name, f.reason) for f in told)
    items = replace(embedded.items, problems=(*pictures.problems, *problems))
    position = np.array([p for p in found if p not in failures], np.int64)
    return Acquired(pictures, replace(embedded, items=items), position, told)


def failure_figures(acquired: Acquired) -> tuple[Figure, ...]:
    """Return "fta", of pictures, and "fte", of classes; nothing where there are no failures."""
    if not acquired.failures:
        return ()
    ids, num_classes = acquired.pictures.class_ids, len(acquired.pictures.classes)
    is_lost = np.ones(len(ids))
    is_lost[acquired.position] = 0.0
    is_lost_class = np.bincount(ids, 1 - is_lost, minlength=num_classes) == 0
    told = ", ".join(f"{code} {count:,}" for code, count in acquired.codes.items())
    fta, fte = Share.of(is_lost, ids), Share.of(is_lost_class, np.arange(num_classes))
    return (
        Figure("fta", fta.value, *fta.interval(), len(ids), num_classes, f"no probe: {told}"),
        Figure("fte", fte.value, *fte.interval(), num_classes, num_classes, "no usable picture"),
    )


def _crops(
    detector: Detector,
    pictures: Items,
    choice: Choice,
    on_unreadable: OnUnreadable,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[dict[int, Item], dict[int, Failure]]:
    """Return by position what is cut out of each picture, or why nothing is."""
    found: dict[int, Item] = {}
    failures: dict[int, Failure] = {}
    stage = None if progress is None else lambda done, of: progress("Detecting", done, of)
    for place, sightings in enumerate(sight(detector, pictures.items, progress=stage)):
        picture, meant = pictures.items[place], chosen(sightings, choice, noun=detector.noun)[0]
        if meant.crop is not None:
            found[place] = replace(meant.crop, name=picture.name)
        elif meant.code == "unreadable" and on_unreadable == "stop":
            raise UnreadableItem(f"{picture.name}: {meant.reason}")
        else:
            failures[place] = Failure(picture, meant.code, meant.reason)
    return found, failures
