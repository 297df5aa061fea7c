from __future__ import annotations

import numpy as np
import pytest

from ilk.training.batches import Rounds, in_order
from ilk.training.sampling import BalancedBatchSampler


def _rounds(start: list[int]) -> Rounds:
    sampler = BalancedBatchSampler(
        np.repeat(np.arange(5), 3), classes_per_batch=2, items_per_class=2
    )
    return Rounds(sampler, current_step=lambda: start[0], num_steps=23, validate_every=7)


def _all_from(step: int) -> list[list[int]]:
    """Iterate round after round, as a training loop does."""
    position, found = [step], []
    rounds = _rounds(position)
    while position[0] < 23:
        batches = list(rounds)
        assert position[0] + len(batches) in (7, 14, 21, 23)
        found += batches
        position[0] += len(batches)
    return found


@pytest.mark.parametrize("step", range(23))
def test_the_batch_of_a_step_is_the_same_wherever_a_run_started(step: int) -> None:
    assert _all_from(step) == _all_from(0)[step:]


def test_the_batches_are_those_of_the_samplers_epochs() -> None:
    ids = np.repeat(np.arange(5), 3)
    sampler = BalancedBatchSampler(ids, classes_per_batch=2, items_per_class=2)
    wanted = []
    for epoch in range(6):
        sampler.set_epoch(epoch)
        wanted += list(sampler)
    assert _all_from(0) == wanted[:23]


def test_nothing_is_left_after_the_last_step() -> None:
    assert list(_rounds([23])) == []


def test_the_items_in_order_are_shared_out_whole() -> None:
    for world_size in (1, 2, 3):
        parts = [list(in_order(10, 4, rank=r, world_size=world_size)) for r in range(world_size)]
        assert sorted(p for part in parts for batch in part for p in batch) == list(range(10))
        assert max(len(batch) for part in parts for batch in part) <= 4
