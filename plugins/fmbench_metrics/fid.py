"""FID as it is published: Inception's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fmbench_metrics.frechet import FrechetDistance
from fmbench_metrics.inception import inception, weights_path

if TYPE_CHECKING:
    from fmbench_metrics.extractor import Extractor


class FID(FrechetDistance):
    """FID with torch-fidelity's inception-v3-compat, layer 2048.

    The covariance of 2,048 features needs more samples than that; published values take 50,000.

    Args:
        weights: Inception's weights file; torch hub's cache unless given. Nothing is downloaded.
        reference: the split of real data that samples are compared with.
    """

    content = ("weights",)
    minimum_samples = 2049
    value_name = "fid"

    def __init__(self, *, weights: str | None = None, reference: Literal["train", "test"] = "train") -> None:
        super().__init__(reference=reference)
        self.weights = weights

    def extractor(self, device: str) -> Extractor:
        """Return Inception on a device. Raises DataError where its weights are missing or broken."""
        return inception(self.weights, device)

    def prepare(self) -> None:
        """Raise DataError, naming the file and where to put it, where Inception's weights are not at hand."""
        weights_path(self.weights)
