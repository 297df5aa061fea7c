"""Classes that are in every split, made into classes to learn from and others to choose by."""

from __future__ import annotations

import numpy as np
import pytest

from ilk.config import Data, Encoder, Run
from ilk.errors import DataError
from ilk.items import Item, Items
from ilk.training.plan import make_plan


def _closed_set() -> Items:
    rng = np.random.default_rng(0)
    return Items(
        tuple(
            Item(rng.integers(0, 256, (8, 8), np.uint8), f"{c}", f"{split}/{c}/{i}", split)
            for split in ("Train", "val", "test")
            for c in range(10 if split != "test" else 12)
            for i in range(2)
        )
    )


def test_a_run_says_which_setting_merges_and_takes_it() -> None:
    run = Run(encoder=Encoder(name="small", options={"width": 4}))
    with pytest.raises(DataError, match=r"--set data\.merge_splits=true"):
        make_plan(run, _closed_set())
    plan = make_plan(Run(data=Data(merge_splits=True), encoder=run.encoder), _closed_set())
    assert not set(plan.split.training.classes) & set(plan.split.validation.classes)
    assert len(plan.split.training) + len(plan.split.validation) == 60
    assert any("4 items of other splits are not touched (test 4)" in line for line in plan.lines())
