"""Equal is accepted, NaN never is."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ilk.thresholds import Threshold, within


def test_equal_is_accepted_and_the_next_number_is_not() -> None:
    assert within(0.3, 0.3)
    assert not within(np.nextafter(0.3, 1), 0.3)
    assert within(0.0, 0.0)


def test_float32_distances_are_not_rounded_towards_the_limit() -> None:
    distance = np.float32(0.3)
    limit = float(np.nextafter(float(distance), 0))
    assert np.float32(limit) == distance
    assert not within(distance, limit)
    assert not within(np.array([distance]), limit).any()
    assert not within(np.array([distance]), np.array([limit])).any()
    assert not within(torch.tensor([0.3]), limit).any()


def test_nan_and_infinity() -> None:
    assert not within(float("nan"), 1.0)
    assert not within(float("nan"), float("inf"))
    assert within(float("inf"), float("inf"))
    assert not within(0.0, float("nan"))


@given(st.lists(st.floats(0, 2), min_size=1), st.floats(0, 2))
def test_arrays_tensors_and_numbers_agree(distances: list[float], limit: float) -> None:
    one_by_one = [within(d, limit) for d in distances]
    assert within(np.array(distances), limit).tolist() == one_by_one
    assert within(torch.tensor(distances, dtype=torch.float64), limit).tolist() == one_by_one
    limits = np.full(len(distances), limit)
    assert within(np.array(distances), limits).tolist() == one_by_one


def test_a_threshold_is_frozen_and_named() -> None:
    threshold = Threshold(
        value=0.4,
        distance={"name": "cosine"},
        target_fpir=0.01,
        num_trials=200,
        basis="validation classes",
        gallery_size=50,
    )
    with pytest.raises(FrozenInstanceError):
        threshold.value = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        Threshold(0.4)  # type: ignore[call-arg]


def test_a_threshold_survives_json() -> None:
    threshold = Threshold(
        value=0.4,
        distance={"name": "cosine"},
        target_fpir=0.01,
        num_trials=200,
        basis="cohort",
        gallery_size=50,
        num_named=1,
        interval=(0.001, 0.03),
        num_classes=40,
    )
    assert Threshold(**json.loads(json.dumps(asdict(threshold)))) == threshold
