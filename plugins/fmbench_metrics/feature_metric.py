"""Metrics that compare the features of samples with those of real pictures, by an extractor that a parameter names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fmbench import Metric
from fmbench_metrics import clip, dinov2, features, inception
from fmbench_metrics.extractor import ExtractorName, small_extractor

if TYPE_CHECKING:
    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor, Layer
    from fmbench_metrics.features import FeatureSet, Reference

WEIGHTS = {"inception": inception.WEIGHTS, "dinov2": dinov2.WEIGHTS, "clip": clip.WEIGHTS}
"""The extractors whose weights do not ship."""


class FeatureMetric(Metric):
    """A score of samples by their features.

    Args:
        extractor: whose features: "inception" has 2,048 (torch-fidelity's inception-v3-compat, layer 2048), "dinov2"
            1,024 (ViT-L/14) and "clip" 768 (ViT-L/14 at 336x336), for pictures of any size; "digits" and "mnist" have
            32, of a LeNet trained on digits or mnist_5k, for grey pictures of 8x8 or 28x28. Values by a LeNet are not
            to be compared with published ones.
        weights: the weights file of inception, dinov2 or clip; torch hub's cache unless given. Nothing is downloaded.
        reference: the split of real data that samples are compared with.

    Attributes:
        layer: which layer of the extractor's network the features are.
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
    layer: ClassVar[Layer] = "features"

    def __init__(
        self,
        *,
        extractor: ExtractorName = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
    ) -> None:
        if weights is not None and extractor not in WEIGHTS:
            theirs = ", ".join(WEIGHTS)
            raise ValueError(
                f"weights are those of {theirs}; with extractor {extractor!r}, whose own ship, leave them out"
            )
        self.extractor_name: ExtractorName = extractor
        self.weights = weights
        self.split: Literal["train", "test"] = reference

    def extractor(self, device: str) -> Extractor:
        """Return the extractor on a device. Raises DataError where weights that do not ship are missing or broken."""
        if self.extractor_name == "inception":
            return inception.inception(self.weights, device, self.layer)
        if self.extractor_name == "dinov2":
            return dinov2.dinov2(self.weights, device)
        if self.extractor_name == "clip":
            return clip.clip(self.weights, device)
        return small_extractor(self.extractor_name, device, self.layer)

    def prepare(self) -> None:
        """Raise DataError, naming the file and where to put it, where weights that do not ship are not there."""
        if self.extractor_name in WEIGHTS:
            WEIGHTS[self.extractor_name].path(self.weights)

    def features(self, evidence: Evidence) -> tuple[FeatureSet, Reference]:
        """Return the features of samples and of real data. Raises DataError where the extractor cannot judge them."""
        extractor = self.extractor(evidence.device)
        samples = features.sample_features(evidence, extractor)
        return samples, features.reference_features(evidence, extractor, self.split)

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, quantiser and versions."""
        return features.identity(evidence, self.extractor(evidence.device), self.split)
