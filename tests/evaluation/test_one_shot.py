"""Within-alphabet one-shot error: by hand, chance, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from ilk.distances import Cosine, Euclidean
from ilk.errors import InvalidInput
from ilk.evaluation.one_shot import one_shot


def _drawings(num_alphabets: int, num_characters: int, num_drawers: int) -> tuple[list[str], ...]:
    rows = [
        (f"A{a}/c{c}", f"drawer{d}")
        for a in range(num_alphabets)
        for c in range(num_characters)
        for d in range(num_drawers)
    ]
    return [label for label, _ in rows], [drawer for _, drawer in rows]


def test_a_constant_encoder_scores_chance() -> None:
    labels, drawers = _drawings(3, 20, 4)
    outcome = one_shot(np.ones((len(labels), 5)), labels, drawers, Cosine())
    assert outcome.error == pytest.approx(19 / 20)
    assert outcome.num_trials == 400


def test_an_encoder_of_characters_is_right_and_one_of_drawers_is_not() -> None:
    labels, drawers = _drawings(2, 20, 4)
    characters = np.array([[int(x.rpartition("c")[2]), 1.0] for x in labels])
    assert one_shot(characters, labels, drawers, Euclidean()).error == 0
    of_drawers = np.array([[int(d.removeprefix("drawer")), 1.0] for d in drawers])
    assert one_shot(of_drawers, labels, drawers, Euclidean()).error == pytest.approx(19 / 20)


def test_the_error_is_that_of_a_loop_over_all_runs() -> None:
    rng = np.random.default_rng(3)
    labels, drawers = _drawings(1, 5, 2)
    embeddings = rng.normal(size=(len(labels), 3))
    wrong = []
    for gallery, probes in (("drawer0", "drawer1"), ("drawer1", "drawer0")):
        enrolled = [i for i, d in enumerate(drawers) if d == gallery]
        for i in (i for i, d in enumerate(drawers) if d == probes):
            closest = min(enrolled, key=lambda j: np.linalg.norm(embeddings[i] - embeddings[j]))
            wrong.append(labels[closest] != labels[i])
    many = one_shot(embeddings, labels, drawers, Euclidean(), num_runs=400, num_ways=5)
    assert many.error == pytest.approx(np.mean(wrong), abs=0.05)
    assert many.low <= many.error <= many.high


def test_alphabets_with_too_few_characters_are_left_out_and_none_is_refused() -> None:
    labels, drawers = _drawings(1, 20, 3)
    small, small_drawers = _drawings(1, 4, 3)
    labels += ["Small/" + x for x in small]
    outcome = one_shot(
        np.random.default_rng(0).normal(size=(len(labels), 2)),
        labels,
        drawers + small_drawers,
        Cosine(),
    )
    assert list(outcome.per_alphabet) == ["A0"]
    with pytest.raises(InvalidInput, match="20 characters"):
        one_shot(np.ones((len(small), 2)), small, small_drawers, Cosine())
