"""Conformance of models that exist already."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from fmbench.components.contracts import Dataset, Model, ProbabilityPath
from fmbench.testing.base import ComponentConformance, assert_form_of, generator
from fmbench.testing.dummy_components import StraightPath, TwoBlobs

PREDICTIONS = ("velocity", "x_1", "noise")
BATCH = 6


class ModelConformance(ComponentConformance):
    """A model: what it declares, and what its network makes of states and times.

    Define `network` where the model names one: it returns a new network, as fmbench would make it.

    Attributes:
        path: the path that it is built for.
    """

    contract = Model
    path: ClassVar[ProbabilityPath] = StraightPath()

    def network(self) -> Any:
        """Return a new network of those that the model's weights are for; None where it names none."""
        return None

    @pytest.fixture
    def data(self) -> Dataset:
        return TwoBlobs()

    @pytest.fixture
    def module(self, component: Any, data: Dataset) -> nn.Module:
        built = component.build(data, self.path, self.network())
        assert isinstance(built, nn.Module), f"build returns a torch.nn.Module; it returned {type(built).__name__}"
        return built.eval()

    def test_declares_a_path_and_what_it_predicts(self, component: Any) -> None:
        parameters = inspect.signature(type(component).__init__).parameters
        assert "path" in parameters, "a model has a parameter `path`: the plan asks it for the path"
        assert component.predicts in PREDICTIONS, (
            f"predicts is one of {', '.join(PREDICTIONS)}; it is {component.predicts!r}"
        )
        assert not component.network or component.network in parameters, (
            f"network names the parameter that holds the network; {component.network!r} is none"
        )
        assert "given" in component.provides, "a model provides 'given': add it to what the class provides"

    def test_output_has_the_shape_of_x(self, module: nn.Module, data: Dataset) -> None:
        for batch in (1, BATCH):
            x, t = torch.randn(batch, *data.shape, generator=generator()), torch.linspace(0.1, 0.9, batch)
            output = module(x, t)
            assert_form_of("x", x, "the output", output)
            assert torch.isfinite(output).all(), "the output is finite for t in (0, 1)"

    def test_ends_of_time_are_finite(self, module: nn.Module, data: Dataset) -> None:
        x = torch.randn(BATCH, *data.shape, generator=generator())
        for end in (0.0, 1.0):
            assert torch.isfinite(module(x, torch.full((BATCH,), end))).all(), f"the output is finite at t={end:g}"

    def test_the_same_input_has_the_same_output(self, module: nn.Module, data: Dataset) -> None:
        x, t = torch.randn(BATCH, *data.shape, generator=generator()), torch.linspace(0.1, 0.9, BATCH)
        assert torch.equal(module(x, t), module(x, t)), "two calls with the same input give the same"

    def test_examples_do_not_interact(self, module: nn.Module, data: Dataset) -> None:
        x, t = torch.randn(BATCH, *data.shape, generator=generator()), torch.linspace(0.1, 0.9, BATCH)
        whole, alone = module(x, t), torch.cat([module(x[i : i + 1], t[i : i + 1]) for i in range(BATCH)])
        assert torch.allclose(whole, alone, atol=1e-5), "an example's output does not depend on the rest of the batch"

    def test_two_builds_have_the_same_weights(self, component: Any, data: Dataset) -> None:
        first, again = (component.build(data, self.path, self.network()).state_dict() for _ in range(2))
        assert list(first) == list(again) and all(torch.equal(first[name], again[name]) for name in first), (  # noqa: PT018
            "the weights come from the model, whatever the network held before"
        )
