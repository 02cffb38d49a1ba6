"""torch-fidelity's Inception, whose features give `fid` and `kid` their published meaning."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fmbench import DataError
from fmbench_metrics.extractor import Extractor

if TYPE_CHECKING:
    from torch import Tensor

FILE = "weights-inception-2015-12-05-6726825d.pth"
SOURCE = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


class Inception(Extractor):
    """`inception-v3-compat` of torch-fidelity, layer 2048. Grey pictures are shown to it in three equal channels."""

    name = "inception-v3-compat"
    dimensions = 2048

    def __init__(self, path: Path, weights_hash: str, device: str) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.weights_hash = weights_hash
        _check_weights(path)
        try:
            with torch.random.fork_rng(devices=[]):  # building draws initial weights, which nobody may notice
                network = FeatureExtractorInceptionV3(self.name, ["2048"], feature_extractor_weights_path=str(path))
        except RuntimeError as error:
            raise DataError(f"{path} does not hold the weights of Inception: {error}. Get {SOURCE}") from error
        self._network = network.to(device)
        if device == "cpu":  # a quarter to a third faster; on other devices not measured
            self._network.to(memory_format=torch.channels_last)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise DataError for pictures that have neither one nor three channels."""
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise DataError(f"Inception judges pictures of 1 or 3 channels; found shape {shape}.")

    def batch_features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, 2048)`."""
        features: tuple[Tensor] = self._network(levels.expand(-1, 3, -1, -1))
        return features[0]


def weights_path(weights: str | None) -> Path:
    """Return the path of Inception's weights: the given one, else torch hub's. Raises DataError without a file."""
    path = Path(weights).expanduser() if weights else Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        raise DataError(
            f"fid, kid, precision and recall need Inception's weights, and {path} is not there. fmbench downloads "
            f"nothing: get {SOURCE} and put it there, or name a file with the metric's parameter weights."
        )
    return path


def inception(weights: str | None, device: str) -> Inception:
    """Return Inception on a device, loaded once a process. Raises DataError where its weights are missing or broken."""
    path = weights_path(weights)
    facts = path.stat()
    return _loaded(path, facts.st_mtime_ns, facts.st_size, device)


@lru_cache(maxsize=2)
def _loaded(path: Path, changed: int, size: int, device: str) -> Inception:
    with path.open("rb") as stream:
        return Inception(path, hashlib.file_digest(stream, "sha256").hexdigest(), device)


def _check_weights(path: Path) -> None:
    """Raise DataError unless the file is a plain dictionary of tensors; torch-fidelity itself would run any pickle."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # key: it is only looked at
    except Exception as error:  # torch.load documents no exceptions: pickle's, zip's, and its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path} is not a file of weights that can be read ({reason}). Get {SOURCE}") from error
    if not isinstance(state, dict):
        raise DataError(f"{path} must hold a dictionary of tensors; found {type(state).__name__}. Get {SOURCE}")
