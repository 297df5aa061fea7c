"""Templates: what a class is matched by."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput
from ilk.templates import Templates

DISTANCES = [Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=4.0)]


@pytest.mark.parametrize("text", ["every", "mean", "medoids:3"])
def test_reads_what_it_writes(text: str) -> None:
    assert str(Templates.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "median", "medoids", "medoids:0", "medoids:-1", "mean:2", "medoids:²"]
)
def test_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(InvalidInput, match="templates must be 'every', 'mean' or 'medoids:k'"):
        Templates.parse(text)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_the_mean_is_no_worse_a_middle_than_any_neighbor(distance: Distance) -> None:
    """It minimises the sum of squared chords of the geometry; small steps away cannot help."""
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(7, 3)) + 1.5).astype(np.float32)
    ids, middle = Templates("mean").make(np.arange(5, 12), rows, distance)
    assert ids.tolist() == [5]

    def cost(point: np.ndarray) -> float:
        far = distance.paired(np.repeat(point[None], 7, 0), rows.astype(np.float64))
        if isinstance(distance, Cosine):
            return float(far.sum())  # 1 - cos is half the squared chord
        if isinstance(distance, Hyperbolic):
            return float((np.cosh(far) - 1).sum())  # the squared Lorentz distance
        return float((far**2).sum())

    best = cost(middle[0].astype(np.float64))
    for step in rng.normal(size=(50, 3)) * 0.02:
        assert cost(middle[0] + step) >= best - 1e-9


def test_a_mean_of_opposites_is_still_a_direction() -> None:
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    _, middle = Templates("mean").make(np.array([1, 2]), rows, Cosine())
    assert np.linalg.norm(middle[0]) == pytest.approx(1)


@given(st.integers(1, 6), st.integers(0, 10_000))
@example(2, 1341)
@settings(max_examples=40, deadline=None)
def test_medoids_lower_the_cost_nearly_as_much_as_the_best_choice(count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(7, 2)).astype(np.float32)
    ids, chosen = Templates("medoids", count).make(np.arange(7), rows, Euclidean())
    assert len(ids) == min(count, 7)
    assert np.array_equal(rows[ids], chosen)
    far = Euclidean().pairwise(*[rows.astype(np.float64)] * 2)
    one = far.sum(0).min()  # the first medoid is the best single one
    best = min(far[:, list(c)].min(1).sum() for c in combinations(range(7), len(ids)))
    greedy = far[:, ids].min(1).sum()
    k = len(ids)
    assert one - greedy >= (1 - (1 - 1 / k) ** (k - 1)) * (one - best) - 1e-9


def test_says_which_exemplars_are_behind_a_template() -> None:
    members = np.array([4, 6, 9])
    assert Templates("mean").exemplars_behind(4, members) == (4, 6, 9)
    assert Templates("every").exemplars_behind(6, members) == (6,)
