"""Conformance of networks."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fmbench.components.conditions import no_condition, some_conditions
from fmbench.components.contracts import Network
from fmbench.testing.base import ComponentConformance, assert_form_of, generator
from fmbench.testing.parametrize import parametrize, skip_if

BATCH = 6
Told = tuple[int, int]
"""What a network is built to be told: how many classes, and the width of condition vectors."""
NOTHING = (0, 0)


class NetworkConformance(ComponentConformance):
    """A network: what the module that it builds makes of states, times and labels.

    What a module depends on is asked after a few optimiser steps, since many start with a last layer of zeros.

    Attributes:
        shape: the shape of an example that the network is built for.
        classes: how many classes it is built for where it takes labels; 0 leaves those tests out.
        condition_width: how many numbers the vectors have that it is built for where it takes vectors.
        training_steps: optimiser steps within which a gradient must have reached every parameter.
    """

    contract = Network
    shape: ClassVar[tuple[int, ...]] = (2,)
    classes: ClassVar[int] = 3
    condition_width: ClassVar[int] = 3
    training_steps: ClassVar[int] = 5

    @parametrize("batch", [1, BATCH])
    def test_output_has_the_shape_of_x(self, component: Any, batch: int) -> None:
        """The module's output has the shape of x, and is finite."""
        for told in self._told(component):
            module, (x, t, y) = _build(component, self.shape, told), self._inputs(told, batch)
            output = _call(module, x, t, y)
            assert_form_of("x", x, "the output", output)
            assert torch.isfinite(output).all(), "the output of an untrained network is finite"

    def test_initial_weights_follow_the_seed(self, component: Any) -> None:
        """Initial weights come from torch's global generator alone, which fmbench seeds."""
        first, again = (_build(component, self.shape, NOTHING).state_dict() for _ in range(2))
        assert list(first) == list(again), "two builds have the same parameters"
        assert all(torch.equal(first[name], again[name]) for name in first), (
            "initial weights come from torch's global generator alone, which fmbench seeds"
        )

    def test_gradients_reach_every_parameter(self, component: Any) -> None:
        """d loss / d parameter is not 0 for every parameter, within `training_steps` optimiser steps."""
        for told in self._told(component):
            module = _build(component, self.shape, told)
            missed, steps = self._train(module, told), self.training_steps
            assert not missed, f"within {steps} optimiser steps every parameter has a gradient; never: {sorted(missed)}"

    def test_depends_on_state_and_time(self, component: Any) -> None:
        """v(x, t) changes with x and with t."""
        module = self._trained(component, NOTHING)
        x, t, _ = self._inputs(NOTHING)
        output = module(x, t)
        assert not torch.allclose(output, module(x + 0.5, t)), "the output depends on x"
        assert not torch.allclose(output, module(x, 1 - t)), "the output depends on t"

    def test_depends_on_the_label(self, component: Any) -> None:
        """v(x, t, y) changes with the label y, and y = classes means no label."""
        skip_if(not self.classes or "labels" not in component.takes, "the network takes no labels")
        module = self._trained(component, (self.classes, 0))
        x, t, y = self._inputs((self.classes, 0))
        assert y is not None
        output, none = module(x, t, y), module(x, t, no_condition(y, self.classes))
        assert torch.isfinite(none).all(), (
            f"label {self.classes} (the number of classes) means no label, and is accepted"
        )
        assert not torch.allclose(output, module(x, t, (y + 1) % self.classes)), "the output depends on the label"
        assert not torch.allclose(output, none), "the output without a label differs from that with one"

    def test_depends_on_the_vector(self, component: Any) -> None:
        """v(x, t, y) changes with the condition vector y, and a row of NaN means none."""
        skip_if("vectors" not in component.takes, "the network takes no condition vectors")
        told = (0, self.condition_width)
        module, (x, t, y) = self._trained(component, told), self._inputs(told)
        assert y is not None
        output, none = module(x, t, y), module(x, t, no_condition(y, 0))
        assert torch.isfinite(none).all(), "vectors of NaN mean no vector, and are accepted"
        assert not torch.allclose(output, module(x, t, y.flip(0))), "the output depends on the vector"
        assert not torch.allclose(output, none), "the output without a vector differs from that with one"
        some = torch.arange(BATCH) % 2 == 0
        mixed = module(x, t, torch.where(some[:, None], no_condition(y, 0), y))
        expected = torch.where(some.reshape(-1, *[1] * len(self.shape)), none, output)
        assert torch.allclose(mixed, expected, atol=1e-4), "a row of NaN takes the vector of its own example away"

    def test_says_which_conditions_it_takes(self, component: Any) -> None:
        """`takes` names conditions: "labels", "vectors"."""
        strange = sorted(set(component.takes) - {"labels", "vectors"})
        assert not strange, f'takes names conditions, "labels" and "vectors"; found {strange}'

    def test_eval_mode_is_deterministic(self, component: Any) -> None:
        """In eval mode the same (x, t) has the same output."""
        module = self._trained(component, NOTHING)
        x, t, _ = self._inputs(NOTHING)
        assert torch.equal(module(x, t), module(x, t)), "in eval mode the same input has the same output"

    def test_examples_do_not_interact(self, component: Any) -> None:
        """In eval mode an example's output does not depend on the rest of its batch."""
        module = self._trained(component, NOTHING)
        x, t, _ = self._inputs(NOTHING)
        together, alone = module(x, t), torch.cat([module(x[i : i + 1], t[i : i + 1]) for i in range(BATCH)])
        error = (together - alone).abs().max().item()
        assert error <= 1e-4, (
            f"in eval mode an example's output does not depend on its batch; it changes by {error:.3g}"
        )

    def _told(self, component: Any) -> set[Told]:
        """Return what the network can be told: nothing, and the conditions that it takes."""
        labels, vectors = ("labels" in component.takes, "vectors" in component.takes)
        return {NOTHING, (self.classes * labels, 0), (0, self.condition_width * vectors)}

    def _trained(self, component: Any, told: Told) -> nn.Module:
        module = _build(component, self.shape, told)
        self._train(module, told)
        return module.eval().requires_grad_(False)

    def _train(self, module: nn.Module, told: Told) -> set[str]:
        """Fit noise for a few steps; return the names of the parameters whose gradient was always zero."""
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)  # with 1e-2 a plain CNN's ReLUs can die
        x, t, y = self._inputs(told)
        if y is not None and y.is_floating_point():
            y = torch.where(torch.arange(len(y))[:, None] == 0, torch.nan, y)  # as label dropout leaves it
        target = torch.randn(x.shape, generator=generator(8))
        missed = {name for name, _ in module.named_parameters()}
        for _ in range(self.training_steps):
            optimizer.zero_grad()
            loss = (_call(module, x, t, y) - target).square().mean()
            torch.autograd.backward(loss)
            missed -= {n for n, p in module.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
            optimizer.step()
        return missed

    def _inputs(self, told: Told, batch: int = BATCH) -> tuple[Tensor, Tensor, Tensor | None]:
        x = torch.randn(batch, *self.shape, generator=generator(9))
        t = torch.linspace(0.1, 0.95, batch)
        return x, t, some_conditions(batch, *told)


def _build(component: Any, shape: tuple[int, ...], told: Told) -> nn.Module:
    """Build the network as the core does, which speaks of vectors only where there are any."""
    classes, condition_width = told
    vectors = {"condition_width": condition_width} if condition_width else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = component.build(shape, classes, **vectors)
        return module


def _call(module: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
    output: Tensor = module(x, t) if y is None else module(x, t, y)
    return output
