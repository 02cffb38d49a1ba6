"""A traced network computes what the network computes, gradients included, or is not used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fmbench.model.batched.networks import Networks
from fmbench.model.batched.tracing import trace_calls


class Detached(nn.Module):
    """Has a part without gradient, which a list of operations does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.first(x)
        output: Tensor = self.second(x)
        return output


class Straight(torch.autograd.Function):
    """Rounds, and lets the gradient through."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Rounded(nn.Module):
    """Has a gradient of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = Straight.apply(self.layer(x))
        return output


def convolving() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(64, 3))


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 20), nn.SiLU(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 3))


@pytest.mark.parametrize(
    ("make", "shape"),
    [(perceptron, (3,)), (convolving, (2, 4, 4)), (Detached, (3,)), (Rounded, (3,))],
    ids=["perceptron", "convolving", "detached", "rounded"],
)
def test_a_fleet_has_the_outputs_and_gradients_of_its_members(make: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    modules = [make().double() for _ in range(3)]
    x = torch.randn(3 * 5, *shape, dtype=torch.float64)
    expected = torch.cat([module(own) for module, own in zip(modules, x.chunk(3), strict=True)])
    names = [name for name, _ in modules[0].named_parameters()]
    expected.cos().sum().backward()
    gradients = [[dict(module.named_parameters())[name].grad for module in modules] for name in names]
    networks = Networks(modules)
    for _ in range(2):  # the first call is traced, the second takes what was traced
        found = networks(x)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        own = torch.autograd.grad(found.cos().sum(), networks.parameters, allow_unused=True)
        for stacked, members in zip(own, gradients, strict=True):
            if stacked is None:
                assert members == [None] * 3
            else:
                torch.testing.assert_close(stacked, torch.stack(members), rtol=1e-9, atol=1e-9)


def test_other_shapes_and_weights_are_taken_too() -> None:
    torch.manual_seed(0)
    modules = [perceptron().double() for _ in range(2)]
    networks = Networks(modules)
    for batch in (4, 4, 7):
        x = torch.randn(2 * batch, 3, dtype=torch.float64)
        with torch.no_grad():
            for parameter in networks.parameters:
                parameter.mul_(1.5)
            expected = networks(x)  # without gradients nothing is traced
        torch.testing.assert_close(networks(x), expected, rtol=1e-12, atol=1e-12)


def test_what_cannot_be_traced_is_called_as_it_is() -> None:
    def by_value(x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x

    x = torch.ones(3, requires_grad=True)
    assert trace_calls(by_value, [x]) is by_value


def test_what_has_a_gradient_of_its_own_is_called_as_it_is() -> None:
    def rounded(x: Tensor) -> Tensor:
        output: Tensor = Straight.apply(x)
        return output

    x = torch.randn(4, requires_grad=True)
    assert trace_calls(rounded, [x]) is rounded
    plain = trace_calls(torch.sin, [x])
    assert plain is not torch.sin
    torch.testing.assert_close(plain(x), torch.sin(x))
