"""The multilayer perceptron of the 2-D tutorials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge
from torch import nn

from fmbench import Network

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
LABEL_WIDTH = 16


class MLP(Network):
    """Fully connected layers over the flattened example with the time as one more input.

    Labels, where there are classes, come in as a learnt vector of 16 numbers.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: the nonlinearity after each hidden layer.
    """

    reference = "the 2-D flow-matching tutorials, e.g. torchcfm.models.MLP"

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

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a module for examples of any shape."""
        size = math.prod(shape)
        inputs = size + 1 + (LABEL_WIDTH if classes else 0)
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(inputs, self.width), ACTIVATIONS[self.activation]()]
            inputs = self.width
        return _Perceptron(nn.Sequential(*layers, nn.Linear(inputs, size)), classes)


class _Perceptron(nn.Module):
    """Concatenates state, time and label, and applies the layers."""

    def __init__(self, layers: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.layers = layers
        self.classes = classes
        self.label = nn.Embedding(classes + 1, LABEL_WIDTH) if classes else None

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        inputs = [x.flatten(1), t[:, None]]
        if self.label is not None:
            y = torch.full((len(x),), self.classes, device=x.device) if y is None else y
            inputs.append(self.label(y))
        output: Tensor = self.layers(torch.cat(inputs, dim=1))
        return output.reshape(x.shape)
