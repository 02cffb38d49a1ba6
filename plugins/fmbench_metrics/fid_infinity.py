"""FID-infinity with Inception's features."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge

from fmbench_metrics.frechet_infinity import FrechetInfinity
from fmbench_metrics.inception import OnInception


class FIDInfinity(OnInception, FrechetInfinity):
    """FID-infinity with torch-fidelity's inception-v3-compat, layer 2048.

    Args:
        cuts: random cuts into each number of blocks. Each takes 9 decompositions of a matrix of 2,048 rows where
            `splits` is 4, so the default is half that of the small extractors.
    """

    minimum_samples = 16384  # 4 blocks of 2 for each feature
    value_name = "fid_infinity"

    def __init__(
        self,
        *,
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
        splits: Annotated[int, Ge(2)] = 4,
        cuts: Annotated[int, Ge(2)] = 4,
        degree: Literal[1, 2] = 2,
    ) -> None:
        FrechetInfinity.__init__(self, reference=reference, splits=splits, cuts=cuts, degree=degree)
        self.weights = weights
