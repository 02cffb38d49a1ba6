"""Conformance of metrics."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fmbench.components.contracts import Dataset, Evidence, Metric
from fmbench.testing.base import ComponentConformance, generator, same
from fmbench.testing.dummy_components import TwoBlobs, TwoPictures
from fmbench.testing.evidence import make_evidence
from fmbench.testing.parametrize import fixture, skip_if

LEAST_SAMPLES = 500


class MetricConformance(ComponentConformance):
    """A metric: what it declares, what it computes, and that it tells good samples from bad.

    Override `dataset` (a method or a fixture) where neither two blobs in the plane nor small pictures will do, and
    `evidence` where the metric needs another network, path or objective.

    Attributes:
        name: the name under which the metric is registered; None leaves the check of names to its own values.
        repeatable: set it to False for a measurement of time or memory.
        judges_samples: whether real data must score better than noise; metrics of other scopes are not asked.
    """

    contract = Metric
    name: ClassVar[str | None] = None
    repeatable: ClassVar[bool] = True
    judges_samples: ClassVar[bool] = True

    @fixture
    def dataset(self, component: Any) -> Dataset:
        """The dataset of the evidence: two blobs in the plane, or small pictures for a metric that requires images."""
        return TwoPictures() if "images" in component.requires else TwoBlobs()

    def evidence(self, dataset: Dataset, samples: Tensor, cache: Path) -> Evidence:
        """Return the evidence that the metric computes from, with `samples` `(n, *shape)`."""
        return make_evidence(dataset, samples, cache=cache)

    def test_declarations(self, component: Any) -> None:
        """`better` is "lower" or "higher", `scope` one of three, `version` an integer >= 1, `minimum_samples` >= 0."""
        assert component.better in ("lower", "higher"), f'better is "lower" or "higher"; found {component.better!r}'
        scopes = ("training", "evaluation", "sampler")
        assert component.scope in scopes, f"scope is one of {scopes}; found {component.scope!r}"
        assert isinstance(component.unit, str), f"unit is text, empty for a pure number; found {component.unit!r}"
        assert isinstance(component.version, int), f"version is an integer; found {component.version!r}"
        assert component.version >= 1, f"version starts at 1; found {component.version}"
        assert component.minimum_samples >= 0, f"minimum_samples is at least 0; found {component.minimum_samples}"

    def test_values(self, component: Any, dataset: Dataset, tmp_path: Path) -> None:
        """compute() returns finite numbers by name: the metric's own first, then others called NAME_..."""
        component.prepare()
        values = component.compute(self._good(component, dataset, tmp_path))
        first = self.name or next(iter(values))
        assert next(iter(values)) == first, f"the first value bears the metric's name {first!r}; found {list(values)}"
        for name, value in values.items():
            assert name == first or name.startswith(f"{first}_"), (
                f"values are called {first} or {first}_...; found {name!r}"
            )
            assert isinstance(value, float | int), f"values are plain floats; {name} is {type(value).__name__}"
            assert math.isfinite(value), f"values are finite; {name} is {value}"

    def test_identity_is_plain_data(self, component: Any, dataset: Dataset, tmp_path: Path) -> None:
        """identity() is plain JSON data: what two values must share to be comparable."""
        evidence = self._good(component, dataset, tmp_path)
        component.compute(evidence)
        identity = dict(component.identity(evidence))
        assert json.loads(json.dumps(identity)) == identity, f"an identity is plain JSON data; found {identity!r}"

    def test_repeats(self, component: Any, dataset: Dataset, tmp_path: Path) -> None:
        """The same evidence has the same values: draws come from evidence.generator(role), data stay as they are."""
        skip_if(not self.repeatable or component.scope == "sampler", "the metric measures the machine")
        evidence = self._good(component, dataset, tmp_path)
        kept = evidence.samples.clone() if evidence.samples is not None else None
        held = (evidence.real("train")[0], evidence.real("test")[0])
        real = [x.clone() for x in held]
        state = torch.get_rng_state()
        first, again = (dict(component.compute(evidence)) for _ in range(2))
        assert first == again, f"the same evidence has the same values; found {first} and {again}"
        assert torch.equal(state, torch.get_rng_state()), "a metric draws from evidence.generator(role) only"
        assert same(kept, evidence.samples), "a metric does not change the samples in place"
        assert all(map(torch.equal, held, real)), "a metric does not change the real data in place"

    def test_real_data_is_better_than_noise(self, component: Any, dataset: Dataset, tmp_path: Path) -> None:
        """Real data score better than noise, in the direction that `better` says."""
        skip_if(not self.judges_samples or component.scope != "evaluation", "the metric does not judge samples")
        good = self._good(component, dataset, tmp_path)
        count = len(good.samples) if good.samples is not None else LEAST_SAMPLES
        noise = dataset.source(count, generator(4))
        bad = self.evidence(dataset, noise.clamp(-1, 1) if "images" in dataset.provides else noise, tmp_path)
        on_real, on_noise = (next(iter(component.compute(evidence).values())) for evidence in (good, bad))
        better = on_real < on_noise if component.better == "lower" else on_real > on_noise
        assert better, (
            f"{component.better} is better, and real data is better than noise; found {on_real:.6g} for real data and "
            f"{on_noise:.6g} for noise"
        )

    def test_samples_only_is_kept(self, component: Any, dataset: Dataset, tmp_path: Path) -> None:
        """The value of a "samples_only" metric depends on samples and labels alone; its identity names the split."""
        skip_if("samples_only" not in component.provides, 'the metric does not provide "samples_only"')
        evidence = self._good(component, dataset, tmp_path)
        split = component.identity(evidence).get("reference_split")
        if "own_reference" in component.provides:
            assert split is None, f'a metric with a reference of its own names no "reference_split"; found {split!r}'
        else:
            assert split in ("train", "test"), (
                f"a metric of samples alone names the split that it compares with in its identity, as "
                f'"reference_split"; found {split!r}'
            )
        values = dict(component.compute(evidence))
        absent: Any = None
        alone = replace(evidence, module=absent, velocity=absent, path=absent, objective=absent, training=absent)
        found = dict(component.compute(alone))
        assert found == values, (
            f"it must not depend on anything but samples; found {values} with a network, {found} without"
        )

    def _good(self, component: Metric, dataset: Dataset, cache: Path) -> Evidence:
        """Return evidence whose samples are real training data, as many as the metric needs."""
        real = dataset.load("train")[0]
        count = max(component.minimum_samples, min(LEAST_SAMPLES, len(real)))
        return self.evidence(dataset, real[torch.arange(count) % len(real)], cache)
