"""The open-set protocol's promises: classes apart, items used once, everything from the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.errors import InvalidInput
from ilk.evaluation.protocol import draw_protocol


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.integers(1, 12), min_size=4, max_size=30),
    st.integers(1, 5),
    st.floats(0.1, 0.9),
    st.integers(0, 9),
)
def test_no_class_plays_two_roles(
    sizes: list[int], num_exemplars: int, share: float, seed: int
) -> None:
    ids = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    if max(sizes) <= num_exemplars or round(share * len(sizes)) < 1:
        return
    draw = draw_protocol(ids, num_exemplars=num_exemplars, enrolled_share=share, seed=seed)
    enrolled, strangers = set(ids[draw.exemplars]), set(ids[draw.strangers])
    assert set(ids[draw.mated]) == enrolled
    assert not enrolled & strangers
    assert enrolled | strangers == set(ids)
    halves = [set(ids[draw.strangers[draw.half == half]]) for half in (0, 1)]
    assert not halves[0] & halves[1]
    assert all(halves)
    everything = np.concatenate([draw.exemplars, draw.mated, draw.strangers])
    assert sorted(everything) == list(range(len(ids)))
    counts = np.bincount(ids[draw.exemplars], minlength=len(sizes))
    assert set(counts[list(enrolled)]) == {num_exemplars}
    assert np.all(np.diff(ids[draw.exemplars]) >= 0)
    assert draw.num_enrolled == len(enrolled) <= round(share * len(sizes))


def test_the_seed_decides() -> None:
    ids = np.repeat(np.arange(20), 8)
    first, again, other = (draw_protocol(ids, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.exemplars, again.exemplars)
    np.testing.assert_array_equal(first.half, again.half)
    assert set(ids[first.exemplars]) != set(ids[other.exemplars])


def test_probes_of_an_exemplars_group_can_be_left_out() -> None:
    ids = np.repeat(np.arange(10), 6)
    groups = [f"burst {i // 2}" for i in range(60)]
    draw = draw_protocol(ids, num_exemplars=2, groups=groups)
    used = {groups[i] for i in draw.exemplars}
    assert not used & {groups[i] for i in draw.mated}
    assert draw.num_same_group > 0
    assert len(draw.mated) + draw.num_same_group == 5 * 4
    nobody = draw_protocol(ids, num_exemplars=2, groups=[None] * 60)
    assert nobody.num_same_group == 0


def test_too_little_is_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match="more than 5 items and two further"):
        draw_protocol(np.repeat(np.arange(10), 5))
    with pytest.raises(InvalidInput, match="got 2 classes"):
        draw_protocol(np.repeat(np.arange(2), 9))
    with pytest.raises(InvalidInput, match="at least 1 exemplar"):
        draw_protocol(np.repeat(np.arange(9), 9), num_exemplars=0)
    with pytest.raises(InvalidInput, match="shares a group"):
        draw_protocol(np.repeat(np.arange(9), 9), groups=["one"] * 81)


def test_strangers_may_be_those_of_whom_there_is_little() -> None:
    """Six classes of 8 items, three of 4, five of 1: the middle ones are in neither part."""
    sizes = [8] * 6 + [4] * 3 + [1] * 5
    ids = np.repeat(np.arange(14), sizes)
    draw = draw_protocol(ids, num_exemplars=5, max_stranger_items=1, seed=3)
    assert draw.num_enrolled == 6
    assert len(draw.exemplars) == 30
    assert set(ids[draw.mated]) == set(range(6))
    assert len(draw.mated) == 18
    assert ids[draw.strangers].tolist() == [9, 10, 11, 12, 13]
    assert sorted(np.bincount(draw.half).tolist()) == [2, 3]
    wider = draw_protocol(ids, num_exemplars=5, max_stranger_items=5, seed=3)
    assert set(ids[wider.strangers]) == set(range(6, 14))
    # by default singletons are strangers like all that are not drawn
    usual = draw_protocol(ids, num_exemplars=5, enrolled_share=0.2, seed=3)
    assert usual.num_enrolled == 3
    assert len(set(ids[usual.strangers])) == 11


def test_strangers_of_too_many_items_and_too_few_strangers_are_refused() -> None:
    ids = np.repeat(np.arange(6), 8)
    with pytest.raises(InvalidInput, match="at most 1 to 5 items, as a class of more is enrolled"):
        draw_protocol(ids, num_exemplars=5, max_stranger_items=6)
    with pytest.raises(InvalidInput, match="two further classes of at most 2 items, got 6 classes"):
        draw_protocol(ids, num_exemplars=5, max_stranger_items=2)
