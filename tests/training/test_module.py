from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ilk.distances import Cosine
from ilk.encoders.small import SmallEncoder
from ilk.errors import TrainingDiverged
from ilk.evaluation.retrieval import retrieval
from ilk.losses import Triplet
from ilk.preprocess import Preprocess
from ilk.training.batches import Rounds
from ilk.training.data import TrainingData
from ilk.training.inputs import PlainInputs
from ilk.training.loading import load_contents
from ilk.training.module import Phases, TrainingModule
from ilk.training.optimizer import parameter_groups
from ilk.training.sampling import BalancedBatchSampler
from ilk.training.schedule import CosineSchedule
from ilk.training.trainer import make_trainer, quiet

STEPS = 7
SAMPLING: dict[str, Any] = {"classes_per_batch": 4, "items_per_class": 2, "seed": 3}


class _Case:
    """A module with its data, and what happened to it while it trained."""

    def __init__(self, patterns: Any, run: Any, **options: Any) -> None:
        torch.manual_seed(0)
        self.encoder = SmallEncoder(width=4, size_pixels=16, embedding_size=8)
        self.contents = load_contents(patterns, self.encoder.preprocess, limit_bytes=10**9)
        self.groups = parameter_groups(
            [("backbone", self.encoder.backbone, 0.01), ("head", self.encoder.head, 0.02)],
            weight_decay=0.1,
        )
        self.schedule = CosineSchedule(num_steps=STEPS, warm_up=0.3, final=0.1)
        self.inputs = options.pop("inputs", PlainInputs(self.encoder.preprocess))
        ids = patterns.class_ids
        self.module = TrainingModule(
            backbone=self.encoder.backbone,
            head=self.encoder.head,
            loss=Triplet(margin=0.2),
            groups=self.groups,
            schedule=self.schedule,
            training_inputs=self.inputs,
            validation_inputs=PlainInputs(self.encoder.preprocess),
            training_class_ids=ids,
            validation_class_ids=ids,
            log_every=1,
            **options,
        )
        self.run = run

    def train(self, num_steps: int = STEPS) -> None:
        data = TrainingData(
            self.contents,
            self.contents,
            num_steps=STEPS,
            validate_every=3,
            current_step=lambda: self.module.step,
            **SAMPLING,
        )
        with quiet():
            trainer = make_trainer(self.run, loggers=[], callbacks=[], num_steps=num_steps)
            trainer.fit(self.module, datamodule=data)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


def _plain_loop(case: _Case) -> None:
    """The same run in a dozen lines of PyTorch."""
    optimizer = torch.optim.AdamW(case.groups)
    ids = torch.from_numpy(case.contents.items.class_ids)
    sampler = BalancedBatchSampler(case.contents.items.class_ids, **SAMPLING)
    rounds = Rounds(sampler, current_step=lambda: 0, num_steps=STEPS, validate_every=STEPS)
    loss_of = Triplet(margin=0.2)
    case.encoder.train()
    for step, (rows, positions) in enumerate(case.contents.batches(rounds)):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * case.schedule.share(step)
        inputs, _ = case.inputs(rows, positions, torch.Generator())
        loss = loss_of(case.encoder(inputs), ids[positions])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(case.encoder.parameters(), case.run.optimizer.clip_norm)
        optimizer.step()


@pytest.mark.parametrize("clip", [0.05, 3.0])
def test_it_learns_what_a_plain_loop_learns(patterns: Any, tiny_run: Any, clip: float) -> None:
    run = tiny_run(f"optimizer.clip_norm={clip}")
    ours, plain = _Case(patterns, run), _Case(patterns, run)
    ours.train()
    _plain_loop(plain)
    for (name, a), b in zip(
        ours.encoder.state_dict().items(), plain.encoder.state_dict().values(), strict=True
    ):
        # float32 by other kernels: a step that is left out moves weights by 1e-4
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


