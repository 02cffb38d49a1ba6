"""torch-fidelity's Inception, whose features give `fid` and `kid` their published meaning."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from fmbench import DataError
from fmbench_metrics.extractor import Extractor
from fmbench_metrics.weights_file import WeightsFile, file_hash, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from fmbench_metrics.extractor import Layer

FILE = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS = WeightsFile("Inception", FILE, f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}")
LAYERS = {"features": "2048", "logits": "logits_unbiased", "spatial": "768"}
"""What torch-fidelity calls the layers; of the spatial one, "768" is the first that it returns after it."""
DIMENSIONS = {"features": 2048, "logits": 1008, "spatial": 2023}
CHANNELS = 7
"""Of the spatial layer's 192 channels, with 17x17 values each, the first so many."""


class Inception(Extractor):
    """`inception-v3-compat` of torch-fidelity. Grey pictures are shown to it in three equal channels.

    Layer "features" is 2048, after pooling; "logits" those without the bias, as torch-fidelity's inception score takes
    them; "spatial" `mixed_6/conv` of the network's original graph, in which it is the first branch of Mixed_6d: seven
    channels, 17x17 values each, the channel last, as ADM's evaluator has them.
    """

    def __init__(self, path: Path, weights_hash: str, device: str, layer: Layer = "features") -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.name = "inception-v3-compat" if layer == "features" else f"inception-v3-compat, {layer}"
        self.dimensions = DIMENSIONS[layer]
        self.weights_hash = weights_hash
        self._layer = layer
        WEIGHTS.read(path)  # torch-fidelity itself would run any pickle
        asked = [LAYERS[layer]]
        try:
            with torch.random.fork_rng(devices=[]):  # building draws initial weights, which nobody may notice
                network = FeatureExtractorInceptionV3(
                    "inception-v3-compat", asked, feature_extractor_weights_path=str(path)
                )
        except RuntimeError as error:
            raise WEIGHTS.refused(path, f"does not hold the weights of Inception: {error}") from error
        self._network = network.to(device)
        if device == "cpu":  # a quarter to a third faster; on other devices not measured
            self._network.to(memory_format=torch.channels_last)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise DataError for pictures that have neither one nor three channels."""
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise DataError(f"Inception judges pictures of 1 or 3 channels; found shape {shape}.")

    def batch_features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, dimensions)`."""
        levels = levels.expand(-1, 3, -1, -1)
        if self._layer == "spatial":
            return self._spatial(levels)
        features: tuple[Tensor] = self._network(levels)
        return features[0]

    def _spatial(self, levels: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def keep(module: Any, given: Any, output: Tensor) -> None:
            seen.append(output[:, :CHANNELS].permute(0, 2, 3, 1).flatten(1))

        hook = self._network.Mixed_6d.branch1x1.register_forward_hook(keep)
        try:
            self._network(levels)
        finally:
            hook.remove()
        return seen[0]


def inception(weights: str | None, device: str, layer: Layer = "features") -> Inception:
    """Return a layer of Inception on a device, loaded once a process.

    Raises DataError where its weights are missing or broken.
    """
    path = WEIGHTS.path(weights)
    return _loaded(path, *state_of(path), device, layer)


@lru_cache(maxsize=3)
def _loaded(path: Path, changed: int, size: int, device: str, layer: Layer) -> Inception:
    return Inception(path, file_hash(path), device, layer)
