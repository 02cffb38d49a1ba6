"""The two-level U-Net of the tutorials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge
from torch import nn
from torch.nn import functional as F

from fmbench import Network
from fmbench_networks._conditions import condition_embedding, conditions
from fmbench_networks._images import image_shape, with_time

if TYPE_CHECKING:
    from torch import Tensor


class UNet(Network):
    """Two levels down by average pooling and up again, double convolutions, and skips that are concatenated.

    The time is one more channel of the image. Labels, where there are classes, add a learnt vector to the channels of
    each double convolution, and condition vectors what a perceptron of one hidden layer makes of them. Pooling rounds
    sizes up, and what comes up is brought to the size of its skip by nearest neighbours, so any size is served. There
    is no normalisation.

    Args:
        channels: channels at full resolution; the two levels below have twice and four times as many.
    """

    reference = "Ronneberger et al. 2015 (U-Net), with the two levels and the time channel of flow-matching tutorials"
    requires = ("images",)
    takes = ("labels", "vectors")
    bf16 = True
    channels_last = True

    def __init__(self, *, channels: Annotated[int, Ge(1)] = 32) -> None:
        self.channels = channels

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for images `(channels, height, width)` of any size."""
        colours, _, _ = image_shape("unet", shape)
        return _TwoLevels(colours, classes, condition_width, self.channels)


class _TwoLevels(nn.Module):
    """Down through `top`, `middle` and `bottom`, and up through `middle_up` and `top_up`."""

    def __init__(self, colours: int, classes: int, condition_width: int, channels: int) -> None:
        super().__init__()
        self.classes, self.condition_width = told = classes, condition_width
        self.top = _DoubleConvolution(colours + 1, channels, *told)
        self.middle = _DoubleConvolution(channels, 2 * channels, *told)
        self.bottom = _DoubleConvolution(2 * channels, 4 * channels, *told)
        self.middle_up = _DoubleConvolution(6 * channels, 2 * channels, *told)
        self.top_up = _DoubleConvolution(3 * channels, channels, *told)
        self.out = nn.Conv2d(channels, colours, 1)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        told = self.classes or self.condition_width
        y = conditions(y, t, self.classes, self.condition_width) if told else None
        top = self.top(with_time(x, t), y)
        middle = self.middle(_halve(top), y)
        h = self.bottom(_halve(middle), y)
        h = self.middle_up(_join(h, middle), y)
        h = self.top_up(_join(h, top), y)
        output: Tensor = self.out(h)
        return output


class _DoubleConvolution(nn.Module):
    """Two 3x3 convolutions, each followed by SiLU; the condition comes in between convolution and SiLU of the first."""

    def __init__(self, inputs: int, outputs: int, classes: int, condition_width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.label = condition_embedding(classes, condition_width, outputs)

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        h = self.first(h)
        if self.label is not None:
            h = h + self.label(y)[:, :, None, None]
        return F.silu(self.second(F.silu(h)))


def _halve(h: Tensor) -> Tensor:
    return F.avg_pool2d(h, 2, ceil_mode=True)


def _join(below: Tensor, skip: Tensor) -> Tensor:
    """Bring what comes from below to the size of the skip, and append it."""
    return torch.cat([skip, F.interpolate(below, size=skip.shape[-2:], mode="nearest")], dim=1)
