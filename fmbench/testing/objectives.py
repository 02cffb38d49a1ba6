"""Conformance of training objectives."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fmbench.components.contracts import Objective, PathSample, ProbabilityPath
from fmbench.testing.base import ComponentConformance, generator
from fmbench.testing.dummy_components import BentPath, StraightPath
from fmbench.testing.parametrize import parametrize, skip_if
from fmbench.testing.paths import BATCH, SHAPES, draws


class ObjectiveConformance(ComponentConformance):
    """An objective: its loss, and the velocity that its output stands for.

    One that requires "images" is given pictures only. Override `perfect_output` where the output is none of what
    `predicts` knows, and set `has_zero_loss` and `is_velocity` to False for an objective whose loss has no zero, or
    whose perfect output is not the path's velocity.

    Attributes:
        predicts: what the output stands for: "velocity", "x_1" or "noise".
        size_factor: by how much the loss of the same error may differ between small and large examples.
    """

    contract = Objective
    predicts: ClassVar[str] = "velocity"
    has_zero_loss: ClassVar[bool] = True
    is_velocity: ClassVar[bool] = True
    size_factor: ClassVar[float] = 2

    def perfect_output(self, sample: PathSample, path: ProbabilityPath) -> Tensor:
        """Return the output of a network that knows `x_0` and `x_1`: what `predicts` says unless overridden."""
        choices = ("velocity", "x_1", "noise")
        assert self.predicts in choices, f"predicts is one of {', '.join(choices)}; found {self.predicts!r}"
        return {"velocity": sample.dx_t, "x_1": sample.x_1, "noise": sample.x_0}[self.predicts]

    @parametrize("shape", SHAPES)
    def test_loss_is_one_number_an_example(self, component: Any, shape: tuple[int, ...]) -> None:
        """loss(output, sample) has shape (batch,), is finite and >= 0."""
        _suits(component, shape)
        sample, path = _sample(shape)
        output = self.perfect_output(sample, path) + 1
        loss = component.loss(output, sample)
        assert loss.shape == sample.t.shape, f"the loss has shape (batch,); found {tuple(loss.shape)}"
        assert (loss >= 0).all(), f"the loss is not negative; found {loss.min().item():.3g}"
        assert torch.isfinite(loss).all(), f"the loss of finite outputs is finite; found {loss}"

    def test_leaves_its_inputs_alone(self, component: Any) -> None:
        """Output and sample are not changed in place."""
        sample, path = _sample(_shape(component))
        given = [self.perfect_output(sample, path) + 1, sample.x_0, sample.x_1, sample.t, sample.x_t, sample.dx_t]
        copies = [value.clone() for value in given]
        component.loss(given[0], sample)
        assert all(map(torch.equal, given, copies)), "an objective does not change output or sample in place"

    def test_examples_do_not_interact(self, component: Any) -> None:
        """The loss of an example depends on that example's output alone."""
        sample, path = _sample(_shape(component))
        output = self.perfect_output(sample, path) + 1
        changed = output.clone()
        changed[0] += 10
        before, after = component.loss(output, sample), component.loss(changed, sample)
        assert torch.equal(before[1:], after[1:]), "the loss of an example depends on that example alone"
        assert before[0] != after[0], "the loss depends on the output"

    def test_loss_is_a_mean_over_dimensions(self, component: Any) -> None:
        """The loss is a mean over an example's dimensions, not a sum: it does not grow with their number."""
        means = []
        sizes = [(1, 4, 4), (3, 16, 16)] if "images" in component.requires else [(2,), (512,)]
        for shape in sizes:
            sample, path = _sample(shape, batch=16 if len(shape) == 3 else 256)
            output = self.perfect_output(sample, path) + 1
            means.append(component.loss(output, sample).mean().item())
        small, large = (torch.Size(shape).numel() for shape in sizes)
        assert 1 / self.size_factor < means[0] / means[1] < self.size_factor, (
            f"the loss is averaged over an example's dimensions, not summed; an error of 1 costs "
            f"{means[0]:.3g} in {small} and {means[1]:.3g} in {large} dimensions"
        )

    @parametrize("shape", SHAPES)
    def test_perfect_output_has_no_loss(self, component: Any, shape: tuple[int, ...]) -> None:
        """loss(perfect output) = 0, the perfect output being dx_t unless `predicts` says otherwise."""
        _suits(component, shape)
        skip_if(not self.has_zero_loss, "the objective states that its loss has no zero")
        sample, path = _sample(shape)
        loss = component.loss(self.perfect_output(sample, path), sample).max().item()
        assert loss <= 1e-12, (
            f"the perfect output, which is the {self.predicts} (predicts), has no loss; found {loss:.3g}"
        )

    def test_loss_has_gradients(self, component: Any) -> None:
        """d loss / d output is finite, and is not 0 away from the perfect output."""
        sample, path = _sample(_shape(component))
        output = (self.perfect_output(sample, path) + 1).detach().requires_grad_()
        component.loss(output, sample).mean().backward()
        gradient = output.grad
        assert gradient is not None and torch.isfinite(gradient).all(), "the loss has a finite gradient"  # noqa: PT018
        assert (gradient != 0).any(), "the gradient of the loss away from the perfect output is not zero"

    @parametrize("path", [StraightPath(), BentPath()], ids=["straight", "bent"])
    @parametrize("shape", SHAPES)
    def test_perfect_output_becomes_the_velocity(
        self, component: Any, shape: tuple[int, ...], path: ProbabilityPath
    ) -> None:
        """velocity(perfect output, x_t, t, path) = dx_t."""
        sample, path = _sample(shape, path)
        velocity = component.velocity(self.perfect_output(sample, path), sample.x_t, sample.t, path)
        assert velocity.shape == sample.x_t.shape, f"a velocity has the shape of x; found {tuple(velocity.shape)}"
        if self.is_velocity:
            error = (velocity - sample.dx_t).abs().max().item()
            assert error <= 1e-9, (
                f"the perfect output, which is the {self.predicts} (predicts), stands for dx_t; the velocity is "
                f"{error:.3g} away from it"
            )


def _suits(component: Any, shape: tuple[int, ...]) -> None:
    skip_if("images" in component.requires and len(shape) != 3, "the objective is for pictures")


def _shape(component: Any) -> tuple[int, ...]:
    """Return a shape that the objective can judge."""
    return (1, 4, 4) if "images" in component.requires else (3,)


def _sample(
    shape: tuple[int, ...], path: ProbabilityPath | None = None, batch: int = BATCH
) -> tuple[PathSample, ProbabilityPath]:
    path = path or StraightPath()
    x_0, x_1, t = draws(shape, torch.float64, batch)
    return path.sample(x_0, x_1, t, generator()), path
