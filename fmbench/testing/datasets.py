"""Conformance of datasets."""

from __future__ import annotations

import pickle
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from fmbench.components.contracts import Dataset
from fmbench.components.dataset_checks import Split, form_fault, source_fault, split_faults, splits_of
from fmbench.testing.base import ComponentConformance, same
from fmbench.testing.parametrize import parametrize, skip_if

SPLITS: tuple[Split, ...] = ("train", "test", "validation")


class DatasetConformance(ComponentConformance):
    """A dataset: its splits, labels, source and, where it has one, its density.

    Attributes:
        shared_by_chance: the part of test and of validation examples that may also be in another split. Points on a
            curve, drawn independently, coincide now and then in float32; nothing else should.
    """

    contract = Dataset
    shared_by_chance: ClassVar[float] = 0.0

    @parametrize("split", SPLITS)
    def test_examples_and_labels(self, component: Any, split: Split) -> None:
        """load(split) gives float32 data (n, *shape) and, with classes, int64 labels 0 <= y < classes."""
        skip_if(split not in splits_of(component), f"the dataset has no {split} split")
        fault = next(split_faults(type(component).__name__, component, split, loaded(component, split)), "")
        assert not fault, fault

    def test_splits_are_disjoint(self, component: Any) -> None:
        """No example is in two splits: what is tested was not trained on."""
        splits = splits_of(component)
        rows = {split: {row.numpy().tobytes() for row in loaded(component, split)[0]} for split in splits}
        for number, split in enumerate(splits):
            for other in splits[:number]:
                shared = len(rows[split] & rows[other])
                assert shared <= self.shared_by_chance * len(rows[split]), (
                    f"{other} and {split} share no example; {shared} of {len(rows[split])} {split} examples are in both"
                )

    @parametrize("split", SPLITS)
    def test_loads_the_same_again(self, component: Any, split: Split) -> None:
        """load(split) gives the same on every call, and draws nothing from torch's global generator."""
        skip_if(split not in splits_of(component), f"the dataset has no {split} split")
        state = torch.get_rng_state()
        again = component.load(split)
        assert torch.equal(state, torch.get_rng_state()), "loading does not draw from torch's global generator"
        unchanged = same(list(loaded(component, split)), list(again))
        assert unchanged, f"every load of the {split} split gives the same, in the same order"

    def test_source(self, component: Any) -> None:
        """source(n, generator) gives float32 (n, *shape), drawn from that generator only."""
        state = torch.get_rng_state()
        fault = source_fault(type(component).__name__, component, n=50)
        assert not fault, fault
        assert torch.equal(state, torch.get_rng_state()), "the source draws from the given generator only"

    def test_provides_what_it_is(self, component: Any) -> None:
        """Shape (channels, height, width) provides "images", shape (dim,) "points", and labels "classes"."""
        fault = form_fault(type(component).__name__, component)
        assert not fault, fault

    def test_density(self, component: Any) -> None:
        """Where "density" is provided, log_density is finite at the data, and exp(log_density) integrates to 1."""
        x, _ = loaded(component, "test")
        density = component.log_density(x)
        if "density" not in component.provides:
            assert density is None, 'a dataset with an exact density provides "density"'
            return
        assert density.shape == x.shape[:1], f"log_density has shape (batch,); found {tuple(density.shape)}"
        assert torch.isfinite(density).all(), "the log-density is finite at the data"
        if component.shape in ((1,), (2,)):
            total = density_integral(component, x)
            assert abs(total - 1) < 0.01, f"the density integrates to 1; found {total:.4f}"


def density_integral(dataset: Dataset, x: Tensor, points: int = 600) -> float:
    """Return the integral of the density over a box that holds the data `(n, dim)`, by the midpoint rule."""
    low, high = x.double().amin(0), x.double().amax(0)
    margin = 0.6 * (high - low)
    sizes = (high - low + 2 * margin) / points
    axes = [low[d] - margin[d] + sizes[d] * (torch.arange(points).double() + 0.5) for d in range(len(low))]
    box = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(low))
    density = dataset.log_density(box)
    return 0.0 if density is None else float(density.exp().sum() * sizes.prod())


def loaded(dataset: Dataset, split: Split) -> tuple[Tensor, Tensor | None]:
    """Return a split, loaded once for all tests of a dataset with these parameters."""
    return _loaded(pickle.dumps(dataset), split)


@lru_cache(maxsize=8)
def _loaded(pickled: bytes, split: Split) -> tuple[Tensor, Tensor | None]:
    dataset: Dataset = pickle.loads(pickled)
    return dataset.load(split)  # type: ignore[arg-type]  # of a third split know those that provide it
