"""Conventions: what a network of somebody else's is called with, and what its output is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn

from fmbench import AffinePath, DataError, Model, expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from fmbench import Dataset, ProbabilityPath

Time = Literal["data_at_one", "data_at_zero", "sigma"]
"""Where a network has the data: at the end of its time, as fmbench has it, at its beginning, or where sigma is 0."""
Prediction = Literal["velocity", "x_1", "noise", "score", "v"]
"""What a network's output is: dx/dt in its own time, the data, the noise, the score, or alpha_t x_0 - sigma_t x_1."""
Interval = tuple[float, float]
"""The lower and the upper end."""
OF_NOISE_LEVELS = ("x_1", "noise", "score")
"""What a network can predict that is told the noise level in place of a time."""
USUAL_LEVELS = (0.002, 80.0)
"""The noise levels where none are said: those of Karras et al. 2022, table 1."""
LEAST = 1e-12
"""What a weight that is divided by counts as at least."""


class DeclaredModel(Model):
    """A model with a parameter for each of its conventions, which decide what it needs and provides."""

    by_parameter: ClassVar[Mapping[str, Any]] = {
        "predicts": {"score": {"requires": ("normal_source",)}},
        "time": {"sigma": {"requires": ("normal_source",)}},
        "value_range": {None: {}, ...: {"requires": ("normal_source",)}},
        "labels": {True: {"provides": ("given", "labels"), "requires": ("classes",)}},
        "no_label": {None: {}, ...: {"provides": ("given", "no_label")}},
    }


@dataclass(frozen=True)
class Conventions:
    """What is declared of a network. Raises ValueError where the parts do not go together.

    `offset` is added to the network's time after it was scaled, which is not let below `least`. `noise_levels` are the
    smallest and the largest sigma that the network was trained for. `no_label` is its index of "no label".
    """

    predicts: Prediction = "velocity"
    time: Time = "data_at_one"
    time_scale: float = 1.0
    noise_levels: Interval = USUAL_LEVELS
    value_range: Interval | None = None
    labels: bool = False
    no_label: int | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.time == "sigma" and self.predicts not in OF_NOISE_LEVELS:
            rule = f"time: sigma goes with predicts: {', '.join(OF_NOISE_LEVELS)}"
            raise ValueError(f"{rule}, for a velocity or v is of a time; found predicts: {self.predicts}")
        if not 0 < self.noise_levels[0] < self.noise_levels[1]:
            raise ValueError(f"noise_levels must be two numbers above 0, the lower first; found {self.noise_levels}")
        if self.noise_levels != USUAL_LEVELS and self.time != "sigma":
            raise ValueError(f"noise_levels are of models that are told sigma: set time: sigma; found {self.time}")
        if self.value_range and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range must be two numbers, the lower first; found {self.value_range}")
        if self.no_label is not None and not self.labels:
            raise ValueError(f"no_label is of models that take labels: set labels: true; found {self.no_label}")

    def of(self, network: nn.Module, dataset: Dataset, path: ProbabilityPath) -> nn.Module:
        """Return a network as a module that fmbench calls. Raises DataError for a path that the conventions lack."""
        if (self.time == "sigma" or self.predicts in ("score", "v")) and not isinstance(path, AffinePath):
            raise DataError(f"time: sigma, and a score or v, need an affine path; found {type(path).__name__}")
        module = InOurTime(network, self, path, dataset.classes)
        return module if self.value_range is None else InItsRange(module, dataset.shape, self.value_range)


