"""sFID: the Fréchet distance between what Inception sees at places in the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fmbench_metrics.frechet import FrechetMetric
from fmbench_metrics.gaussians import frechet_distance

if TYPE_CHECKING:
    from fmbench import Evidence


class SFID(FrechetMetric):
    """sFID: FID of 2,023 spatial features, seven channels of Inception's mixed_6/conv at 17x17 places.

    Features that are pooled know little of where in a picture something is. Which channels and in what order is as in
    ADM's evaluator, which says the same as the paper's first seven. The pass through Inception is one of its own.

    Args:
        extractor: "inception" alone has these features.
        weights: Inception's weights file; torch hub's cache unless given. Nothing is downloaded.
        reference: the split of real data that samples are compared with, or a file of statistics as ADM publishes them:
            an .npz with the mean of spatial features as `mu_s` and their covariance as `sigma_s`. Its content counts in
            the key.

    Source: Nash et al. 2021 (arXiv:2103.03841); Dhariwal and Nichol 2021 (arXiv:2105.05233) and their
    evaluator.
    """

    reference = "Nash et al. 2021, Generating images with sparse representations (arXiv:2103.03841); ADM's evaluator"
    registered_name = "sfid"
    provides = ("samples_only", "bias_over_n")
    minimum_samples = 2024  # one more than the features, or the covariance is singular
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "reference": {
            "train": {},
            "test": {},
            ...: {
                "content": ("weights", "reference"),
                "provides": ("samples_only", "bias_over_n", "own_reference"),
            },
        },
    }
    layer = "spatial"
    statistics = ("mu_s", "sigma_s")

    def __init__(
        self,
        *,
        extractor: Literal["inception"] = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] | str = "train",
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where Inception cannot judge the pictures."""
        samples, target = self.samples_and_target(evidence)
        return {self.registered_name: frechet_distance(samples, target)}
