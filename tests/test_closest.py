"""The distance of a class against a brute force over all rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.closest import EXEMPLAR, IGNORE, NOT, Members, closest_classes
from ilk.distances import Cosine, Euclidean
from ilk.evaluation.identification import answer
from ilk.evaluation.protocol import draw_protocol
from ilk.searcher import ScanSearcher, Searcher
from ilk.searchers.exact import ExactSearcher

Row = tuple[int, int, int]
"""Place on the line, class id, role."""


def brute_force(
    rows: list[Row], probe: int, num_classes: int, except_class: int
) -> list[tuple[int, float, int]]:
    """(class, distance, row id) of the closest classes, by the words of the definition."""
    found = []
    for class_id in {c for _, c, role in rows if role == EXEMPLAR} - {except_class}:
        distance, row = min(
            (float(abs(x - probe)), i)
            for i, (x, c, role) in enumerate(rows)
            if role == EXEMPLAR and c == class_id
        )
        bars = [x for x, c, role in rows if role == IGNORE or (role == NOT and c == class_id)]
        if all(abs(x - probe) > distance for x in bars):
            found.append((distance, row, class_id))
    return [(c, distance, row) for distance, row, c in sorted(found)[:num_classes]]


def fill(rows: list[Row], searcher: Searcher) -> Members:
    members = Members()
    ids = np.arange(len(rows))
    searcher.put(ids, np.array([[x] for x, _, _ in rows], np.float32).reshape(-1, 1))
    members.put(
        ids,
        np.array([c for _, c, _ in rows], np.int64),
        np.array([role for *_, role in rows], np.int8),
    )
    return members


def row(roles: list[int]) -> st.SearchStrategy[Row]:
    def make(x: int, c: int, role: int) -> Row:
        return x, -1 if role == IGNORE else c, role

    return st.builds(make, st.integers(-6, 6), st.integers(0, 5), st.sampled_from(roles))


@given(
    st.one_of(
        st.lists(row([EXEMPLAR]), max_size=120),
        st.lists(row([EXEMPLAR] * 5 + [NOT]), max_size=120),
        st.lists(row([EXEMPLAR] * 9 + [NOT, IGNORE]), max_size=120),
    ),
    st.lists(st.tuples(st.integers(-7, 7), st.integers(-1, 5)), max_size=4),
    st.integers(1, 7),
)
@settings(deadline=None, max_examples=300)
def test_the_definition(rows: list[Row], asked: list[tuple[int, int]], num_classes: int) -> None:
    searcher = ExactSearcher(Euclidean(), 1)
    members = fill(rows, searcher)
    probes = np.array([[p] for p, _ in asked], float).reshape(-1, 1)
    except_class = np.array([c for _, c in asked], np.int64)
    found = closest_classes(searcher, members, probes, num_classes, except_class=except_class)
    for at, (probe, excepted) in enumerate(asked):
        expected = brute_force(rows, probe, num_classes, excepted)
        padding = [(-1, np.inf, -1)] * (num_classes - len(expected))
        columns = (found.class_ids[at], found.distances[at], found.rows[at])
        assert list(zip(*(c.tolist() for c in columns), strict=True)) == expected + padding


def test_a_bar_beyond_what_was_fetched_still_counts() -> None:
    """Forty rows of a class at one distance come before the "not" row, which is at the same."""
    rows: list[Row] = [(1, 0, EXEMPLAR)] * 40 + [(-1, 0, NOT), (5, 1, EXEMPLAR)]
    searcher = ScanSearcher(Euclidean(), 1)
    members = fill(rows, searcher)
    for num_classes, expected in ((1, [1]), (2, [1, -1])):
        found = closest_classes(searcher, members, np.zeros((1, 1)), num_classes)
        assert found.class_ids.tolist() == [expected]


def test_no_rows_and_no_probes() -> None:
    searcher = ScanSearcher(Euclidean(), 2)
    nobody = closest_classes(searcher, Members(), np.zeros((2, 2)), 3)
    assert nobody.class_ids.tolist() == [[-1] * 3] * 2
    assert np.isinf(nobody.distances).all()
    searcher.put(np.array([0]), np.ones((1, 2), np.float32))
    assert closest_classes(searcher, Members(), np.zeros((0, 2)), 3).rows.shape == (0, 3)


def test_evaluation_and_gallery_agree() -> None:
    """What evaluation answers is what a gallery of the same exemplars answers, tied or not."""
    rng = np.random.default_rng(0)
    class_ids = np.repeat(np.arange(20), 8)
    embeddings = rng.normal(size=(20, 6))[class_ids] + rng.normal(size=(160, 6))
    embeddings[::16] = embeddings[3]
    embeddings = embeddings.astype(np.float32)
    draw = draw_protocol(class_ids, num_exemplars=3)
    answers = answer(embeddings, class_ids, Cosine(), draw)
    searcher, members = ExactSearcher(Cosine(), 6), Members()
    searcher.put(draw.exemplars, embeddings[draw.exemplars])
    members.put(draw.exemplars, class_ids[draw.exemplars], np.zeros(len(draw.exemplars), np.int8))
    found = closest_classes(searcher, members, embeddings[answers.probe], 12)
    assert found.distances[:, 0].tolist() == answers.distance.tolist()
    for at, probe in enumerate(answers.probe):
        tied = found.class_ids[at][found.distances[at] == answers.distance[at]].tolist()
        assert answers.closest[at] == min(tied)
        assert answers.found[at] == (class_ids[probe] in tied) / len(tied)
