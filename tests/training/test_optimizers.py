"""Schedules, optimizers and the moving average do what their formulas say."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from fmbench.cells.ema_decay import Averaging
from fmbench.model.batched.networks import Networks
from fmbench.training.ema import MovingAverage
from fmbench.training.lr_schedule import learning_rate
from fmbench.training.optimizers import OPTIMIZERS, make_optimizer, take_step

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


SETTINGS = [0.999, 0.9, {"decay": 0.999, "warmup": True}, {"decay": 0.999, "warmup": False}]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_average_is_that_of_a_plain_loop(setting: float | dict[str, float]) -> None:
    """In float64: a number is warmed up, as is what says so; without a warm-up the decay is the same from the start."""
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    average = MovingAverage([weight], setting)
    decay, warmup = (setting["decay"], setting["warmup"]) if isinstance(setting, dict) else (setting, True)
    expected = [0.0] * 5
    for step in range(300):
        weight.data = torch.randn(5, dtype=torch.float64, generator=generator)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step)) if warmup else decay
        expected = [kept * e + (1 - kept) * w for e, w in zip(expected, weight.tolist(), strict=True)]
        torch.testing.assert_close(average.average[0].tolist(), expected, rtol=1e-12, atol=1e-15)


def test_what_a_decay_ends_at_is_said() -> None:
    """A warmed-up decay of 0.999 is 2000/2009 after the last of 2,000 steps."""
    rising = "0.999, warmed up as (1+step)/(10+step): 0.99552 at the last of 2,000 steps"
    assert Averaging.of(0.999).said(2000) == Averaging.of({"decay": 0.999}).said(2000) == rising
    assert Averaging.of(0.999).at(1999) == 2000 / 2009
    assert Averaging.of(0.999).at(10**6) == 0.999
    assert Averaging.of(0.9).said(2000) == "0.9, warmed up as (1+step)/(10+step): reached before the end"
    assert Averaging.of({"decay": 0.999, "warmup": False}).said(2000) == "0.999 from the first step on"
    assert Averaging.of({"decay": 0.999, "warmup": False}).at(0) == 0.999
    assert Averaging.of(0.0).said(2000) == "none"


def test_without_decay_the_average_is_the_weights_themselves() -> None:
    module = nn.Linear(2, 2)
    networks = Networks([module])
    average = MovingAverage(networks.parameters, 0.0)
    nn.init.ones_(module.weight)
    average.update(0)
    torch.testing.assert_close(networks.averaged(0, average.average)["weight"], torch.ones(2, 2))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_step_taken_directly_is_the_optimizers_own(name: str) -> None:
    adam = {"betas": [0.8, 0.99], "eps": 1e-7, "weight_decay": 0.1}
    settings = {"name": name, "lr": 0.01, **({"momentum": 0.9} if name == "sgd" else adam)}
    found = []
    for step in (torch.optim.Optimizer.step, take_step):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
        module[0].bias.requires_grad_(False)
        optimizer = make_optimizer(settings, list(module.parameters()))
        own = step if step is take_step else type(optimizer).step
        for number in range(4):
            optimizer.zero_grad()
            module[number % 2 :](torch.randn(4, 3 if number % 2 == 0 else 5)).square().mean().backward()
            own(optimizer)
        state = optimizer.state_dict()["state"]
        found.append((module.state_dict(), state))
    for mine, theirs in zip(*found, strict=True):
        assert str(mine) == str(theirs)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_what_is_imported_ahead_is_all_that_an_optimizer_imports() -> None:
    script = """
import sys, torch
from fmbench.training.optimizers import import_ahead, make_optimizer, take_step
import_ahead()
before = set(sys.modules)
for name in ("adam", "adamw", "adamax", "sgd"):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer({"name": name, "lr": 0.1}, [weight])
    weight.grad = torch.ones(2)
    take_step(optimizer), take_step(optimizer)
sys.exit(str(sorted(set(sys.modules) - before)) if len(set(sys.modules) - before) > 3 else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
