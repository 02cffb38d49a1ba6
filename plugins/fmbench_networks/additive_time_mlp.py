"""The perceptron of the digits tutorial, which adds the time to its input."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt
from torch import nn

from fmbench import Network
from fmbench_networks._conditions import condition_embedding, conditions

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "selu": nn.SELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class AdditiveTimeMLP(Network):
    """Fully connected layers over the flattened example, to which an embedding of the time is added.

    The embedding is tanh(a t + b), one number for each of the example's. Labels, where there are classes, add a
    learnt vector in the same way, and condition vectors what a perceptron of one hidden layer makes of them.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: the nonlinearity after each hidden layer.
        clip: the output is limited to -clip..clip; null for no limit. The tutorial has 3, for data in [-1, 1].
    """

    reference = "Tomczak, Introduction to deep generative modelling: flow matching (sbgms/fm_example.ipynb)"
    takes = ("labels", "vectors")

    def __init__(
        self,
        *,
        width: Annotated[int, Ge(1)] = 512,
        depth: Annotated[int, Ge(1)] = 3,
        activation: Literal["relu", "selu", "silu", "tanh"] = "selu",
        clip: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.activation = activation
        self.clip = clip

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for examples of any shape."""
        size = math.prod(shape)
        inputs = size
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(inputs, self.width), ACTIVATIONS[self.activation]()]
            inputs = self.width
        layers.append(nn.Linear(inputs, size))
        if self.clip is not None:
            layers.append(nn.Hardtanh(-self.clip, self.clip))
        return _AdditivePerceptron(nn.Sequential(*layers), size, classes, condition_width)


class _AdditivePerceptron(nn.Module):
    """Adds time and condition to the flattened state, and applies the layers."""

    def __init__(self, layers: nn.Sequential, size: int, classes: int, condition_width: int) -> None:
        super().__init__()
        self.layers = layers
        self.classes, self.condition_width = classes, condition_width
        self.time = nn.Sequential(nn.Linear(1, size), nn.Tanh())
        self.label = condition_embedding(classes, condition_width, size)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        h = x.flatten(1) + self.time(t[:, None])
        if self.label is not None:
            h = h + self.label(conditions(y, t, self.classes, self.condition_width))
        output: Tensor = self.layers(h)
        return output.reshape(x.shape)
