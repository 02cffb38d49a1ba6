"""The vision transformer that DINOv2 and CLIP have in common, sized by the weights that it is given."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD = 64
"""Features of one attention head, in all sizes of either network."""


class Block(nn.Module):
    """Attention and two layers, each after a normalisation and added to what was there, scaled where there is a scale.

    `quick` is the activation x sigmoid(1.702 x) of CLIP in place of GELU.
    """

    def __init__(self, width: int, hidden: int, eps: float, scaled: bool, quick: bool) -> None:
        super().__init__()
        self.heads, self.quick = width // HEAD, quick
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=eps) for _ in range(2))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(width)) if scaled else None for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens `(batch, tokens, width)`."""
        x = x + _scaled(self._attention(self.norm1(x)), self.scale1)
        inner = self.fc1(self.norm2(x))
        inner = inner * torch.sigmoid(1.702 * inner) if self.quick else F.gelu(inner)
        return x + _scaled(self.fc2(inner), self.scale2)

    def _attention(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4)
        seen: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return seen


class VisionTransformer(nn.Module):
    """Patches and a class token through blocks; what it returns is the class token's (Dosovitskiy et al. 2021).

    What is there is read off the weights `{name: tensor}`: sizes, the scales of blocks (`blocks.0.scale1`), a first
    normalisation (`first.weight`), a bias of the patches, and a projection at the end (`projection.weight`). Raises
    KeyError or RuntimeError where they are not those of such a network.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, eps: float, quick: bool) -> None:
        super().__init__()
        width, channels, self.patch, _ = weights["patch_embed.weight"].shape
        hidden, depth = len(weights["blocks.0.fc1.weight"]), sum(name.endswith("qkv.weight") for name in weights)
        with torch.device("meta"):  # nothing is drawn or held for weights that come from a file
            bias = "patch_embed.bias" in weights
            self.patch_embed = nn.Conv2d(channels, width, self.patch, stride=self.patch, bias=bias)
            self.cls_token = nn.Parameter(torch.zeros(width))
            self.pos_embed = nn.Parameter(torch.zeros_like(weights["pos_embed"], device="meta"))
            self.first = nn.LayerNorm(width, eps=eps) if "first.weight" in weights else nn.Identity()
            scaled = "blocks.0.scale1" in weights
            self.blocks = nn.Sequential(*(Block(width, hidden, eps, scaled, quick) for _ in range(depth)))
            self.norm = nn.LayerNorm(width, eps=eps)
            self.dimensions = width
            self.projection: nn.Module = nn.Identity()
            if "projection.weight" in weights:
                self.dimensions = len(weights["projection.weight"])
                self.projection = nn.Linear(width, self.dimensions, bias=False)
        self.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
        self.side = round((len(self.pos_embed) - 1) ** 0.5) * self.patch
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(batch, dimensions)` for pictures `(batch, 3, side, side)`, whose side is some patches long."""
        patches = self.patch_embed(x)
        places = self.positions(patches.shape[-1])
        tokens = torch.cat([self.cls_token.expand(len(x), 1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = self.blocks(self.first(tokens + places))
        found: Tensor = self.projection(self.norm(tokens[:, 0]))
        return found

    def positions(self, patches: int) -> Tensor:
        """Return what is added to the tokens `(1 + patches^2, width)`, interpolated as DINOv2 does for another side.

        Its factor is a tenth of a patch too large, lest rounding loses one; that moves all the places a little.
        """
        there = round((len(self.pos_embed) - 1) ** 0.5)
        if patches == there:
            return self.pos_embed
        grid = self.pos_embed[1:].unflatten(0, (1, there, there)).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, scale_factor=(patches + 0.1) / there, mode="bicubic")
        return torch.cat([self.pos_embed[:1], grid.permute(0, 2, 3, 1).flatten(0, 2)])


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale
