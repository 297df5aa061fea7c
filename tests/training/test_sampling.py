"""The sampler's promises, each as a property over random data sets and settings."""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.errors import InvalidInput
from ilk.training.sampling import BalancedBatchSampler


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=8))
    ids = np.repeat(np.arange(len(sizes)) * 3 - 5, sizes)
    ids = np.random.default_rng(draw(st.integers(0, 99))).permutation(ids)
    options = {
        "classes_per_batch": draw(st.integers(2, len(sizes))),
        "items_per_class": draw(st.integers(1, 5)),
        "num_batches": draw(st.integers(1, 12)),
        "seed": draw(st.integers(0, 5)),
    }
    return ids, options


@settings(deadline=None)
@given(cases())
def test_every_batch_has_p_classes_of_k_items(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    ids, options = case
    batches = list(BalancedBatchSampler(ids, **options))
    assert len(batches) == options["num_batches"]
    for batch in batches:
        counts = Counter(ids[batch].tolist())
        assert len(counts) == options["classes_per_batch"]
        assert set(counts.values()) == {options["items_per_class"]}


@settings(deadline=None)
@given(cases())
def test_items_repeat_in_a_batch_only_where_the_class_is_too_small(
    case: tuple[np.ndarray, dict[str, Any]],
) -> None:
    ids, options = case
    sizes, k = Counter(ids.tolist()), options["items_per_class"]
    for batch in BalancedBatchSampler(ids, **options):
        times = Counter(batch)
        for item, count in times.items():
            size = sizes[int(ids[item])]
            assert count in {k // size, -(-k // size)}, (k, size)


@settings(deadline=None)
@given(cases())
def test_classes_and_items_take_turns(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    ids, options = case
    drawn = Counter(chain.from_iterable(BalancedBatchSampler(ids, **options)))
    turns = {c: sum(drawn[int(i)] for i in np.flatnonzero(ids == c)) for c in np.unique(ids)}
    assert max(turns.values()) - min(turns.values()) <= options["items_per_class"]
    k = options["items_per_class"]
    for c in np.unique(ids):
        members = np.flatnonzero(ids == c)
        if k % len(members) == 0 or k < len(members):  # no partly repeated decks
            times = [drawn[int(i)] for i in members]
            assert max(times) - min(times) <= 1


def test_every_item_is_as_likely_as_any_other_of_its_class_over_epochs() -> None:
    ids = np.repeat([0, 1, 2], [3, 10, 40])
    sampler = BalancedBatchSampler(ids, classes_per_batch=2, items_per_class=4, num_batches=3)
    drawn: Counter[int] = Counter()
    for epoch in range(3000):
        sampler.set_epoch(epoch)
        drawn.update(chain.from_iterable(sampler))
    for c in (0, 1, 2):
        times = np.array([drawn[int(i)] for i in np.flatnonzero(ids == c)])
        expected = times.mean()
        assert abs(times - expected).max() < 5 * np.sqrt(expected)


def test_classes_do_not_come_back_before_all_had_their_turn() -> None:
    ids = np.repeat(np.arange(12), 5)
    batches = list(BalancedBatchSampler(ids, classes_per_batch=4, items_per_class=2, num_batches=9))
    for first, second in pairwise(batches[:3]):
        assert not set(ids[first].tolist()) & set(ids[second].tolist())


def test_without_num_batches_an_epoch_draws_about_all_items() -> None:
    sampler = BalancedBatchSampler(np.repeat([0, 1], 9), classes_per_batch=2, items_per_class=4)
    assert len(sampler) == 3
    assert len(list(sampler)) == 3


def test_epochs_and_seeds_differ_and_repeat() -> None:
    ids = np.repeat(np.arange(10), 6)

    def epoch_of(seed: int, epoch: int) -> list[list[int]]:
        sampler = BalancedBatchSampler(ids, classes_per_batch=5, items_per_class=3, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert epoch_of(1, 2) == epoch_of(1, 2)
    assert epoch_of(1, 2) != epoch_of(1, 3)
    assert epoch_of(1, 2) != epoch_of(2, 2)
    assert epoch_of(0, 1) != epoch_of(1, 0)


def test_global_random_state_is_neither_read_nor_moved() -> None:
    sampler = BalancedBatchSampler(np.repeat([0, 1, 2], 5), classes_per_batch=2, items_per_class=3)
    np.random.seed(0)
    torch.manual_seed(0)
    numpy_state, torch_state = np.random.get_state()[1], torch.random.get_rng_state()  # type: ignore[index]
    first = list(sampler)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # type: ignore[index]
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.random.seed(1)
    torch.manual_seed(1)
    assert list(sampler) == first


@settings(deadline=None)
@given(cases(), st.integers(0, 12), st.integers(0, 3))
def test_resuming_goes_on_exactly(
    case: tuple[np.ndarray, dict[str, Any]], done: int, epoch: int
) -> None:
    ids, options = case
    done = min(done, options["num_batches"])
    sampler = BalancedBatchSampler(ids, **options)
    sampler.set_epoch(epoch)
    whole = list(sampler)
    resumed = BalancedBatchSampler(ids, **options)
    resumed.load_state_dict(sampler.state_dict(num_batches_done=done))
    resumed.set_epoch(epoch)  # a trainer announces the epoch again
    assert resumed.epoch == epoch
    assert list(resumed) == whole[done:]
    assert list(resumed) == whole  # later passes are whole
    sampler.set_epoch(epoch + 1)
    resumed.set_epoch(epoch + 1)
    assert list(resumed) == list(sampler)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_share_the_batch_of_one_process(world_size: int) -> None:
    ids = np.repeat(np.arange(15), 5)
    options: dict[str, Any] = {
        "classes_per_batch": 12,
        "items_per_class": 2,
        "num_batches": 7,
        "seed": 3,
    }
    alone = BalancedBatchSampler(ids, **options)
    ranks = [
        BalancedBatchSampler(ids, **options, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    alone.set_epoch(4)
    for sampler in ranks:
        sampler.set_epoch(4)
        assert len(sampler) == len(alone)
    parts = list(zip(*ranks, strict=True))
    for whole, part in zip(alone, parts, strict=True):
        assert list(chain(*part)) == whole
        assert {len(p) for p in part} == {24 // world_size}
        local = [set(ids[p].tolist()) for p in part]
        assert sum(map(len, local)) == 12  # whole classes per rank


def test_state_is_the_same_on_every_rank_and_for_every_world_size() -> None:
    ids = np.repeat(np.arange(6), 4)
    options: dict[str, Any] = {"classes_per_batch": 4, "items_per_class": 2, "num_batches": 5}
    second_of_two = BalancedBatchSampler(ids, **options, rank=1, world_size=2)
    alone = BalancedBatchSampler(ids, **options)
    second_of_two.set_epoch(2)
    alone.set_epoch(2)
    state = second_of_two.state_dict(num_batches_done=3)
    assert state == alone.state_dict(num_batches_done=3)
    rest = list(alone)[3:]
    alone.load_state_dict(state)
    assert list(alone) == rest


def test_a_state_of_other_data_or_settings_is_refused() -> None:
    ids = np.repeat(np.arange(6), 4)
    sampler = BalancedBatchSampler(ids, classes_per_batch=4, items_per_class=2)
    state = sampler.state_dict(num_batches_done=1)
    other_seed = BalancedBatchSampler(ids, classes_per_batch=4, items_per_class=2, seed=1)
    with pytest.raises(InvalidInput, match="saved with seed=0, this run has 1"):
        other_seed.load_state_dict(state)
    other_data = BalancedBatchSampler(ids[::-1], classes_per_batch=4, items_per_class=2)
    with pytest.raises(InvalidInput, match="saved with data="):
        other_data.load_state_dict(state)
    with pytest.raises(InvalidInput, match="num_batches_done must be from 0 to 3, got 4"):
        sampler.state_dict(num_batches_done=4)


_PARENTS = np.repeat(np.arange(10), 16)
_FAMILIES = np.repeat(np.arange(160), 3)


def _siblings_per_batch(**options: Any) -> float:
    """Return of how many classes of a batch a class is a sibling, itself included, on average."""
    sampler = BalancedBatchSampler(
        _FAMILIES, classes_per_batch=32, items_per_class=2, num_batches=50, **options
    )
    shared = []
    for batch in sampler:
        sizes = Counter(_PARENTS[np.unique(_FAMILIES[batch])].tolist())
        shared.append(sum(size**2 for size in sizes.values()) / 32)
    return float(np.mean(shared))


def test_classes_of_one_parent_share_batches() -> None:
    mixed = _siblings_per_batch(parents=_PARENTS)
    assert mixed == _siblings_per_batch()  # 1 + 31 * 15 / 159 = 3.9
    assert 3 < mixed < 5
    assert 6 < _siblings_per_batch(parents=_PARENTS, classes_per_parent=8) < 10
    assert 10 < _siblings_per_batch(parents=_PARENTS, classes_per_parent=16) <= 16


def test_classes_of_one_parent_take_turns_with_the_others() -> None:
    sampler = BalancedBatchSampler(
        _FAMILIES,
        classes_per_batch=32,
        items_per_class=2,
        num_batches=50,
        parents=_PARENTS,
        classes_per_parent=16,
    )
    turns = Counter(_FAMILIES[list(chain.from_iterable(sampler))].tolist())
    assert set(turns.values()) == {20}
    batches = list(sampler)
    assert batches == list(sampler)
    assert all(len(np.unique(_FAMILIES[batch])) == 32 for batch in batches)
    assert len({frozenset(_PARENTS[_FAMILIES[batch]].tolist()) for batch in batches}) > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes_per_batch": 1}, "at least 2 and at most the 6 classes"),
        ({"classes_per_batch": 7}, "at most the 6 classes of the data, got 7"),
        ({"items_per_class": 0}, "must be at least 1, got 0"),
        ({"num_batches": 0}, "must be at least 1, got 2 and 0"),
        ({"rank": 2, "world_size": 2}, "rank must be from 0 to world_size - 1, got 2 of 2"),
        ({"classes_per_parent": 0}, "classes_per_parent of at least 1, got .* and 0"),
        ({"parents": np.zeros(5, int)}, r"a parent for each of 6 classes .* shape \(5,\)"),
        ({"world_size": 3}, "cannot be shared equally by 3 processes"),
        ({"class_ids": np.zeros(5, int)}, "at least 2 classes to learn from, the data has 1"),
        ({"class_ids": np.zeros(5)}, "must be .N,. integers"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    options: dict[str, object] = {
        "class_ids": np.repeat(np.arange(6), 4),
        "classes_per_batch": 4,
        "items_per_class": 2,
    }
    with pytest.raises(InvalidInput, match=message):
        BalancedBatchSampler(**(options | change))  # type: ignore[arg-type]


def test_thousands_of_classes_take_little_time_per_batch() -> None:
    sampler = BalancedBatchSampler(
        np.arange(60_000) % 20_000, classes_per_batch=100, items_per_class=4, num_batches=10
    )
    assert len({i for batch in sampler for i in batch}) == 3000  # 3 items each, 1 repeated
