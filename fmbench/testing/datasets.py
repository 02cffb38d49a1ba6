"""Conformance of datasets."""

from __future__ import annotations

import pickle
from functools import lru_cache
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from fmbench.contracts import Dataset
from fmbench.testing.base import ComponentConformance, generator

SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")


class DatasetConformance(ComponentConformance):
    """A dataset: its splits, labels, source and, where it has one, its density.

    Attributes:
        shared_by_chance: the part of test examples that may also be training examples. Points on a curve, drawn
            independently, coincide now and then in float32; nothing else should.
    """

    contract = Dataset
    shared_by_chance: ClassVar[float] = 0.0

    @pytest.mark.parametrize("split", SPLITS)
    def test_examples(self, component: Any, split: Literal["train", "test"]) -> None:
        x, _ = loaded(component, split)
        assert len(x) > 0, f"the {split} split has examples"
        assert x.shape[1:] == component.shape, f"examples have shape {component.shape}; found {tuple(x.shape[1:])}"
        assert x.dtype == torch.float32, f"examples are float32; found {x.dtype}"
        assert torch.isfinite(x).all(), "examples are finite"

    @pytest.mark.parametrize("split", SPLITS)
    def test_labels(self, component: Any, split: Literal["train", "test"]) -> None:
        x, y = loaded(component, split)
        if not component.classes:
            assert y is None, "a dataset without classes has no labels"
            return
        assert y is not None, f"a dataset of {component.classes} classes has labels; load returned None"
        assert y.shape == x.shape[:1], f"there is a label an example, {len(x)}; found {tuple(y.shape)}"
        assert y.dtype == torch.int64, f"labels are int64; found {y.dtype}"
        assert 0 <= int(y.min()) <= int(y.max()) < component.classes, (
            f"labels are 0 to {component.classes - 1}; found {int(y.min())} to {int(y.max())}"
        )

    def test_splits_are_disjoint(self, component: Any) -> None:
        train, test = ({row.numpy().tobytes() for row in loaded(component, split)[0]} for split in SPLITS)
        assert len(train & test) <= self.shared_by_chance * len(test), (
            f"train and test share no example; {len(train & test)} of {len(test)} test examples are in both"
        )

    @pytest.mark.parametrize("split", SPLITS)
    def test_loads_the_same_again(self, component: Any, split: Literal["train", "test"]) -> None:
        state = torch.get_rng_state()
        again = component.load(split)
        assert torch.equal(state, torch.get_rng_state()), "loading does not draw from torch's global generator"
        for first, second in zip(loaded(component, split), again, strict=True):
            unchanged = torch.equal(first, second) if first is not None and second is not None else first is second
            assert unchanged, f"every load of the {split} split gives the same, in the same order"

    def test_source(self, component: Any) -> None:
        state = torch.get_rng_state()
        first, again, other = (component.source(50, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(state, torch.get_rng_state()), "the source draws from the given generator only"
        expected = (50, *component.shape)
        assert first.shape == expected, f"the source has shape {expected}; found {tuple(first.shape)}"
        assert first.dtype == torch.float32, f"the source is float32; found {first.dtype}"
        assert torch.isfinite(first).all(), "the source is finite"
        assert torch.equal(first, again), "the same generator seed draws the same source"
        assert not torch.equal(first, other), "another generator seed draws another source"

    def test_provides_what_it_is(self, component: Any) -> None:
        if component.classes:
            assert "classes" in component.provides, f'labels are announced by "classes"; found {component.provides}'
        if "images" in component.provides:
            assert len(component.shape) == 3, f"images are (channels, height, width); found {component.shape}"
            for split in SPLITS:
                low, high = (float(v) for v in loaded(component, split)[0].aminmax())
                assert -1 <= low < high <= 1, f"images lie in [-1, 1] and are not blank; found {low:g} to {high:g}"
        if "points" in component.provides:
            assert len(component.shape) == 1, f"points are (dim,); found {component.shape}"

    def test_density(self, component: Any) -> None:
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
    """Return the integral of the density over a box that holds the data, by the midpoint rule."""
    low, high = x.double().amin(0), x.double().amax(0)
    margin = 0.6 * (high - low)
    sizes = (high - low + 2 * margin) / points
    axes = [low[d] - margin[d] + sizes[d] * (torch.arange(points).double() + 0.5) for d in range(len(low))]
    box = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(low))
    density = dataset.log_density(box)
    return 0.0 if density is None else float(density.exp().sum() * sizes.prod())


def loaded(dataset: Dataset, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
    """Return a split, loaded once for all tests of a dataset with these parameters."""
    return _loaded(pickle.dumps(dataset), split)


@lru_cache(maxsize=8)
def _loaded(pickled: bytes, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
    dataset: Dataset = pickle.loads(pickled)
    return dataset.load(split)
