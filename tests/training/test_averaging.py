from __future__ import annotations

import pytest
import torch
from torch import nn

from ilk.errors import InvalidInput
from ilk.training.averaging import WeightAverage


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def _move(network: nn.Sequential) -> None:
    network.train()
    network(torch.randn(8, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_it_is_torchs_average_with_a_rising_decay() -> None:
    network = _network()
    average = WeightAverage(network, decay=0.5)
    decays = [min(0.5, (1 + t) / (10 + t)) for t in range(1, 21)]
    wanted = {k: v.clone() for k, v in network.state_dict().items()}
    for decay in decays:
        _move(network)
        average.update(network)
        for key, value in network.state_dict().items():
            new = decay * wanted[key] + (1 - decay) * value
            wanted[key] = new if value.is_floating_point() else value.clone()
    with average.swapped_in(network):
        found = {k: v.clone() for k, v in network.state_dict().items()}
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value)


def test_running_statistics_are_averaged_too() -> None:
    network = _network()
    average = WeightAverage(network, decay=0.9)
    _move(network)
    average.update(network)
    own = network.state_dict()["1.running_mean"].clone()
    with average.swapped_in(network):
        mean = network.state_dict()["1.running_mean"].clone()
    decay = 2 / 11
    torch.testing.assert_close(mean, (1 - decay) * own)


def test_the_network_gets_its_own_weights_back_even_after_an_error() -> None:
    network = _network()
    average = WeightAverage(network, decay=0.9)
    _move(network)
    average.update(network)
    own = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(KeyError), average.swapped_in(network):
        raise KeyError
    assert all(torch.equal(v, own[k]) for k, v in network.state_dict().items())


def test_it_goes_on_from_its_state() -> None:
    network, average = _network(), WeightAverage(_network(), decay=0.9)
    for _ in range(3):
        _move(network)
        average.update(network)
    other = WeightAverage(_network(), decay=0.9)
    other.load(average.state())
    _move(network)
    for each in (average, other):
        each.update(network)
    for key, value in average.state().items():
        assert torch.equal(value, other.state()[key])


def test_the_decay_must_be_a_share() -> None:
    with pytest.raises(InvalidInput, match="decay must be above 0 and below 1, got 1"):
        WeightAverage(_network(), decay=1.0)
