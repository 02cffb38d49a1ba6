"""Features of samples and of reference sets, computed once and shared by the metrics that judge them."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load, save

from fmbench import DataError
from fmbench_metrics import quantiser
from fmbench_metrics.memory import content_hash, remember

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import Extractor

log = logging.getLogger(__name__)

Split = Literal["train", "test"]


@dataclass(frozen=True)
class FeatureSet:
    """The features `(n, dimensions)`, float32, of a set of pictures."""

    features: Tensor

    @cached_property
    def statistics(self) -> dict[str, np.ndarray]:
        """Mean `(d,)` and covariance `(d, d)` in float64, as torch-fidelity's functions want them."""
        import numpy as np

        features = self.features.double().cpu().numpy()
        return {"mu": features.mean(axis=0), "sigma": np.cov(features, rowvar=False)}


@dataclass(frozen=True)
class Reference(FeatureSet):
    """The features of a reference set; `content_hash` is that of its pictures, as the extractor sees them."""

    content_hash: str


def sample_features(evidence: Evidence, extractor: Extractor) -> FeatureSet:
    """Return the features of the evidence's samples. Raises DataError where the extractor cannot judge them."""
    samples = evidence.samples
    if samples is None:
        raise DataError("FID, KID, precision and recall judge samples; this evidence has none.")
    key = f"samples {extractor.name} {extractor.weights_hash}"
    features: FeatureSet = remember(samples, key, lambda: FeatureSet(extractor.features(quantiser.quantise(samples))))
    return features


def reference_features(evidence: Evidence, extractor: Extractor, split: Split) -> Reference:
    """Return the features of the real data of a split: from memory, else from the evidence's cache, else computed."""
    real = evidence.real(split)[0]
    key = f"{split} {extractor.name} {extractor.weights_hash}"
    reference: Reference = remember(real, key, lambda: _reference(evidence, extractor, split, real))
    return reference


def identity(evidence: Evidence, extractor: Extractor, split: Split) -> Mapping[str, Any]:
    """Return what two scores must share to be comparable (evidence.md, 3)."""
    reference = reference_features(evidence, extractor, split)
    return {
        "extractor": extractor.name,
        "weights": extractor.weights_hash,
        "features": extractor.dimensions,
        "reference": reference.content_hash,
        "reference_split": split,
        "reference_n": len(reference.features),
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
    path = evidence.cache / f"features-{hashlib.sha256('/'.join(facts).encode()).hexdigest()[:32]}.features"
    features = _read(path)
    if features is None:
        features = extractor.features(levels)
        _write(path, features)
    return Reference(features.to(real.device), content)


def _read(path: Path) -> Tensor | None:
    """Return the features of a cache file; None where there is no file, or not the one that was written."""
    if not path.is_file():
        return None
    payload = path.read_bytes()
    checksum, features = payload[:64], payload[64:]
    if hashlib.sha256(features).hexdigest().encode() == checksum:
        try:
            return load(features)["features"]
        except (SafetensorError, KeyError) as error:
            log.warning("%s cannot be read (%s); its features are computed again", path, error)
            return None
    log.warning("%s does not have its checksum; its features are computed again", path)
    return None


def _write(path: Path, features: Tensor) -> None:
    """Write a cache file whole or not at all, checksum first. Raises DataError where the folder cannot be written."""
    payload = save({"features": features.cpu().contiguous()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            whole = Path(folder) / path.name
            with whole.open("wb") as stream:
                stream.write(hashlib.sha256(payload).hexdigest().encode() + payload)
                stream.flush()
                os.fsync(stream.fileno())
            whole.replace(path)
    except OSError as error:
        raise DataError(f"reference features cannot be kept in {path.parent}: {error}") from error
