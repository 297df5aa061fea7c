"""What is extrapolated to larger galleries holds for galleries that are made so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilk.calibration import (
    StrangerDistances,
    classes_needed,
    fpir_at_size,
    limit_at_size,
    target_at_size,
)
from ilk.errors import InvalidInput, NotEnoughTrials


@given(st.floats(1e-6, 0.9), st.floats(1, 1000))
def test_the_rate_to_ask_for_now_becomes_the_target(target: float, factor: float) -> None:
    assert fpir_at_size(target_at_size(target, factor), factor) == pytest.approx(target, rel=1e-9)


@given(st.floats(0, 1), st.integers(1, 30))
def test_growth_multiplies_the_chances_of_staying_unnamed(fpir: float, factor: int) -> None:
    unnamed = 1.0
    for _ in range(factor):
        unnamed *= 1 - fpir
    assert fpir_at_size(fpir, factor) == pytest.approx(1 - unnamed, abs=1e-12)


def test_small_rates_keep_their_digits() -> None:
    assert fpir_at_size(1e-12, 10) == pytest.approx(1e-11, rel=1e-9)
    assert fpir_at_size(1.0, 3) == 1.0
    assert fpir_at_size(0.0, 3) == 0.0


def test_a_gallery_of_ten_times_the_size_shows_the_extrapolated_rates() -> None:
    """Classes at random: the closest of N is below x with chance 1 - (1 - x)^N."""
    rng = np.random.default_rng(2)
    held, following = [], []
    for _ in range(60):
        now = StrangerDistances(rng.random((2000, 100)).min(1))
        held.append(1 - (1 - now.limit(0.05)) ** 1000)
        following.append(1 - (1 - limit_at_size(now, 0.05, 10)) ** 1000)
    assert np.mean(held) == pytest.approx(fpir_at_size(0.05, 10), abs=0.02)
    assert np.mean(following) == pytest.approx(0.05, abs=0.006)


def test_what_the_strangers_cannot_carry_is_refused_with_the_number_it_takes() -> None:
    needed = classes_needed(target_at_size(0.01, 10))
    assert limit_at_size(StrangerDistances(np.linspace(1, 2, needed)), 0.01, 10) < 1
    with pytest.raises(NotEnoughTrials, match=f"at least {needed} classes of strangers.*add 1$"):
        limit_at_size(StrangerDistances(np.ones(needed - 1)), 0.01, 10)


def test_nonsense_is_refused() -> None:
    for fpir, factor, words in ((-0.1, 2.0, "a rate"), (1.1, 2.0, "a rate"), (0.1, 0.0, "factor")):
        with pytest.raises(InvalidInput, match=words):
            fpir_at_size(fpir, factor)
    with pytest.raises(InvalidInput, match="factor"):
        fpir_at_size(0.1, float("inf"))
