"""LPIPS: the distance of pictures in VGG16's features, with gradients, from weights on disk."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import interpolate

from fmbench import DataError

if TYPE_CHECKING:
    from torch import Tensor

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Mean and scale of the channels that VGG16 is shown, for pictures in [-1, 1]."""
TAPS = (3, 8, 15, 22, 29)
"""The layers whose output is compared: relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""
CHANNELS = (64, 128, 256, 512, 512)
TINY = 1e-10
VGG = "https://download.pytorch.org/models/vgg16-397923af.pth"
HEADS = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth"


class LPIPS(nn.Module):
    """The mean over places, and sum over layers, of weighted squared differences of VGG16's normalised features.

    As torch-fidelity computes it, with version 0.1 of the authors' weights; but pictures are numbers in [-1, 1],
    neither rounded nor cut, and gradients flow to the first.

    Source: Zhang et al. 2018 (arXiv:1801.03924), eq. 1.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, vgg: Path, weights: Path) -> None:
        from torchvision.models import vgg16

        super().__init__()
        with torch.device("meta"):  # initial weights would be drawn, and 120 million of them are the classifier's
            self.features = vgg16(weights=None).features[: TAPS[-1] + 1]
        wanted = {f"features.{name}": tuple(value.shape) for name, value in self.features.named_parameters()}
        found = _read(vgg, wanted, VGG)
        self.features.load_state_dict({n.removeprefix("features."): v for n, v in found.items()}, assign=True)
        wanted = {f"lin{i}.model.1.weight": (1, channels, 1, 1) for i, channels in enumerate(CHANNELS)}
        self.heads = nn.ParameterList(_read(weights, wanted, HEADS).values())
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, target: Tensor, size: int) -> Tensor:
        """Return the distance of each picture from its target, float32 `(batch,)`, both shown at `size` x `size`.

        Pictures `(batch, 1 or 3, height, width)`; grey ones are shown in three equal channels.
        """
        with torch.no_grad():
            expected = self._layers(target, size)
        pairs = zip(self.heads, self._layers(x, size), expected, strict=True)
        return torch.stack([((a - b).square() * head).sum(1).mean((1, 2)) for head, a, b in pairs]).sum(0)

    def _layers(self, x: Tensor, size: int) -> list[Tensor]:
        """Return the features at the taps, of length 1 at each place."""
        x = (x.float().expand(-1, 3, -1, -1) - self.shift) / self.scale
        if min(x.shape[2:]) > size:
            x = interpolate(x, (size, size), mode="area")
        else:
            x = interpolate(x, (size, size), mode="bilinear")
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in TAPS:
                found.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + TINY))
        return found


def lpips(vgg: str, weights: str, device: torch.device) -> LPIPS:
    """Return LPIPS on a device, loaded once a process. Raises DataError where a file is missing or broken."""
    files = Path(vgg).expanduser(), Path(weights).expanduser()
    for file, source in zip(files, (VGG, HEADS), strict=True):
        if not file.is_file():
            raise DataError(f"lpips_huber: {file} is not there. fmbench downloads nothing: get {source} and name it.")
    changed = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _loaded(*files, changed, device)


@lru_cache(maxsize=2)
def _loaded(vgg: Path, weights: Path, changed: object, device: torch.device) -> LPIPS:
    return LPIPS(vgg, weights).to(device)


def _read(file: Path, wanted: dict[str, tuple[int, ...]], source: str) -> dict[str, Tensor]:
    """Return the tensors of these names and shapes, float32. Raises DataError where the file does not hold them."""
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)  # key: `vgg` or `weights`
    except Exception as error:  # torch.load documents no exceptions: pickle's, zip's, and its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{file} is not a file of weights that can be read ({reason}). Get {source}") from error
    for name, shape in wanted.items():
        value = saved.get(name) if isinstance(saved, dict) else None
        if not isinstance(value, torch.Tensor) or value.shape != shape:
            found = f"of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else "not there"
            raise DataError(f"{file} must hold a tensor {name} of shape {shape}; it is {found}. Get {source}")
    return {name: saved[name].float() for name in wanted}
