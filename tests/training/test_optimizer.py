from __future__ import annotations

import torch
from torch import nn

from ilk.encoders.small import SmallEncoder
from ilk.training.optimizer import parameter_groups


def test_every_parameter_is_in_one_group_with_its_rate() -> None:
    encoder = SmallEncoder(width=4, size_pixels=16)
    weights = nn.ParameterList([nn.Parameter(torch.ones(3, 2))])
    parts = [
        ("backbone", encoder.backbone, 0.1),
        ("head", encoder.head, 0.2),
        ("class_weights", weights, 0.3),
    ]
    groups = parameter_groups(parts, weight_decay=0.5)
    found = [id(p) for group in groups for p in group["params"]]
    wanted = [id(p) for module in (encoder, weights) for p in module.parameters()]
    assert sorted(found) == sorted(wanted)
    assert {(g["name"], g["lr"], g["peak"]) for g in groups} == {
        ("backbone", 0.1, 0.1),
        ("head", 0.2, 0.2),
        ("class_weights", 0.3, 0.3),
    }


def test_norms_biases_and_class_weights_are_not_decayed() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LayerNorm([2, 4, 4]))
    weights = nn.ParameterList([nn.Parameter(torch.ones(3, 2))])
    groups = parameter_groups(
        [("backbone", net, 0.1), ("class_weights", weights, 0.1)], weight_decay=0.5
    )
    decayed = [p for g in groups if g["weight_decay"] for p in g["params"]]
    assert [id(p) for p in decayed] == [id(net[0].weight)]
    assert sum(len(g["params"]) for g in groups if not g["weight_decay"]) == 6


def test_shared_and_frozen_parameters() -> None:
    shared = nn.Linear(2, 2)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    parts = [("backbone", shared, 0.1), ("head", nn.Sequential(shared, frozen), 0.2)]
    groups = parameter_groups(parts, weight_decay=0.5)
    assert {g["name"] for g in groups} == {"backbone"}
