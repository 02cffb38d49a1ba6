"""FID for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.frechet import FrechetDistance

if TYPE_CHECKING:
    from fmbench_metrics.extractor import Extractor


class FIDMnist(FrechetDistance):
    """FID of 1x28x28 pictures with 32 features of a LeNet trained on mnist; never to be compared with published FIDs.

    Args:
        reference: the split of real data that samples are compared with.
    """

    files = ("extractors/mnist.safetensors",)
    requires = ("images", "digits_28x28")
    minimum_samples = 33  # one more than the features, or the covariance is singular
    value_name = "fid_mnist"

    def extractor(self, device: str) -> Extractor:
        """Return the LeNet on a device."""
        return small_extractor("mnist", device)
