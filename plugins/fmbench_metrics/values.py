"""Metrics that compare samples with real data by their features, or by the values of the data themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fmbench import DataError
from fmbench_metrics.feature_metric import FeatureMetric
from fmbench_metrics.memory import cached_on, sets_identity

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import ExtractorName
    from fmbench_metrics.features import Statistic

NONE = "none"
"""The name that stands for no extractor: the data's own values."""
Compared = Literal["none", "inception", "digits", "mnist", "dinov2", "clip"]
"""How suites call what is compared: nothing extracted, or whose features."""


class ValuesMetric(FeatureMetric):
    """A score of samples by their features, or by their values where there is no extractor, as for points.

    Args:
        extractor: none for the values of the data as they are, of points in the plane say; else whose features:
            "inception" has 2,048 (torch-fidelity's inception-v3-compat, layer 2048), "dinov2" 1,024 (ViT-L/14) and
            "clip" 768 (ViT-L/14 at 336x336), for pictures of any size; "digits" and "mnist" have 32, of a LeNet trained
            on digits or mnist_5k, for grey pictures of 8x8 or 28x28.
        weights: the weights file of inception, dinov2 or clip; torch hub's cache unless given. Nothing is downloaded.
        reference: the split of real data that samples are compared with.
    """

    by_parameter: ClassVar[Mapping[str, Any]] = {
        "extractor": {
            "none": {"requires": ()},
            "inception": {"requires": ("images",)},
            "dinov2": {"requires": ("images",)},
            "clip": {"requires": ("images",)},
            "digits": {"requires": ("images", "digits_8x8")},
            "mnist": {"requires": ("images", "digits_28x28")},
        }
    }

    def __init__(
        self,
        *,
        extractor: Compared = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
    ) -> None:
        named: ExtractorName = "inception" if extractor == NONE else extractor
        super().__init__(extractor=named, weights=weights, reference=reference)
        if weights is not None and extractor == NONE:
            raise ValueError("weights are an extractor's; with extractor 'none', leave them out")
        self.compares_values = extractor == NONE

    def prepare(self) -> None:
        """Raise DataError, naming the file and where to put it, where weights that do not ship are not there."""
        if not self.compares_values:
            super().prepare()

    def compared(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Return what is compared of samples `(n, d)` and of real data `(m, d)`: features, or values in float64.

        Raises DataError where there are no samples, or the extractor cannot judge them.
        """
        if not self.compares_values:
            samples, reference = self.features(evidence)
            return samples.features, reference.features
        if evidence.samples is None:
            raise DataError(f"{self.registered_name} judges samples; this evidence has none.")
        return evidence.samples.flatten(1).double(), evidence.real(self.split)[0].flatten(1).double()

    def of_real(self, evidence: Evidence, name: str, operations: float, compute: Statistic) -> dict[str, Tensor]:
        """Return what `compute` makes of what is compared of real data, kept for all samples; see `Reference`."""
        if not self.compares_values:
            _, reference = self.features(evidence)
            return reference.statistic(name, operations, compute)
        real = evidence.real(self.split)[0]
        found: dict[str, Tensor] = cached_on(real, f"values {name}", lambda: compute(real.flatten(1).double()))
        return found

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, and of features quantiser and versions."""
        if not self.compares_values:
            return super().identity(evidence)
        return {"extractor": NONE, **sets_identity(evidence, self.split)}
