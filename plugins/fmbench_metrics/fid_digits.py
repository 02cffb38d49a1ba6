"""FID for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.frechet import FrechetDistance

if TYPE_CHECKING:
    from fmbench_metrics.extractor import Extractor


class FIDDigits(FrechetDistance):
    """FID of 1x8x8 pictures with 32 features of a LeNet trained on digits; never to be compared with published FIDs.

    Args:
        reference: the split of real data that samples are compared with.
    """

    files = ("extractors/digits.safetensors",)
    requires = ("images", "digits_8x8")
    minimum_samples = 33  # one more than the features, or the covariance is singular
    value_name = "fid_digits"

    def extractor(self, device: str) -> Extractor:
        """Return the LeNet on a device."""
        return small_extractor("digits", device)
