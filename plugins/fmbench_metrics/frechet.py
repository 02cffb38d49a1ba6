"""The Fréchet distance between the features of samples and of real data, for any extractor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fmbench import Metric
from fmbench_metrics import features

if TYPE_CHECKING:
    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor


class FrechetDistance(Metric):
    """FID with the extractor of a subclass: |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) of the features.

    The distance itself is computed by torch-fidelity, from means and covariances in float64.
    """

    reference = "Heusel et al. 2017, eq. 6; torch-fidelity's fid_statistics_to_metric"
    requires = ("images",)
    value_name: ClassVar[str]

    def __init__(self, *, reference: Literal["train", "test"] = "train") -> None:
        self.split: Literal["train", "test"] = reference

    @abstractmethod
    def extractor(self, device: str) -> Extractor:
        """Return the extractor on a device."""

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where the extractor cannot judge the pictures."""
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

        extractor = self.extractor(evidence.device)
        samples = features.sample_features(evidence, extractor)
        reference = features.reference_features(evidence, extractor, self.split)
        distance = fid_statistics_to_metric(samples.statistics, reference.statistics, verbose=False)
        return {self.value_name: float(distance[KEY_METRIC_FID])}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, quantiser and versions."""
        return features.identity(evidence, self.extractor(evidence.device), self.split)
