"""CLIP's image embedding, which gives `cmmd` its published meaning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from fmbench_metrics.vision import VisionExtractor
from fmbench_metrics.weights_file import WeightsFile, file_hash, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FILE = "clip-vit-large-patch14-336.bin"
WEIGHTS = WeightsFile(
    "CLIP",
    FILE,
    "https://huggingface.co/openai/clip-vit-large-patch14-336/resolve/main/pytorch_model.bin (or a model.safetensors "
    "that transformers wrote of it)",
)
RENAMED = (
    ("vision_model.embeddings.class_embedding", "cls_token"),
    ("vision_model.embeddings.patch_embedding.", "patch_embed."),
    ("vision_model.embeddings.position_embedding.weight", "pos_embed"),
    ("vision_model.pre_layrnorm.", "first."),
    ("vision_model.post_layernorm.", "norm."),
    ("vision_model.encoder.layers.", "blocks."),
    ("visual_projection.", "projection."),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".self_attn.out_proj.", ".proj."),
    (".mlp.", "."),
)
"""Parts of names in the file, and what they are called here."""
APART = ("q", "k", "v")
"""What the file has in three tensors a block."""


class CLIP(VisionExtractor):
    """The image embedding of CLIP, of 768 features where it is the ViT-L/14 for pictures of 336x336.

    Pictures are cut to a square around their middle, as wide as their shorter side, and brought to the network's size
    by a bicubic filter. The file is one of transformers, with the text's part or without.

    Source: Radford et al. 2021 (arXiv:2103.00020); Jayasumana et al. 2024 (arXiv:2401.09603) and their cmmd.
    """

    name = "clip"
    file = WEIGHTS
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    eps = 1e-5
    quick = True

    @property
    def side(self) -> int:
        """Height and width that the network was made for."""
        return int(self._network.side)

    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of transformers' file, of any shape, by VisionTransformer's names."""
        found = {}
        for name, tensor in weights.items():
            if name.endswith("position_ids") or not name.startswith(("vision_model.", "visual_projection.")):
                continue
            for theirs, ours in RENAMED:
                name = name.replace(theirs, ours)
            found[name] = tensor
        for first in [name for name in found if ".self_attn.q_proj." in name]:
            parts = [found.pop(first.replace("q_proj", f"{part}_proj")) for part in APART]
            found[first.replace("self_attn.q_proj", "qkv")] = torch.cat(parts)
        return found

    def prepared(self, levels: Tensor) -> Tensor:
        """Return what the network is shown of uint8 pictures `(n, channels, height, width)`."""
        height, width = levels.shape[-2:]
        least = min(height, width)
        top, left = (height - least) // 2, (width - least) // 2
        return super().prepared(levels[..., top : top + least, left : left + least])


def clip(weights: str | None, device: str) -> CLIP:
    """Return CLIP on a device, loaded once a process. Raises DataError where its weights are missing or broken."""
    path = WEIGHTS.path(weights)
    return _loaded(path, *state_of(path), device)


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int, size: int, device: str) -> CLIP:
    return CLIP(path, file_hash(path), device)
