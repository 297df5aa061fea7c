"""After any sequence of changes a gallery answers as one that is opened anew, to the last bit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.distances import Euclidean
from ilk.errors import IlkError, NotCalibrated
from ilk.gallery import Binding, Gallery

LABELS = st.sampled_from(["a", "b", "c", "d", "s0", "s1", "s2"])
PLACES = st.integers(0, 6).map(float)
ROWS = st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=4)
SEEDS = st.integers(0, 3)
PROBES = np.array([(x, y) for x in range(0, 8, 2) for y in range(0, 8, 3)], float)


def contents(seed: int, rows: Any) -> list[str] | None:
    """No hashes, or some that other calls give, too."""
    return None if seed == 0 else [f"{int(seed * x + y) % 9:064x}" for x, y in rows]


def enroll(gallery: Gallery, label: str, rows: Any, seed: int) -> None:
    gallery.enroll(label, np.array(rows), content_hashes=contents(seed, rows), guard="off")


def calibrate(gallery: Gallery, seed: int, is_grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 12, (24, 2)).astype(float)
    groups = [f"s{i % 8}" for i in range(24)] if is_grouped else None
    hashes = contents(seed, rows)
    gallery.calibrate(0.3, strangers=rows, groups=groups, content_hashes=hashes)


def remove_one(gallery: Gallery, seed: int) -> None:
    rows = gallery.exemplars()
    gallery.remove_exemplars([rows[seed % len(rows)].id] if rows else [1])


CHANGES: list[tuple[Callable[..., Any], tuple[st.SearchStrategy[Any], ...]]] = [
    (enroll, (LABELS, ROWS, SEEDS)),
    (enroll, (LABELS, ROWS, SEEDS)),
    (calibrate, (SEEDS, st.booleans())),
    (lambda g: g.calibrate(0.6, basis="leave-one-out"), ()),
    (lambda g, label: g.remove(label), (LABELS,)),
    (remove_one, (SEEDS,)),
    (lambda g, label, into: g.merge(label, into), (LABELS, LABELS)),
    (lambda g, label, other: g.rename(label, other), (LABELS, LABELS)),
    (lambda g: g.undo(), ()),
    (lambda g, label: g.erase(label), (LABELS,)),
]


def what_it_says(gallery: Gallery) -> Any:
    try:
        threshold = gallery.threshold
    except NotCalibrated as error:
        return str(error)
    answers = [
        (a.decision, a.label, a.p_value, a.reason, a.candidates) for a in gallery.identify(PROBES)
    ]
    together = gallery.identify_set(PROBES[:3])
    return threshold, answers, (together.decision, together.p_value, together.reason)


@settings(max_examples=40)
@given(st.data())
def test_live_and_reopened_are_the_same(data: st.DataObject) -> None:
    binding = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
    with (
        tempfile.TemporaryDirectory() as folder,
        Gallery.create(Path(folder) / "g", binding) as gallery,
    ):
        for _ in range(data.draw(st.integers(2, 8))):
            change, arguments = CHANGES[data.draw(st.integers(0, len(CHANGES) - 1))]
            try:
                change(gallery, *(data.draw(argument) for argument in arguments))
            except IlkError:
                continue  # refused, and nothing was changed
            with Gallery.open(Path(folder) / "g") as anew:
                assert what_it_says(anew) == what_it_says(gallery)
