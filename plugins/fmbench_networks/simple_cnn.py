"""The plain convolutional network of the MNIST tutorials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge
from torch import nn

from fmbench import Network
from fmbench_networks._conditions import condition_embedding, conditions
from fmbench_networks._images import image_shape, with_time

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


class SimpleCNN(Network):
    """A few 3x3 convolutions at full resolution, with the time as one more channel of the image.

    An output pixel sees 2 depth + 3 pixels in height and width, strokes rather than whole digits: the network is here
    as what many people meet first. Labels, where there are classes, add a learnt vector to the channels of the first
    layer, and condition vectors what a perceptron of one hidden layer makes of them.

    Args:
        channels: channels of each hidden layer.
        depth: number of hidden layers; one more convolution leads to the output.
        activation: the nonlinearity after each hidden layer.
    """

    reference = "the MNIST flow-matching tutorials with a plain CNN, the time as a channel"
    requires = ("images",)
    takes = ("labels", "vectors")
    bf16 = True
    channels_last = True

    def __init__(
        self,
        *,
        channels: Annotated[int, Ge(1)] = 64,
        depth: Annotated[int, Ge(1)] = 3,
        activation: Literal["relu", "silu"] = "relu",
    ) -> None:
        self.channels = channels
        self.depth = depth
        self.activation = activation

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for images `(channels, height, width)` of any size."""
        colours, _, _ = image_shape("simple_cnn", shape)
        layers: list[nn.Module] = [ACTIVATIONS[self.activation]()]
        for _ in range(self.depth - 1):
            layers += [nn.Conv2d(self.channels, self.channels, 3, padding=1), ACTIVATIONS[self.activation]()]
        layers.append(nn.Conv2d(self.channels, colours, 3, padding=1))
        first = nn.Conv2d(colours + 1, self.channels, 3, padding=1)
        return _CNN(first, nn.Sequential(*layers), classes, condition_width)


class _CNN(nn.Module):
    """The first convolution, to which the condition is added, and the others."""

    def __init__(self, first: nn.Conv2d, others: nn.Sequential, classes: int, condition_width: int) -> None:
        super().__init__()
        self.first = first
        self.others = others
        self.classes, self.condition_width = classes, condition_width
        self.label = condition_embedding(classes, condition_width, first.out_channels)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.first(with_time(x, t))
        if self.label is not None:
            h = h + self.label(conditions(y, t, self.classes, self.condition_width))[:, :, None, None]
        output: Tensor = self.others(h)
        return output
