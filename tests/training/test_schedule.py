from __future__ import annotations

import math

import pytest
import torch

from ilk.training.schedule import CosineSchedule


def test_it_is_torchs_warm_up_and_cosine() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 20, total_iters=19)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=80, eta_min=0.01)
    schedule = CosineSchedule(num_steps=100, warm_up=0.2, final=0.01)
    reference = []
    for _ in range(20):
        reference.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rise.step()
    optimizer.param_groups[0]["lr"] = 1.0
    for _ in range(80):
        reference.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        fall.step()
    assert [schedule.share(step) for step in range(100)] == pytest.approx(reference)


def test_parameters_that_start_late_stay_at_zero_and_warm_up_then() -> None:
    schedule = CosineSchedule(num_steps=100, warm_up=0.1, final=0.0)
    shares = [schedule.share(step, start=30) for step in range(100)]
    assert shares[:30] == [0.0] * 30
    assert shares[30] == pytest.approx(schedule.share(30) / 10)
    assert shares[40:] == [schedule.share(step) for step in range(40, 100)]


@pytest.mark.parametrize(("num_steps", "warm_up"), [(1, 0.0), (1, 0.9), (2, 0.5), (3, 0.99)])
def test_the_shortest_runs_have_finite_rates(num_steps: int, warm_up: float) -> None:
    schedule = CosineSchedule(num_steps=num_steps, warm_up=warm_up, final=0.1)
    assert all(0 < schedule.share(step) <= 1 for step in range(num_steps + 1))
    assert math.isclose(schedule.share(10 * num_steps), 0.1)
