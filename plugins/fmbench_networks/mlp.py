"""The multilayer perceptron of the 2-D tutorials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge
from torch import nn

from fmbench import Network
from fmbench_networks._conditions import condition_embedding, conditions

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
LABEL_WIDTH = 16


class MLP(Network):
    """Fully connected layers over the flattened example with the time as one more input.

    Labels, where there are classes, come in as a learnt vector of 16 numbers; condition vectors as 16 numbers that a
    perceptron of one hidden layer makes of them.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: the nonlinearity after each hidden layer.
    """

    reference = "the 2-D flow-matching tutorials, e.g. torchcfm.models.MLP"
    takes = ("labels", "vectors")

    def __init__(
        self,
        *,
        width: Annotated[int, Ge(1)] = 64,
        depth: Annotated[int, Ge(1)] = 2,
        activation: Literal["relu", "silu", "tanh"] = "silu",
    ) -> None:
        self.width = width
        self.depth = depth
        self.activation = activation

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for examples of any shape."""
        size = math.prod(shape)
        inputs = size + 1 + (LABEL_WIDTH if classes or condition_width else 0)
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(inputs, self.width), ACTIVATIONS[self.activation]()]
            inputs = self.width
        return _Perceptron(nn.Sequential(*layers, nn.Linear(inputs, size)), classes, condition_width)


class _Perceptron(nn.Module):
    """Concatenates state, time and condition, and applies the layers."""

    def __init__(self, layers: nn.Sequential, classes: int, condition_width: int) -> None:
        super().__init__()
        self.layers = layers
        self.classes, self.condition_width = classes, condition_width
        self.label = condition_embedding(classes, condition_width, LABEL_WIDTH)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        inputs = [x.flatten(1), t[:, None]]
        if self.label is not None:
            inputs.append(self.label(conditions(y, t, self.classes, self.condition_width)))
        output: Tensor = self.layers(torch.cat(inputs, dim=1))
        return output.reshape(x.shape)
