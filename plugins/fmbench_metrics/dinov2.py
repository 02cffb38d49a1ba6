"""DINOv2, whose features give `fd_dinov2` its published meaning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from fmbench_metrics.vision import VisionExtractor
from fmbench_metrics.weights_file import WeightsFile, file_hash, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FILE = "dinov2_vitl14_pretrain.pth"
WEIGHTS = WeightsFile("DINOv2", FILE, f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{FILE}")
RENAMED = (
    ("patch_embed.proj.", "patch_embed."),
    (".attn.", "."),
    (".mlp.", "."),
    (".ls1.gamma", ".scale1"),
    (".ls2.gamma", ".scale2"),
)
"""Parts of names in the file, and what they are called here."""


class DINOv2(VisionExtractor):
    """The normalised class token of a DINOv2 that has no registers, of 1,024 features where it is the ViT-L/14.

    Pictures are brought to 224x224 by a bicubic filter, whatever their shape, and standardised as ImageNet's are. ViT-S
    and ViT-B of the same kind can be read as well: their values are not to be compared with published ones.

    Source: Oquab et al. 2023 (arXiv:2304.07193); Stein et al. 2023 (arXiv:2306.04675) and their dgm-eval.
    """

    name = "dinov2"
    file = WEIGHTS
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    eps = 1e-6
    side = 224

    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of Meta's file, of any shape, by VisionTransformer's names."""
        found = {}
        for name, tensor in weights.items():
            for theirs, ours in RENAMED:
                name = name.replace(theirs, ours)
            found[name] = tensor
        found.pop("mask_token", None)  # of the training alone
        found["cls_token"] = found["cls_token"].flatten()
        found["pos_embed"] = found["pos_embed"].flatten(0, 1)
        return found


def dinov2(weights: str | None, device: str) -> DINOv2:
    """Return DINOv2 on a device, loaded once a process. Raises DataError where its weights are missing or broken."""
    path = WEIGHTS.path(weights)
    return _loaded(path, *state_of(path), device)


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int, size: int, device: str) -> DINOv2:
    return DINOv2(path, file_hash(path), device)
