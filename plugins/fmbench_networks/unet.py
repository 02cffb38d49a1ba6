"""The two-level U-Net of the tutorials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge
from torch import nn
from torch.nn import functional as F

from fmbench import Network
from fmbench_networks._images import image_shape, labels, with_time

if TYPE_CHECKING:
    from torch import Tensor


class UNet(Network):
    """Two levels down by average pooling and up again, double convolutions, and skips that are concatenated.

    The time is one more channel of the image. Labels, where there are classes, add a learnt vector to the channels of
    each double convolution. Pooling rounds sizes up, and what comes up is brought to the size of its skip by nearest
    neighbours, so any size is served. There is no normalisation.

    Args:
        channels: channels at full resolution; the two levels below have twice and four times as many.
    """

    reference = "Ronneberger et al. 2015 (U-Net), with the two levels and the time channel of flow-matching tutorials"
    requires = ("images",)
    bf16 = True
    channels_last = True

    def __init__(self, *, channels: Annotated[int, Ge(1)] = 32) -> None:
        self.channels = channels

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a module for images `(channels, height, width)` of any size."""
        colours, _, _ = image_shape("unet", shape)
        return _TwoLevels(colours, classes, self.channels)


class _TwoLevels(nn.Module):
    """Down through `top`, `middle` and `bottom`, and up through `middle_up` and `top_up`."""

    def __init__(self, colours: int, classes: int, channels: int) -> None:
        super().__init__()
        self.classes = classes
        self.top = _DoubleConvolution(colours + 1, channels, classes)
        self.middle = _DoubleConvolution(channels, 2 * channels, classes)
        self.bottom = _DoubleConvolution(2 * channels, 4 * channels, classes)
        self.middle_up = _DoubleConvolution(6 * channels, 2 * channels, classes)
        self.top_up = _DoubleConvolution(3 * channels, channels, classes)
        self.out = nn.Conv2d(channels, colours, 1)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = labels(y, t, self.classes) if self.classes else None
        top = self.top(with_time(x, t), y)
        middle = self.middle(_halve(top), y)
        h = self.bottom(_halve(middle), y)
        h = self.middle_up(_join(h, middle), y)
        h = self.top_up(_join(h, top), y)
        output: Tensor = self.out(h)
        return output


class _DoubleConvolution(nn.Module):
    """Two 3x3 convolutions, each followed by SiLU; the label comes in between convolution and SiLU of the first."""

    def __init__(self, inputs: int, outputs: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.label = nn.Embedding(classes + 1, outputs) if classes else None

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