def test_validation_is_map_at_r_of_all_items(patterns: Any, tiny_run: Any) -> None:
    case = _Case(patterns, tiny_run())
    case.train()
    assert list(case.module.scores) == [3, 6, 7]
    embeddings, positions = case.module.embed(case.contents.batches([list(range(50))]))
    assert positions.tolist() == list(range(50))
    found = retrieval(embeddings.double().numpy(), patterns.class_ids, Cosine())
    assert case.module.scores[7] == pytest.approx(found["map_at_r"].mean(), abs=1e-6)


def test_the_head_learns_alone_first(patterns: Any, tiny_run: Any) -> None:
    case = _Case(patterns, tiny_run(), phases=Phases(head_only_steps=4))
    backbone, head = _state(case.encoder.backbone), _state(case.encoder.head)
    case.train(num_steps=4)
    assert all(torch.equal(v, backbone[k]) for k, v in _state(case.encoder.backbone).items())
    assert all(p.grad is None for p in case.encoder.backbone.parameters())
    assert not torch.equal(_state(case.encoder.head)["project.weight"], head["project.weight"])
    case.train(num_steps=3)
    assert not all(torch.equal(v, backbone[k]) for k, v in _state(case.encoder.backbone).items())
    assert case.module.step == STEPS


@pytest.mark.parametrize("is_frozen", [False, True])
def test_frozen_batch_norm_keeps_its_statistics_through_validation(
    patterns: Any, tiny_run: Any, is_frozen: bool
) -> None:
    case = _Case(patterns, tiny_run(), phases=Phases(freeze_batch_norm=is_frozen))
    before = _state(case.encoder.backbone)
    case.train()
    case.module.train()
    after = _state(case.encoder.backbone)
    names = [k for k in before if "running" in k]
    assert names
    assert all(torch.equal(before[k], after[k]) == is_frozen for k in names)
    layers = [m for m in case.encoder.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(layer.training != is_frozen for layer in layers)
    weights = [k for k in before if k.endswith("weight")]
    assert not any(torch.equal(before[k], after[k]) for k in weights)


def test_the_average_is_what_validates(patterns: Any, tiny_run: Any) -> None:
    case = _Case(patterns, tiny_run(), average=0.99)
    case.train()
    average = case.module.average
    assert average is not None
    own = _state(case.module.network)
    batches = [list(range(50))]
    with average.swapped_in(case.module.network):
        embeddings, _ = case.module.embed(case.contents.batches(batches))
    assert all(torch.equal(v, own[k]) for k, v in _state(case.module.network).items())
    found = retrieval(embeddings.double().numpy(), patterns.class_ids, Cosine())
    assert case.module.scores[7] == pytest.approx(found["map_at_r"].mean(), abs=1e-6)
    raw, _ = case.module.embed(case.contents.batches(batches))
    assert not torch.allclose(raw, embeddings)


def test_a_step_draws_the_same_whatever_was_drawn_before(patterns: Any, tiny_run: Any) -> None:
    drawn: list[list[float]] = [[], []]

    def case(i: int) -> _Case:
        def inputs(rows: Tensor, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            drawn[i] += [torch.rand(1).item(), torch.rand(1, generator=generator).item()]
            return plain(rows, ids, generator)

        plain = PlainInputs(Preprocess(size_pixels=16, channels=1))
        return _Case(patterns, tiny_run(), inputs=inputs)

    whole, parts = case(0), case(1)
    whole.train()
    parts.train(num_steps=2)
    torch.rand(5)
    parts.train(num_steps=5)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 2 * STEPS


def test_a_loss_that_is_not_finite_stops_with_advice(patterns: Any, tiny_run: Any) -> None:
    case = _Case(patterns, tiny_run())
    with torch.no_grad():
        cast(nn.Linear, case.encoder.head.get_submodule("project")).weight.fill_(np.nan)
    with pytest.raises(TrainingDiverged, match=r"step 1; lower optimizer\.learning_rate"):
        case.train()
