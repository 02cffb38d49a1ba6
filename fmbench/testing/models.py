"""Conformance of models that exist already."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fmbench.components.conditions import no_condition
from fmbench.components.contracts import Dataset, Model, ProbabilityPath
from fmbench.testing.base import ComponentConformance, assert_form_of, generator
from fmbench.testing.dummy_components import StraightPath, TwoBlobs
from fmbench.testing.parametrize import fixture, skip_if

PREDICTIONS = ("velocity", "x_1", "noise", "score", "v")
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

    @fixture
    def data(self) -> Dataset:
        return TwoBlobs()

    @fixture
    def module(self, component: Any, data: Dataset) -> nn.Module:
        built = component.build(data, self.path, self.network())
        assert isinstance(built, nn.Module), f"build returns a torch.nn.Module; it returned {type(built).__name__}"
        return built.eval()

    def test_declares_a_path_and_what_it_predicts(self, component: Any) -> None:
        """A model has a parameter `path`, provides "given", and `predicts` says what its output is."""
        parameters = inspect.signature(type(component).__init__).parameters
        assert "path" in parameters, "a model has a parameter `path`: the plan asks it for the path"
        assert component.predicts in PREDICTIONS, (
            f"predicts is one of {', '.join(PREDICTIONS)}; it is {component.predicts!r}"
        )
        assert not component.network or component.network in parameters, (
            f"network names the parameter that holds the network; {component.network!r} is none"
        )
        assert "given" in component.provides, "a model provides 'given': add it to what the class provides"

    def test_output_has_the_shape_of_x(self, component: Any, module: nn.Module, data: Dataset) -> None:
        """The network's output has the shape of x, and is finite where 0 < t < 1."""
        for batch in (1, BATCH):
            x, *others = _inputs(component, module, data, batch)
            output = module(x, *others)
            assert_form_of("x", x, "the output", output)
            assert torch.isfinite(output).all(), "the output is finite for t in (0, 1)"

    def test_ends_of_time_are_finite(self, component: Any, module: nn.Module, data: Dataset) -> None:
        """The output is finite at t = 0 and t = 1, too, where solvers ask for it."""
        x, t, *labels = _inputs(component, module, data)
        for end in (0.0, 1.0):
            output = module(x, torch.full_like(t, end), *labels)
            assert torch.isfinite(output).all(), f"the output is finite at t={end:g}"

    def test_the_same_input_has_the_same_output(self, component: Any, module: nn.Module, data: Dataset) -> None:
        """Two calls with the same (x, t) give the same."""
        inputs = _inputs(component, module, data)
        assert torch.equal(module(*inputs), module(*inputs)), "two calls with the same input give the same"

    def test_examples_do_not_interact(self, component: Any, module: nn.Module, data: Dataset) -> None:
        """An example's output does not depend on the rest of its batch."""
        inputs = _inputs(component, module, data)
        alone = torch.cat([module(*(each[i : i + 1] for each in inputs)) for i in range(BATCH)])
        assert torch.allclose(module(*inputs), alone, atol=1e-5), (
            "an example's output does not depend on the rest of the batch"
        )

    def test_labels_are_declared_and_taken(self, component: Any, module: nn.Module, data: Dataset) -> None:
        """Who provides "labels" requires "classes", and with "no_label" takes y = classes for no label."""
        skip_if("labels" not in component.provides, "the model takes no labels")
        assert "classes" in component.requires, "a model with labels requires 'classes'"
        if "no_label" in component.provides:
            x, t, y = _inputs(component, module, data)
            output = module(x, t, no_condition(y, data.classes))
            assert torch.isfinite(output).all(), "with 'no_label' it takes the number of classes for no label"

    def test_a_space_of_its_own_is_decoded_to_data(self, component: Any, module: nn.Module, data: Dataset) -> None:
        """With `state_shape`, decode(x) returns data of the dataset's shape."""
        skip_if(not hasattr(module, "state_shape"), "the model works at data")
        decoded = module.decode(_inputs(component, module, data)[0])  # type: ignore[operator]
        assert decoded.shape == (BATCH, *data.shape), f"decode returns data; found shape {tuple(decoded.shape)}"
        assert "normal_source" in component.requires, "a model with a space of its own requires 'normal_source'"

    def test_two_builds_have_the_same_weights(self, component: Any, data: Dataset) -> None:
        """The weights come from the model, whatever the network held before."""
        first, again = (component.build(data, self.path, self.network()).state_dict() for _ in range(2))
        assert list(first) == list(again) and all(torch.equal(first[name], again[name]) for name in first), (  # noqa: PT018
            "the weights come from the model, whatever the network held before"
        )


def _inputs(component: Any, module: nn.Module, data: Dataset, batch: int = BATCH) -> list[Tensor]:
    """Return states and times, and labels where the model takes them."""
    shape: tuple[int, ...] = getattr(module, "state_shape", data.shape)
    inputs = [torch.randn(batch, *shape, generator=generator()), torch.linspace(0.1, 0.9, batch)]
    return [*inputs, torch.arange(batch) % data.classes] if "labels" in component.provides else inputs
