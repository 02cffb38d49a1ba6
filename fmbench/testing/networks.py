"""Conformance of networks."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from fmbench.components.contracts import Network
from fmbench.testing.base import ComponentConformance, assert_form_of, generator, skip_if

BATCH = 6


class NetworkConformance(ComponentConformance):
    """A network: what the module that it builds makes of states, times and labels.

    What a module depends on is asked after a few optimiser steps, since many start with a last layer of zeros.

    Attributes:
        shape: the shape of an example that the network is built for.
        classes: how many classes it is built for where it takes labels; 0 leaves those tests out.
        training_steps: optimiser steps within which a gradient must have reached every parameter.
    """

    contract = Network
    shape: ClassVar[tuple[int, ...]] = (2,)
    classes: ClassVar[int] = 3
    training_steps: ClassVar[int] = 5

    @pytest.mark.parametrize("batch", [1, BATCH])
    def test_output_has_the_shape_of_x(self, component: Any, batch: int) -> None:
        for classes in {0, self.classes}:
            module, (x, t, y) = _build(component, self.shape, classes), self._inputs(classes, batch)
            output = _call(module, x, t, y)
            assert_form_of("x", x, "the output", output)
            assert torch.isfinite(output).all(), "the output of an untrained network is finite"

    def test_initial_weights_follow_the_seed(self, component: Any) -> None:
        first, again = (_build(component, self.shape, 0).state_dict() for _ in range(2))
        assert list(first) == list(again), "two builds have the same parameters"
        assert all(torch.equal(first[name], again[name]) for name in first), (
            "initial weights come from torch's global generator alone, which fmbench seeds"
        )

    def test_gradients_reach_every_parameter(self, component: Any) -> None:
        for classes in {0, self.classes}:
            module = _build(component, self.shape, classes)
            missed, steps = self._train(module, classes), self.training_steps
            assert not missed, f"within {steps} optimiser steps every parameter has a gradient; never: {sorted(missed)}"

    def test_depends_on_state_and_time(self, component: Any) -> None:
        module = self._trained(component, 0)
        x, t, _ = self._inputs(0)
        output = module(x, t)
        assert not torch.allclose(output, module(x + 0.5, t)), "the output depends on x"
        assert not torch.allclose(output, module(x, 1 - t)), "the output depends on t"

    def test_depends_on_the_label(self, component: Any) -> None:
        skip_if(not self.classes, "the network takes no labels")
        module = self._trained(component, self.classes)
        x, t, y = self._inputs(self.classes)
        assert y is not None
        output, none = module(x, t, y), module(x, t, torch.full_like(y, self.classes))
        assert torch.isfinite(none).all(), (
            f"label {self.classes} (the number of classes) means no label, and is accepted"
        )
        assert not torch.allclose(output, module(x, t, (y + 1) % self.classes)), "the output depends on the label"
        assert not torch.allclose(output, none), "the output without a label differs from that with one"

    def test_eval_mode_is_deterministic(self, component: Any) -> None:
        module = self._trained(component, 0)
        x, t, _ = self._inputs(0)
        assert torch.equal(module(x, t), module(x, t)), "in eval mode the same input has the same output"

    def test_examples_do_not_interact(self, component: Any) -> None:
        module = self._trained(component, 0)
        x, t, _ = self._inputs(0)
        together, alone = module(x, t), torch.cat([module(x[i : i + 1], t[i : i + 1]) for i in range(BATCH)])
        error = (together - alone).abs().max().item()
        assert error <= 1e-4, (
            f"in eval mode an example's output does not depend on its batch; it changes by {error:.3g}"
        )

    def _trained(self, component: Any, classes: int) -> nn.Module:
        module = _build(component, self.shape, classes)
        self._train(module, classes)
        return module.eval().requires_grad_(False)

    def _train(self, module: nn.Module, classes: int) -> set[str]:
        """Fit noise for a few steps; return the names of the parameters whose gradient was always zero."""
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)  # with 1e-2 a plain CNN's ReLUs can die
        x, t, y = self._inputs(classes)
        target = torch.randn(x.shape, generator=generator(8))
        missed = {name for name, _ in module.named_parameters()}
        for _ in range(self.training_steps):
            optimizer.zero_grad()
            loss = (_call(module, x, t, y) - target).square().mean()
            torch.autograd.backward(loss)
            missed -= {n for n, p in module.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
            optimizer.step()
        return missed

    def _inputs(self, classes: int, batch: int = BATCH) -> tuple[Tensor, Tensor, Tensor | None]:
        x = torch.randn(batch, *self.shape, generator=generator(9))
        t = torch.linspace(0.1, 0.95, batch)
        return x, t, torch.arange(batch) % classes if classes else None


def _build(component: Network, shape: tuple[int, ...], classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return component.build(shape, classes)


def _call(module: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
    output: Tensor = module(x, t) if y is None else module(x, t, y)
    return output
