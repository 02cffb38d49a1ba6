"""What the extractors that are vision transformers share: how a picture is brought to a network, and its loading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn import functional as F

from fmbench import DataError
from fmbench_metrics.extractor import Extractor
from fmbench_metrics.extractors.vision_transformer import VisionTransformer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from fmbench_metrics.weights_file import WeightsFile

BATCH = 64
"""Pictures that are seen at once: hundreds of tokens each."""


class VisionExtractor(Extractor):
    """The class token of a vision transformer. Grey pictures are shown to it in three equal channels.

    Attributes:
        file: the weights.
        mean: of the channels in [0, 1], which is taken off.
        deviation: of the channels, by which they are divided.
        eps: what the normalisations add to a variance.
        quick: whether the activation is CLIP's.
    """

    file: ClassVar[WeightsFile]
    mean: ClassVar[tuple[float, float, float]]
    deviation: ClassVar[tuple[float, float, float]]
    eps: ClassVar[float]
    quick: ClassVar[bool] = False

    def __init__(self, path: Path, weights_hash: str, device: str) -> None:
        self.weights_hash = weights_hash
        try:
            network = VisionTransformer(self.renamed(self.file.read(path)), eps=self.eps, quick=self.quick)
        except (KeyError, RuntimeError, ValueError, AttributeError) as error:
            raise self.file.refused(path, f"does not hold the weights of {self.file.network}: {error}") from error
        self.dimensions = network.dimensions
        self._network = network.to(device)

    @abstractmethod
    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the file's tensors, of any shape, by VisionTransformer's names."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Height and width of the pictures that the network is shown."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise DataError for pictures that have neither one nor three channels."""
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise DataError(f"{self.file.network} judges pictures of 1 or 3 channels; found shape {shape}.")

    def batch_features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, dimensions)`."""
        return torch.cat([self._network(self.prepared(batch)) for batch in torch.split(levels, BATCH)])

    def prepared(self, levels: Tensor) -> Tensor:
        """Return what the network is shown of uint8 pictures `(n, channels, height, width)`."""
        x = resized(levels.expand(-1, 3, -1, -1), self.side) / 255
        mean, deviation = (x.new_tensor(each)[:, None, None] for each in (self.mean, self.deviation))
        return (x - mean) / deviation


def resized(levels: Tensor, side: int) -> Tensor:
    """Return float32 levels `(n, channels, side, side)` of uint8 pictures, by PIL's bicubic filter, which antialiases.

    That is on the CPU and in whole levels, as PIL does it: of square pictures one level in two hundred is another than
    PIL's, where in floats it is one in five.
    """
    if levels.shape[-2:] == (side, side):
        return levels.float()
    x = F.interpolate(levels.cpu(), size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return x.to(levels.device).float()
