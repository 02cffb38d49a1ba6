"""KID for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.kernel import KernelDistance

if TYPE_CHECKING:
    from fmbench_metrics.extractor import Extractor


class KIDMnist(KernelDistance):
    """KID of 1x28x28 pictures with 32 features of a LeNet trained on mnist; never to be compared with published KIDs.

    Args:
        reference: the split of real data that samples are compared with; it needs 1,000 pictures.
        subsets: random subsets over which the distance is averaged.
    """

    files = ("extractors/mnist.safetensors",)
    requires = ("images", "digits_28x28")
    value_name = "kid_mnist"

    def extractor(self, device: str) -> Extractor:
        """Return the LeNet on a device."""
        return small_extractor("mnist", device)
