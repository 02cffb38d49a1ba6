"""Schedules, optimizers and the moving average do what their formulas say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fmbench.fleet import Networks
from fmbench.optimizers import OPTIMIZERS, MovingAverage, learning_rate, make_optimizer

CONSTANT = {"name": "constant", "warmup": 0}
COSINE = {"name": "cosine", "warmup": 10, "final": 0.1}


def test_constant_is_constant() -> None:
    assert {learning_rate(step, 100, 3e-4, CONSTANT) for step in range(100)} == {3e-4}


def test_warmup_rises_in_equal_steps_to_the_peak() -> None:
    rates = [learning_rate(step, 100, 1.0, COSINE) for step in range(11)]
    assert rates == sorted(rates)
    assert rates[0] > 0
    assert rates[10] == 1.0
    assert torch.tensor(rates).diff().std() < 1e-6


def test_cosine_falls_to_its_final_fraction() -> None:
    rates = [learning_rate(step, 1000, 1.0, COSINE) for step in range(10, 1001)]
    assert rates == sorted(rates, reverse=True)
    assert math.isclose(rates[-1], 0.1)
    assert math.isclose(learning_rate(505, 1000, 1.0, COSINE), (1 + 0.1) / 2, rel_tol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "adamw", "lr": 0.05, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
        {"name": "adam", "lr": 0.05, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
        {"name": "adamax", "lr": 0.05, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
        {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
    ],
    ids=lambda settings: settings["name"],
)
def test_every_optimizer_finds_the_minimum_of_a_parabola(settings: dict[str, object]) -> None:
    x = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = make_optimizer(settings, [x])
    assert type(optimizer) is OPTIMIZERS[str(settings["name"])]
    for _ in range(400):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert x.abs().max() < 0.05


def test_the_average_of_constant_weights_is_the_weights() -> None:
    module = nn.Linear(3, 2)
    average = MovingAverage(list(module.parameters()), 0.99)
    for step in range(50):
        average.update(step)
    torch.testing.assert_close(average.average, list(module.state_dict().values()))


def test_the_average_follows_a_step_with_its_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = MovingAverage(list(module.parameters()), 0.9)
    nn.init.ones_(module.weight)
    for step in range(1000, 1010):
        average.update(step)
    torch.testing.assert_close(average.average[0], torch.full((1, 1), 1 - 0.9**10))


def test_without_decay_the_average_is_the_weights_themselves() -> None:
    module = nn.Linear(2, 2)
    networks = Networks([module])
    average = MovingAverage(networks.parameters, 0.0)
    nn.init.ones_(module.weight)
    average.update(0)
    torch.testing.assert_close(networks.averaged(0, average.average)["weight"], torch.ones(2, 2))
