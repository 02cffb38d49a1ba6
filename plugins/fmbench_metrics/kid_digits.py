"""KID for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.kernel import KernelDistance

if TYPE_CHECKING:
    from fmbench_metrics.extractor import Extractor


class KIDDigits(KernelDistance):
    """KID of 1x8x8 pictures with 32 features of a LeNet trained on digits; never to be compared with published KIDs.

    Args:
        reference: the split of real data that samples are compared with; it needs 1,000 pictures.
        subsets: random subsets over which the distance is averaged.
    """

    files = ("extractors/digits.safetensors",)
    requires = ("images", "digits_8x8")
    value_name = "kid_digits"

    def extractor(self, device: str) -> Extractor:
        """Return the LeNet on a device."""
        return small_extractor("digits", device)
