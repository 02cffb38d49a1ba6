"""A small U-Net that learns quickly on a CPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge
from torch import nn
from torch.nn import functional as F

from fmbench import Network
from fmbench_networks._conditions import condition_embedding, conditions

if TYPE_CHECKING:
    from torch import Tensor

FREQUENCIES = 32
EMBEDDING = 64
BOTTOM_BLOCKS = 3
RESIDUAL_GAIN = 0.3
OUTPUT_GAIN = 0.1


class SmallUNet(Network):
    """The tutorials' small U-Net: strided convolutions down to one pixel and up, and a sinusoidal time embedding.

    Every level halves height and width by a 2x2 convolution of stride 2, from the first layer on, so nothing is
    computed at full resolution. Levels of 4 pixels and more have a residual 3x3 convolution on the way down and on
    the way up; the one pixel at the bottom has dense residual blocks. Skips are added. Time (and condition) scale and
    shift the channels in each block. There is no normalisation: residual branches start small instead.

    Args:
        channels: channels of the first level; the next have 2 and then 4 times as many, the bottom 8 times.
    """

    reference = "Ronneberger et al. 2015 (U-Net); Ho et al. 2020, appendix B (time embedding); Nichol & Dhariwal 2021"
    requires = ("images",)
    takes = ("labels", "vectors")
    bf16 = True
    channels_last = True

    def __init__(self, *, channels: Annotated[int, Ge(1)] = 32) -> None:
        self.channels = channels

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for images `(channels, height, width)` of any size."""
        if len(shape) != 3:
            raise ValueError(f"small_unet needs images (channels, height, width); found shape {shape}. Take mlp.")
        return _UNet(shape, classes, condition_width, self.channels)


class _UNet(nn.Module):
    """Within, states are `(batch, height, width, channels)`, so that channels are mixed by plain matrix products."""

    frequencies: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int, condition_width: int, channels: int) -> None:
        super().__init__()
        colours, height, width = shape
        self.classes, self.condition_width = classes, condition_width
        self.register_buffer("frequencies", torch.logspace(0, 2, FREQUENCIES), persistent=False)
        self.time = nn.Linear(2 * FREQUENCIES, EMBEDDING)
        self.label = condition_embedding(classes, condition_width, EMBEDDING)
        depth = max(1, math.ceil(math.log2(max(height, width))))
        widths = [channels * min(2**level, 4) for level in range(depth - 1)] + [channels * 8]
        self.levels = _Level(colours, widths, (height, width))
        self.gate = nn.Linear(EMBEDDING, colours)
        with torch.no_grad():
            self.levels.up.weight.mul_(OUTPUT_GAIN)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self._embed(t, y)
        output: Tensor = self.levels(x.permute(0, 2, 3, 1), embedding).permute(0, 3, 1, 2)
        # The velocity contains x itself, which the narrow first level would have to copy.
        gate: Tensor = self.gate(embedding)[:, :, None, None]
        return output + gate * x

    def _embed(self, t: Tensor, y: Tensor | None) -> Tensor:
        """Return the embedding of time and condition, `(batch, 64)`."""
        angles = t[:, None] * self.frequencies
        embedding = self.time(torch.cat([angles.cos(), angles.sin()], dim=1))
        if self.label is not None:
            embedding = embedding + self.label(conditions(y, t, self.classes, self.condition_width))
        return F.silu(embedding)


class _Level(nn.Module):
    """Down by one level, through what lies below, and up again: `(batch, height, width, outer)` to the same shape."""

    def __init__(self, outer: int, widths: list[int], size: tuple[int, int]) -> None:
        super().__init__()
        width, below = widths[0], widths[1:]
        half = (math.ceil(size[0] / 2), math.ceil(size[1] / 2))
        self.down = nn.Linear(4 * outer, width)
        kind = _Convolution if min(half) >= 4 else None
        self.before = kind(width) if kind else None
        self.inner = _Level(width, below, half) if below else None
        self.bottom = nn.ModuleList() if below else nn.ModuleList(_Dense(width) for _ in range(BOTTOM_BLOCKS))
        self.after = kind(width) if kind else None
        self.up = nn.Linear(width, 4 * outer)

    def forward(self, outside: Tensor, embedding: Tensor) -> Tensor:
        h = self.down(_to_patches(outside))
        if self.before is not None:
            h = self.before(h, embedding)
        if self.inner is not None:
            h = h + self.inner(h, embedding)
        for block in self.bottom:
            h = block(h, embedding)
        if self.after is not None:
            h = self.after(h, embedding)
        return _from_patches(self.up(F.silu(h)), outside.shape[1], outside.shape[2])


class _Modulated(nn.Module):
    """A residual branch whose channels are scaled and shifted by the embedding: h + branch(silu(a h + b))."""

    def __init__(self, width: int, branch: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.modulation = nn.Linear(EMBEDDING, 2 * width)
        self.branch = branch
        with torch.no_grad():
            branch.weight.mul_(RESIDUAL_GAIN)
            self.modulation.bias[:width] += 1  # a scale near 1

    def modulate(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, None, None].chunk(2, dim=-1)
        return F.silu(h * scale + shift, inplace=True)


class _Dense(_Modulated):
    """A residual block that mixes the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__(width, nn.Linear(width, width))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        return torch.add(h, self.branch(self.modulate(h, embedding)))


class _Convolution(_Modulated):
    """A residual block with a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__(width, nn.Conv2d(width, width, 3, padding=1))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        convolved: Tensor = self.branch(self.modulate(h, embedding).permute(0, 3, 1, 2))
        return h + convolved.permute(0, 2, 3, 1)


def _to_patches(h: Tensor) -> Tensor:
    """Return the 2x2 patches of `(batch, height, width, c)` as `(batch, height/2, width/2, 4c)`, padded to even sizes.

    A linear map of them is a 2x2 convolution of stride 2; as a matrix product it is several times faster on a CPU.
    """
    if h.shape[1] % 2 or h.shape[2] % 2:
        h = F.pad(h, (0, 0, 0, h.shape[2] % 2, 0, h.shape[1] % 2))
    batch, height, width, c = h.shape
    patches = h.reshape(batch, height // 2, 2, width // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
    return patches.reshape(batch, height // 2, width // 2, 4 * c)


def _from_patches(patches: Tensor, height: int, width: int) -> Tensor:
    """Undo `_to_patches`, cropping to the height and width that were padded."""
    batch, rows, columns, c = patches.shape
    h = patches.reshape(batch, rows, columns, 2, 2, c // 4).permute(0, 1, 3, 2, 4, 5)
    h = h.reshape(batch, 2 * rows, 2 * columns, c // 4)
    # A slice that keeps everything would still cost a copy on the way back.
    return h if h.shape[1:3] == (height, width) else h[:, :height, :width]
