"""The U-Net of "Diffusion models beat GANs", from the library diffusers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Len, Lt
from torch import nn

from fmbench import Network
from fmbench_networks._conditions import VectorEmbedding, conditions
from fmbench_networks._diffusers import TIMESTEPS, need_diffusers
from fmbench_networks._images import image_shape, pad, round_up

if TYPE_CHECKING:
    from torch import Tensor

GROUPS = 32
EMBEDDING = 4
"""The library's embedding of time, to which the condition's is added, has so many times the channels."""


class ADMUNet(Network):
    """The ADM U-Net: residual blocks with GroupNorm and attention; time (and condition) scale and shift in every block.

    It is diffusers' UNet2DModel, set up as in the paper: blocks halve and double the resolution themselves, and the
    last layer of each residual branch and of the network starts at zero. An image whose height or width does not
    divide by 2^(levels - 1) is padded with zeros below and on the right, and the result is cropped. With channels 192,
    multipliers [1, 2, 3, 4], blocks 3, attention [1, 2, 3] and head_channels 64 it is the paper's network for ImageNet
    at 64x64, without the learnt variance. Needs `pip install 'fmbench[networks]'`.

    Args:
        channels: channels of the first level; GroupNorm makes as many groups, up to 32, as divide them.
        multipliers: channels of each level, as multiples of `channels`; each level after the first halves the image.
        blocks: residual blocks of each level on the way down; there is one more on the way up.
        attention: the levels, counted from 0, whose blocks have attention; below the last level there always is.
        head_channels: channels of each attention head.
        dropout: probability with which residual blocks drop a number while training.
    """

    reference = "Dhariwal & Nichol 2021, section 3 (ADM); diffusers.UNet2DModel"
    requires = ("images",)
    takes = ("labels", "vectors")
    bf16 = True

    def __init__(
        self,
        *,
        channels: Annotated[int, Ge(1)] = 32,
        multipliers: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1)] = (1, 2, 2),
        blocks: Annotated[int, Ge(1)] = 1,
        attention: tuple[Annotated[int, Ge(0)], ...] = (2,),
        head_channels: Annotated[int, Ge(1)] = 32,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        need_diffusers("adm_unet")
        levels = len(multipliers)
        for level in attention:
            if level >= levels:
                raise ValueError(
                    f"attention names levels 0 to {levels - 1}, one for each of the {levels} multipliers; found {level}"
                )
        for level in {*attention, levels - 1}:
            if channels * multipliers[level] % head_channels:
                raise ValueError(
                    f"head_channels must divide the channels of each level with attention, the last one included; "
                    f"level {level} has {channels * multipliers[level]}, found head_channels {head_channels}"
                )
        self.channels = channels
        self.multipliers = multipliers
        self.blocks = blocks
        self.attention = attention
        self.head_channels = head_channels
        self.dropout = dropout

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for images `(channels, height, width)`.

        Raises ValueError where there are more levels than the image can be halved.
        """
        from diffusers.models.unets.unet_2d import UNet2DModel

        colours, height, width = image_shape("adm_unet", shape)
        levels = len(self.multipliers)
        factor = 2 ** (levels - 1)
        if factor > max(height, width):
            raise ValueError(
                f"adm_unet with {levels} multipliers halves images {levels - 1} times, so they must be at least "
                f"{factor} pixels high or wide; found {height}x{width}. Take fewer multipliers."
            )
        size = (round_up(height, factor), round_up(width, factor))
        settings = self._settings(classes, condition_width)
        model = UNet2DModel(sample_size=size, in_channels=colours, out_channels=colours, **settings)
        _zero_last_layers(model)
        vectors = VectorEmbedding(condition_width, EMBEDDING * self.channels) if condition_width else None
        return _Timed(model, size, classes, condition_width, vectors)

    def _settings(self, classes: int, condition_width: int) -> dict[str, Any]:
        """Return what UNet2DModel is to be like, but for the image."""
        levels = range(len(self.multipliers))
        kinds = ["Attn{}Block2D" if level in self.attention else "Resnet{}sampleBlock2D" for level in levels]
        groups = math.gcd(GROUPS, self.channels)
        return {
            "block_out_channels": tuple(self.channels * multiplier for multiplier in self.multipliers),
            "down_block_types": tuple(kind.format("Down") for kind in kinds),
            "up_block_types": tuple(kind.format("Up") for kind in reversed(kinds)),
            "layers_per_block": self.blocks,
            "downsample_type": "resnet",
            "upsample_type": "resnet",
            "resnet_time_scale_shift": "scale_shift",
            "attention_head_dim": self.head_channels,
            "norm_num_groups": groups,
            "attn_norm_num_groups": groups,
            "dropout": self.dropout,
            "num_class_embeds": classes + 1 if classes else None,
            "class_embed_type": "identity" if condition_width else None,
        }


class _Timed(nn.Module):
    """Calls the library's model with fmbench's times and conditions, on padded images; vectors are embedded for it."""

    def __init__(
        self, model: nn.Module, size: tuple[int, int], classes: int, condition_width: int, vectors: nn.Module | None
    ) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.classes, self.condition_width = classes, condition_width
        self.vectors = vectors

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        told = self.classes or self.condition_width
        y = conditions(y, t, self.classes, self.condition_width) if told else None
        y = y if self.vectors is None else self.vectors(y)
        output: Tensor = self.model(pad(x, *self.size), TIMESTEPS * t, y, return_dict=False)[0]
        return output[..., : x.shape[-2], : x.shape[-1]]


@torch.no_grad()
def _zero_last_layers(model: Any) -> None:
    """Start residual branches, attention and the output at zero, as the paper's code does and the library does not."""
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    last = [model.conv_out]
    last += [module.conv2 for module in model.modules() if isinstance(module, ResnetBlock2D)]
    last += [module.to_out[0] for module in model.modules() if isinstance(module, Attention)]
    for layer in last:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
