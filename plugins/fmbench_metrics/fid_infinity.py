"""FID-infinity: the Fréchet distance between features for infinitely many samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge

from fmbench import DataError
from fmbench_metrics.extractor import SIDES
from fmbench_metrics.extrapolation import extrapolate
from fmbench_metrics.frechet import FrechetMetric

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import ExtractorName
    from fmbench_metrics.extrapolation import Extrapolation

LEAST = 2
"""The least samples a feature in the smallest subsets: with fewer, a parabola does not describe the bias."""


class FIDInfinity(FrechetMetric):
    """FID-infinity: what FID would be for infinitely many samples.

    FID of n samples is too large by about slope/n, and by more for a model whose samples vary more. Here FID is also
    taken of subsets, and a curve through the values against 1/n is followed to 1/n = 0. The subsets are the blocks of
    random cuts of the samples into 2, 3, ..., `splits` equal blocks (in class-conditional cells, of each class); the
    paper draws them independently, from which the value has more noise. The paper's curve is a line. FID lies above
    one where n is not many times the number of features, so the default is a parabola.

    `<name>_se` is the standard error over draws of the samples; the value less and plus 1.96 of them is a 95% interval.
    With hardly a bias, the value falls below 0 about every other time where the samples come from the reference itself.

    The reference set stays as it is. Its own finite n leaves a bias that is the same for every model, unless it is all
    that the model is to learn: two values are comparable only for one reference, which is in the identity.

    Args:
        splits: the most blocks that the samples are cut into; each block needs 2 samples for every feature.
        cuts: random cuts into each number of blocks; unless given, 8 with a small extractor, and 4 with others: with
            Inception each takes 9 decompositions of a matrix of 2,048 rows if `splits` is 4.
        degree: 2 for a parabola, 1 for the paper's line.
    """

    reference = "Chong & Forsyth 2020, Effectively Unbiased FID and Inception Score (arXiv:1911.07023), section 3"
    registered_name = "fid_infinity"
    minimum_samples = 16384  # 4 blocks of 2 for each feature
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "extractor": {
            "digits": {"minimum_samples": 256},
            "mnist": {"minimum_samples": 256},
            "dinov2": {"minimum_samples": 8192},
            "clip": {"minimum_samples": 6144},
        }
    }

    def __init__(
        self,
        *,
        extractor: ExtractorName = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] | str = "train",
        splits: Annotated[int, Ge(2)] = 4,
        cuts: Annotated[int, Ge(2)] | None = None,
        degree: Literal[1, 2] = 2,
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)
        if splits <= degree:
            raise ValueError(f"splits must exceed degree, or the curve is not determined; found {splits} and {degree}")
        self.splits = splits
        self.cuts = cuts or (8 if extractor in SIDES else 4)
        self.degree = degree

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance and its standard error. Raises DataError where the samples are too few to be cut."""
        found = self.extrapolation(evidence)
        return {self.registered_name: found.value, f"{self.registered_name}_se": found.error}

    def extrapolation(self, evidence: Evidence) -> Extrapolation:
        """Return the curve. Raises DataError where the samples are too few to be cut."""
        samples, target = self.samples_and_target(evidence)
        n, d = samples.shape
        if n < LEAST * d * self.splits:
            raise DataError(
                f"{self.registered_name} cuts the samples into up to {self.splits} blocks of at least {LEAST} for "
                f"each of {d} features, so it needs {LEAST * d * self.splits}; found {n}. Draw more or lower splits."
            )
        # On the CPU, so that every device cuts alike.
        generator = torch.Generator().manual_seed(evidence.generator("fid_infinity").initial_seed())
        return extrapolate(samples, target, generator, self.splits, self.cuts, self.degree, _classes(evidence))

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, how subsets are made, quantiser and versions."""
        made = {
            "splits": self.splits,
            "cuts": self.cuts,
            "degree": self.degree,
            "by_class": _classes(evidence) is not None,
        }
        return {**super().identity(evidence), **made}


def _classes(evidence: Evidence) -> Tensor | None:
    """Return the samples' classes, int64 `(n,)`; None where they have none, or condition vectors."""
    return None if evidence.labels is None or evidence.labels.is_floating_point() else evidence.labels