class InOurTime(nn.Module):
    """A network that is called in fmbench's time, t=0 for noise and t=1 for data, and with fmbench's labels.

    The network itself is called with t, or 1 - t where it has the data at zero, times the scale. A velocity is dx/ds of
    its own time s in [0, 1], before the scale: where s runs the other way it is turned round.

    One that is told sigma is called with x/alpha_t and sigma_t/alpha_t, data with that much noise added: of x_t =
    alpha_t (x_1 + sigma x_0), Karras et al. 2022 (arXiv:2206.00364), eq. 4 with their s(t) = alpha_t, as a denoiser
    D(x; sigma) of their eq. 7 takes it. alpha_t counts as at least sigma_t over the largest noise level, and sigma as
    at least the smallest.

    A score s becomes the noise that it stands for, -sigma_t s (Lipman et al. 2024, arXiv:2412.06264, table 1), and a v
    = alpha_t x_0 - sigma_t x_1 (Salimans and Ho 2022, arXiv:2202.00512, section 4) the velocity: with x_t = alpha_t
    x_1 + sigma_t x_0, alpha_t x_t - sigma_t v is (alpha_t^2 + sigma_t^2) x_1, and sigma_t x_t + alpha_t v that of x_0.
    """

    def __init__(self, network: nn.Module, conventions: Conventions, path: ProbabilityPath, classes: int = 0) -> None:
        super().__init__()
        self.network = network
        self._said = conventions
        self._path = path
        self._classes = classes

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the output at `x` `(batch, *shape)`, fmbench's time `t` and labels `y`, each `(batch,)`."""
        said = self._said
        alpha: Tensor | float = 1.0
        if said.time == "sigma":
            alpha, own = self._noise_level(x, t)
        else:
            own = 1 - t if said.time == "data_at_zero" else t
        state = x / alpha if said.time == "sigma" else x.clone()  # what changes it in place changes its own
        own = own * said.time_scale + said.offset
        labels = () if y is None else (self._own_labels(y),)
        output: Tensor = self.network(state, own.clamp(min=0.0) if said.offset else own, *labels)
        if x.requires_grad and torch.is_grad_enabled() and not output.requires_grad:
            raise RuntimeError("the model gives no gradient (no_grad, detach or numpy): no metric of its derivatives")
        if said.predicts == "velocity":
            return -output if said.time == "data_at_zero" else output
        if said.predicts == "score":
            return -self._coefficients(x, t)[1] * output / alpha
        return self._velocity_of_v(output, x, t) if said.predicts == "v" else output

    def _coefficients(self, x: Tensor, t: Tensor) -> list[Tensor]:
        """Return the path's coefficients at `t`, shaped to multiply `x`."""
        assert isinstance(self._path, AffinePath)
        return [expand(each, x) for each in self._path.coefficients(t)]

    def _noise_level(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `x` is divided by, shaped to do so, and the noise level `(batch,)` that the network is told."""
        assert isinstance(self._path, AffinePath)
        least, most = self._said.noise_levels
        alpha_t, sigma_t, _, _ = self._path.coefficients(t)
        alpha = torch.maximum(alpha_t, sigma_t / most)
        return expand(alpha, x), (sigma_t / alpha).clamp(min=least)

    def _velocity_of_v(self, v: Tensor, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = self._coefficients(x, t)
        both = (alpha.square() + sigma.square()).clamp(min=LEAST)
        return (d_alpha * (alpha * x - sigma * v) + d_sigma * (sigma * x + alpha * v)) / both

    def _own_labels(self, y: Tensor) -> Tensor:
        """Return fmbench's labels as the network's own, which may have another index for "no label"."""
        return y if self._said.no_label is None else torch.where(y == self._classes, self._said.no_label, y)


class InItsRange(nn.Module):
    """A network whose data have other values than the dataset's: its states are its own, and samples are brought back.

    What is -1 and 1 in the dataset is the lower and the upper end of `value_range` for the network.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...], value_range: Interval) -> None:
        super().__init__()
        self.network = network
        self.state_shape = tuple(shape)
        low, high = value_range
        self._scale, self._middle = (high - low) / 2, (high + low) / 2

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the network's output at `x` `(batch, *shape)`, `t` and `y` `(batch,)`."""
        output: Tensor = self.network(x, t) if y is None else self.network(x, t, y)
        return output

    def decode(self, x: Tensor) -> Tensor:
        """Return data of the network's range `(batch, *shape)` in the dataset's."""
        return (x - self._middle) / self._scale
