"""What a feature extractor promises, and the small ones that ship with fmbench."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from fmbench import DataError
from fmbench_metrics.extractors.lenet import FEATURES, LeNet

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 512
SmallName = Literal["digits", "mnist"]
ExtractorName = Literal["inception", "digits", "mnist", "dinov2", "clip"]
"""How suites call the extractors."""
Layer = Literal["features", "logits", "spatial"]
"""What of a network is looked at: the layer before the classes, the classes, or places in the picture."""
SIDES = {"digits": 8, "mnist": 28}
"""Height and width of the pictures that a small extractor was trained on."""


class Extractor(ABC):
    """Features of pictures.

    Attributes:
        name: how a score's identity calls the extractor.
        weights_hash: sha256 of the weights file.
        dimensions: number of features.
    """

    name: str
    weights_hash: str
    dimensions: int

    @abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Raise DataError where pictures of `shape` `(channels, height, width)` cannot be judged."""

    @abstractmethod
    def batch_features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, dimensions)` of uint8 pictures `(n, channels, height, width)`."""

    @torch.no_grad()
    def features(self, levels: Tensor) -> Tensor:
        """Return the features of any number of pictures, in batches, on their device.

        For `(n, channels, height, width)` they are `(n, dimensions)`.
        """
        self.check(tuple(levels.shape[1:]))
        return torch.cat([self.batch_features(batch) for batch in torch.split(levels, BATCH)])


class SmallExtractor(Extractor):
    """The penultimate layer of a LeNet trained on the digits of one dataset, or its logits."""

    def __init__(self, trained_on: SmallName, device: str, layer: Layer = "features") -> None:
        self.name = f"lenet-{trained_on}" if layer == "features" else f"lenet-{trained_on}, {layer}"
        self._layer = layer
        self._side = SIDES[trained_on]
        # key: metrics name it in `files`
        payload = (Path(__file__).parent / "extractors" / f"{trained_on}.safetensors").read_bytes()
        self.weights_hash = hashlib.sha256(payload).hexdigest()
        self._network = _load(self._side, payload).to(device)
        self.dimensions = FEATURES if layer == "features" else self._network.head.out_features

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise DataError for pictures of another size than those of the training."""
        expected = (1, self._side, self._side)
        if shape != expected:
            raise DataError(
                f"the extractor {self.name} judges pictures of shape {expected}; found {shape}. "
                "Take fid_digits for 1x8x8, fid_mnist for 1x28x28, fid (Inception) for others; likewise with "
                "kid, precision and recall."
            )

    def batch_features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, 32)`, or logits `(n, 10)`."""
        found: Tensor = (self._network if self._layer == "logits" else self._network.features)(levels)
        return found


def _load(side: int, payload: bytes) -> LeNet:
    from safetensors.torch import load

    with torch.random.fork_rng(devices=[]):  # building draws initial weights, which nobody may notice
        network = LeNet(side)
    network.load_state_dict(load(payload))
    return network.eval().requires_grad_(False)


def small_extractor(trained_on: SmallName, device: str, layer: Layer = "features") -> SmallExtractor:
    """Return a layer of the small extractor of "digits" or "mnist" on a device, loaded once a process."""
    return _loaded(trained_on, device, layer)


@lru_cache(maxsize=4)
def _loaded(trained_on: SmallName, device: str, layer: Layer) -> SmallExtractor:
    return SmallExtractor(trained_on, device, layer)
