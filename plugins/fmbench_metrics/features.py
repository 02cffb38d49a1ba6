"""Features of samples and of reference sets, computed once and shared by the metrics that judge them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fmbench import DataError
from fmbench_metrics import quantiser
from fmbench_metrics.kept import kept
from fmbench_metrics.memory import cached_on, content_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor

    Statistic = Callable[[Tensor], dict[str, Tensor]]
    """Makes named tensors of features `(n, dimensions)`."""

Split = Literal["train", "test"]
WORTH_KEEPING = 2**28
"""Operations that are done in about the time in which a file of their result is written."""


@dataclass(frozen=True)
class FeatureSet:
    """The features `(n, dimensions)`, float32, of a set of pictures."""

    features: Tensor


@dataclass(frozen=True)
class Reference(FeatureSet):
    """The features of a reference set; `content_hash` is that of its pictures, as the extractor sees them.

    `file` is where the features are kept; what is made of them is kept beside it.
    """

    content_hash: str
    file: Path

    def statistic(self, name: str, operations: float, compute: Statistic) -> dict[str, Tensor]:
        """Return what `compute` makes of the features: from memory, else from the disk, else computed.

        The name says all that the result depends on besides the features, the version of the code included. What takes
        fewer than 2^28 `operations`, about, is not kept on the disk: it is computed as fast as it is read.
        """
        file = self.file.with_name(f"{self.file.stem}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.statistic")

        def computed_or_kept() -> dict[str, Tensor]:
            if operations < WORTH_KEEPING:
                return compute(self.features)
            statistic = kept(file, lambda: compute(self.features))
            return {key: value.to(self.features.device) for key, value in statistic.items()}

        remembered: dict[str, Tensor] = cached_on(self.features, name, computed_or_kept)
        return remembered


def sample_features(evidence: Evidence, extractor: Extractor) -> FeatureSet:
    """Return the features of the evidence's samples. Raises DataError where the extractor cannot judge them."""
    samples = evidence.samples
    if samples is None:
        raise DataError("this metric judges samples by their features; this evidence has none.")
    key = f"samples {extractor.name} {extractor.weights_hash}"
    features: FeatureSet = cached_on(samples, key, lambda: FeatureSet(extractor.features(quantiser.quantise(samples))))
    return features


def reference_features(evidence: Evidence, extractor: Extractor, split: Split) -> Reference:
    """Return the features of the real data of a split: from memory, else from the evidence's cache, else computed."""
    real = evidence.real(split)[0]
    key = f"{split} {extractor.name} {extractor.weights_hash}"
    reference: Reference = cached_on(real, key, lambda: _reference(evidence, extractor, split, real))
    return reference


def identity(evidence: Evidence, extractor: Extractor, split: Split) -> dict[str, Any]:
    """Return what two scores against a split must share to be comparable."""
    reference = reference_features(evidence, extractor, split)
    return {
        **identity_of_samples(evidence, extractor),
        "reference": reference.content_hash,
        "reference_split": split,
        "reference_n": len(reference.features),
    }


def identity_of_samples(evidence: Evidence, extractor: Extractor) -> dict[str, Any]:
    """Return what two scores must share to be comparable, whatever samples are compared with."""
    return {
        "extractor": extractor.name,
        "weights": extractor.weights_hash,
        "features": extractor.dimensions,
        "samples_n": 0 if evidence.samples is None else len(evidence.samples),
        "quantiser": quantiser.NAME,
        "torch_fidelity": _torch_fidelity_version(),
    }


@lru_cache(maxsize=1)
def _torch_fidelity_version() -> str:
    from importlib.metadata import version

    return version("torch-fidelity")


def _reference(evidence: Evidence, extractor: Extractor, split: Split, real: Tensor) -> Reference:
    levels = quantiser.quantise(real)
    content = content_hash(levels)
    # Everything that the features depend on, so that two sets never share a file.
    facts = [extractor.name, extractor.weights_hash, content, split, str(len(real)), quantiser.NAME]
    file = evidence.cache / f"features-{hashlib.sha256('/'.join(facts).encode()).hexdigest()[:32]}.features"
    features = kept(file, lambda: {"features": extractor.features(levels)})["features"]
    return Reference(features.to(real.device), content, file)
