"""Metrics that compare the features of samples with those of real pictures, by an extractor that a parameter names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fmbench import Metric
from fmbench_metrics import features
from fmbench_metrics.extractor import ExtractorName, small_extractor
from fmbench_metrics.inception import inception, weights_path

if TYPE_CHECKING:
    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor
    from fmbench_metrics.features import FeatureSet, Reference


class FeatureMetric(Metric):
    """A score of samples by their features.

    Args:
        extractor: whose features: "inception" has 2,048 (torch-fidelity's inception-v3-compat, layer 2048), for
            pictures of any size; "digits" and "mnist" have 32, of a LeNet trained on digits or mnist_5k, for grey
            pictures of 8x8 or 28x28. Values by a LeNet are not to be compared with published ones.
        weights: Inception's weights file; torch hub's cache unless given. Nothing is downloaded.
        reference: the split of real data that samples are compared with.
    """

    requires: ClassVar[tuple[str, ...]] = ("images",)
    provides: ClassVar[tuple[str, ...]] = ("samples_only",)
    files = ("extractors/digits.safetensors", "extractors/mnist.safetensors")
    content = ("weights",)
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "extractor": {
            "digits": {"requires": ("images", "digits_8x8")},
            "mnist": {"requires": ("images", "digits_28x28")},
        }
    }

    def __init__(
        self,
        *,
        extractor: ExtractorName = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
    ) -> None:
        if weights is not None and extractor != "inception":
            raise ValueError(f"weights are Inception's; with extractor {extractor!r}, whose own ship, leave them out")
        self.extractor_name: ExtractorName = extractor
        self.weights = weights
        self.split: Literal["train", "test"] = reference

    def extractor(self, device: str) -> Extractor:
        """Return the extractor on a device. Raises DataError where Inception's weights are missing or broken."""
        if self.extractor_name == "inception":
            return inception(self.weights, device)
        return small_extractor(self.extractor_name, device)

    def prepare(self) -> None:
        """Raise DataError, naming the file and where to put it, where Inception's weights are needed and not there."""
        if self.extractor_name == "inception":
            weights_path(self.weights)

    def features(self, evidence: Evidence) -> tuple[FeatureSet, Reference]:
        """Return the features of samples and of real data. Raises DataError where the extractor cannot judge them."""
        extractor = self.extractor(evidence.device)
        samples = features.sample_features(evidence, extractor)
        return samples, features.reference_features(evidence, extractor, self.split)

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, quantiser and versions."""
        return features.identity(evidence, self.extractor(evidence.device), self.split)
