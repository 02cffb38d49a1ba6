"""KID as it is published: Inception's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from fmbench_metrics.inception import inception, weights_path
from fmbench_metrics.kernel import KernelDistance

if TYPE_CHECKING:
    from fmbench_metrics.extractor import Extractor


class KID(KernelDistance):
    """KID with torch-fidelity's inception-v3-compat, layer 2048.

    Args:
        weights: Inception's weights file; torch hub's cache unless given. Nothing is downloaded.
        reference: the split of real data that samples are compared with; it needs 1,000 pictures.
        subsets: random subsets over which the distance is averaged.
    """

    content = ("weights",)
    value_name = "kid"

    def __init__(
        self,
        *,
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
        subsets: Annotated[int, Ge(1)] = 100,
    ) -> None:
        super().__init__(reference=reference, subsets=subsets)
        self.weights = weights

    def extractor(self, device: str) -> Extractor:
        """Return Inception on a device. Raises DataError where its weights are missing or broken."""
        return inception(self.weights, device)

    def prepare(self) -> None:
        """Raise DataError, naming the file and where to put it, where Inception's weights are not at hand."""
        weights_path(self.weights)
