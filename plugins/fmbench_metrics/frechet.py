"""Metrics that compare features by their mean and covariance, with those of a split or with published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from fmbench import DataError
from fmbench_metrics import features
from fmbench_metrics.extractor import SIDES
from fmbench_metrics.extractors.lenet import FEATURES
from fmbench_metrics.feature_metric import FeatureMetric
from fmbench_metrics.gaussians import Target
from fmbench_metrics.inception import DIMENSIONS
from fmbench_metrics.published_statistics import statistics_of, target_on

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor, ExtractorName
    from fmbench_metrics.features import Reference, Split

SPLITS = ("train", "test")


class FrechetMetric(FeatureMetric):
    """A score of samples by the mean and covariance of their features.

    With statistics of a file for the reference, published values can be compared with, as far as the pictures were
    resized alike before they were scored. The floor is then that of the test split as it stands.

    Args:
        reference: the split of real data that samples are compared with, or a file of statistics as ADM, EDM and others
            publish them: an .npz whose `mu` is a mean of features and `sigma` their covariance. Its content counts in
            the key.

    Attributes:
        statistics: the keys of mean and covariance in such a file.
    """

    by_parameter: ClassVar[Mapping[str, Any]] = {
        "reference": {
            "train": {},
            "test": {},
            ...: {"content": ("weights", "reference"), "provides": ("samples_only", "own_reference")},
        }
    }
    statistics: ClassVar[tuple[str, str]] = ("mu", "sigma")

    def __init__(
        self,
        *,
        extractor: ExtractorName = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] | str = "train",
    ) -> None:
        split = cast("Split", reference if reference in SPLITS else "train")
        super().__init__(extractor=extractor, weights=weights, reference=split)
        self.file = None if reference in SPLITS else reference

    def prepare(self) -> None:
        """Raise DataError where weights or statistics are not there, or are not of as many features."""
        super().prepare()
        known = {"inception": DIMENSIONS[self.layer], **dict.fromkeys(SIDES, FEATURES)}
        if self.file is not None:
            self._statistics(known.get(self.extractor_name))

    def samples_and_target(self, evidence: Evidence) -> tuple[Tensor, Target]:
        """Return the features of samples `(n, d)`, and the Gaussian that they are compared with.

        Raises DataError where the extractor cannot judge the pictures, or its features are others than the file's.
        """
        if self.file is None:
            samples, reference = self.features(evidence)
            return samples.features, target_of(reference)
        extractor = self.extractor(evidence.device)
        self._statistics(extractor.dimensions)
        samples = features.sample_features(evidence, extractor)
        return samples.features, target_on(self.file, self.statistics, evidence.device)

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set or the hash of its statistics, sample count, quantiser and versions."""
        if self.file is None:
            return super().identity(evidence)
        extractor: Extractor = self.extractor(evidence.device)
        reference = self._statistics(extractor.dimensions).content_hash
        return {**features.identity_of_samples(evidence, extractor), "reference": reference}

    def _statistics(self, dimensions: int | None) -> Any:
        """Return what the file holds. Raises DataError where it is of another number of features."""
        assert self.file is not None
        found = statistics_of(self.file, self.statistics)
        if dimensions is not None and found.dimensions != dimensions:
            raise DataError(
                f"{self.file} holds statistics of {found.dimensions} features; the extractor {self.extractor_name} of "
                f"{self.registered_name} has {dimensions}. Give statistics that were made with the same extractor."
            )
        return found


def target_of(reference: Reference) -> Target:
    """Return the Gaussian of a reference set's features, made once for all that compare with it."""
    n, d = reference.features.shape
    found = reference.statistic("gaussian 1", n * d**2 + d**3, _gaussian)
    return Target(found["mean"], found["factor"])


def _gaussian(features: Tensor) -> dict[str, Tensor]:
    target = Target.of(features)
    return {"mean": target.mean, "factor": target.factor}
