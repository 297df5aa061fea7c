"""The limit for comparisons, against all distances in one array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.calibration import limit_for_fpir
from ilk.distances import Cosine, Euclidean
from ilk.errors import InvalidInput, NotEnoughTrials
from ilk.evaluation.impostor_limit import limit_for_fmr, limit_from_strangers


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.integers(20, 700), st.sampled_from([0.02, 0.1, 0.5]))
def test_it_is_the_conformal_limit_of_all_impostor_comparisons(
    seed: int, num_items: int, fmr: float
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-3, 4, (num_items, 2)).astype(np.float32)  # with many ties
    ids = rng.integers(0, 12, num_items) * 7
    found = limit_from_strangers(points, ids, Euclidean(), fmr, "some points")
    first, second = np.triu_indices(num_items, 1)
    is_impostor = ids[first] != ids[second]
    distances = Euclidean().paired(
        points[first[is_impostor]].astype(np.float64),
        points[second[is_impostor]].astype(np.float64),
    )
    assert found.num_comparisons == len(distances)
    assert found.value == pytest.approx(limit_for_fpir(distances, fmr), abs=1e-12)
    same = limit_for_fmr(distances, fmr, num_classes=12, basis="the same")
    assert same.value == limit_for_fpir(distances, fmr)
    assert (distances <= same.value).mean() <= fmr


@pytest.mark.parametrize("fmr", [0.001, 0.03, 0.4])
def test_a_limit_of_many_blocks_is_that_of_all_distances(fmr: float) -> None:
    rng = np.random.default_rng(2)
    points, ids = rng.normal(size=(900, 3)), rng.integers(0, 50, 900)
    points[600:] *= 0.2  # the closest come last
    first, second = np.triu_indices(900, 1)
    is_impostor = ids[first] != ids[second]
    distances = Cosine().paired(points[first[is_impostor]], points[second[is_impostor]])
    found = limit_from_strangers(points, ids, Cosine(), fmr, "many points")
    assert found.value == pytest.approx(limit_for_fpir(distances, fmr), abs=1e-12)
    near = Euclidean().paired(points[first[is_impostor]], points[second[is_impostor]])
    found = limit_from_strangers(points, ids, Euclidean(), fmr, "many points")
    assert found.value == pytest.approx(limit_for_fpir(near, fmr), abs=1e-12)


def test_too_few_comparisons_are_refused_with_how_many_it_takes() -> None:
    points, ids = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40)
    with pytest.raises(NotEnoughTrials, match="at least 999 impostor comparisons, got 780"):
        limit_from_strangers(points, ids, Cosine(), 0.001, "forty")
    with pytest.raises(NotEnoughTrials, match="got 0"):
        limit_from_strangers(points, np.zeros(40, int), Cosine(), 0.1, "one person")
    with pytest.raises(InvalidInput, match="above 0 and below 1"):
        limit_from_strangers(points, ids, Cosine(), 0.0, "forty")
