"""That the settings of a batch reach both what draws it and what distorts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from ilk.config import Run
from ilk.items import Items
from ilk.training import assembly
from ilk.training.inputs import TrainingInputs
from ilk.training.plan import make_plan
from ilk.training.progress import Display


def _families() -> Items:
    """Six parents of four classes of two pictures."""
    labels = [f"p{p}/c{c}" for p in range(6) for c in range(4) for _ in range(2)]
    pictures = np.random.default_rng(0).integers(0, 256, (len(labels), 16, 16), np.uint8)
    return Items.from_arrays(pictures, labels)


@pytest.mark.parametrize(("classes_per_parent", "is_alike"), [(1, False), (4, True)])
def test_siblings_meet_in_batches_and_turn_alike(
    tiny_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    classes_per_parent: int,
    is_alike: bool,
) -> None:
    given: list[Tensor | None] = []

    def spy(*args: Any, turned_alike: Tensor | None, **options: Any) -> TrainingInputs:
        given.append(turned_alike)
        return TrainingInputs(*args, turned_alike=turned_alike, **options)

    monkeypatch.setattr(assembly, "TrainingInputs", spy)
    run = tiny_run(
        "data.validation_by=parent",
        "augment.name=none",
        "augment.rotations_as_classes=true",
        f"batch.classes_per_parent={classes_per_parent}",
    )
    plan = make_plan(run, _families())
    training, validation = assembly.load_parts(plan, Display(lambda line: None))
    module = assembly.make_module(plan, training, validation)
    data = assembly.make_data(plan, training, validation, module)
    labels = np.array(training.items.labels)
    largest = []
    for _, positions in data.train_dataloader():
        parents = {str(label).partition("/") for label in labels[positions.numpy()]}
        largest.append(max(Counter(parent for parent, _, _ in parents).values()))
    (turned_alike,) = given
    if is_alike:
        assert largest == [4] * 3  # four classes to a batch, all of one parent
        assert turned_alike is not None
        assert turned_alike.tolist() == [int(i) // 4 for i in range(len(training.items.classes))]
    else:
        assert min(largest) < 4
        assert turned_alike is None
