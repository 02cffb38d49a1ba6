"""Files of LPIPS's architecture with random weights, as torchvision and torch-fidelity name them."""

import math

import torch

CHANNELS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
TAPPED = [64, 128, 256, 512, 512]


def write_weights(folder):
    """Write both files; return their paths by the objective's parameter."""
    noise = torch.Generator().manual_seed(0)
    vgg, number, before = {}, 0, 3
    for channels in CHANNELS:
        if channels != "M":
            weight = torch.randn(channels, before, 3, 3, generator=noise) * math.sqrt(2 / (9 * before))
            vgg[f"features.{number}.weight"] = weight
            vgg[f"features.{number}.bias"] = 0.1 * torch.randn(channels, generator=noise)
            before = channels
        number += 1 if channels == "M" else 2
    heads = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1, generator=noise) for i, n in enumerate(TAPPED)}
    paths = {"vgg": str(folder / "vgg16.pth"), "weights": str(folder / "lpips.pth")}
    torch.save(vgg, paths["vgg"])
    torch.save(heads, paths["weights"])
    return paths
