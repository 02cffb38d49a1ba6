"""Metrics that compare the features of samples with those of real pictures, and the small extractors that they use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fmbench import Metric
from fmbench_metrics import features
from fmbench_metrics.extractor import small_extractor

if TYPE_CHECKING:
    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor
    from fmbench_metrics.features import FeatureSet, Reference


class FeatureMetric(Metric):
    """A score of samples by their features.

    A metric joins two of its subclasses: one that says which extractor, one that says what is made of the features.

    Args:
        reference: the split of real data that samples are compared with.

    Attributes:
        value_name: the name under which the metric is registered.
    """

    requires: ClassVar[tuple[str, ...]] = ("images",)
    provides: ClassVar[tuple[str, ...]] = ("samples_only",)
    value_name: ClassVar[str]

    def __init__(self, *, reference: Literal["train", "test"] = "train") -> None:
        self.split: Literal["train", "test"] = reference

    @abstractmethod
    def extractor(self, device: str) -> Extractor:
        """Return the extractor on a device."""

    def features(self, evidence: Evidence) -> tuple[FeatureSet, Reference]:
        """Return the features of samples and of real data. Raises DataError where the extractor cannot judge them."""
        extractor = self.extractor(evidence.device)
        samples = features.sample_features(evidence, extractor)
        return samples, features.reference_features(evidence, extractor, self.split)

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, quantiser and versions."""
        return features.identity(evidence, self.extractor(evidence.device), self.split)


class OnDigits(FeatureMetric):
    """With 32 features of a LeNet trained on digits, for grey pictures of 8x8."""

    files = ("extractors/digits.safetensors",)
    requires = ("images", "digits_8x8")

    def extractor(self, device: str) -> Extractor:
        """Return the LeNet on a device."""
        return small_extractor("digits", device)


class OnMnist(FeatureMetric):
    """With 32 features of a LeNet trained on mnist_5k, for grey pictures of 28x28."""

    files = ("extractors/mnist.safetensors",)
    requires = ("images", "digits_28x28")

    def extractor(self, device: str) -> Extractor:
        """Return the LeNet on a device."""
        return small_extractor("mnist", device)
