"""KID as it is published: Inception's features."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge

from fmbench_metrics.inception import OnInception
from fmbench_metrics.kernel import KernelDistance


class KID(OnInception, KernelDistance):
    """KID with torch-fidelity's inception-v3-compat, layer 2048."""

    value_name = "kid"

    def __init__(
        self,
        *,
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
        subsets: Annotated[int, Ge(1)] = 100,
    ) -> None:
        super().__init__(weights=weights, reference=reference)
        self.subsets = subsets
