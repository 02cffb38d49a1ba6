"""Conformance of couplings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fmbench.contracts import Coupling
from fmbench.testing.base import ComponentConformance, generator

BATCH = 24


class CouplingConformance(ComponentConformance):
    """A coupling: it re-pairs source and data, and neither loses, repeats nor changes an example."""

    contract = Coupling

    @pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
    @pytest.mark.parametrize("labelled", [True, False])
    def test_preserves_both_marginals(self, component: Any, shape: tuple[int, ...], labelled: bool) -> None:
        if not labelled and "classes" in component.requires:
            pytest.skip('the coupling requires "classes", so it is always given labels')
        x_0, x_1, y = _batch(shape)
        paired_0, paired_1, paired_y = component.pair(x_0, x_1, y if labelled else None, generator())
        for name, given, found in (("x_0", x_0, paired_0), ("x_1", x_1, paired_1)):
            assert found.shape == given.shape, (
                f"{name} keeps its shape {tuple(given.shape)}; found {tuple(found.shape)}"
            )
            assert found.dtype == given.dtype, f"{name} keeps its dtype {given.dtype}; found {found.dtype}"
            assert _rows(found) == _rows(given), (
                f"the rows of {name} are the same before and after pairing, in any order"
            )
        assert (paired_y is None) is not labelled, "y comes back where it was given, and as None where it was not"

    def test_labels_travel_with_the_data(self, component: Any) -> None:
        x_0, x_1, y = _batch((2,))
        _, paired_1, paired_y = component.pair(x_0, x_1, y, generator())
        label = {tuple(row): int(k) for row, k in zip(x_1.tolist(), y, strict=True)}
        for row, found in zip(paired_1.tolist(), paired_y.tolist(), strict=True):
            assert found == label[tuple(row)], (
                f"labels travel with their x_1; {row} had {label[tuple(row)]}, has {found}"
            )

    def test_follows_the_generator(self, component: Any) -> None:
        x_0, x_1, y = _batch((2,))
        first, again = (component.pair(x_0, x_1, y, generator(7)) for _ in range(2))
        assert all(map(torch.equal, first, again)), "the same generator seed gives the same pairs"

    def test_leaves_its_inputs_alone(self, component: Any) -> None:
        given = _batch((2,))
        copies = [value.clone() for value in given]
        component.pair(*given, generator())
        assert all(map(torch.equal, given, copies)), "a coupling does not change x_0, x_1 or y in place"


def _batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    noise = generator(2)
    x_0, x_1 = (torch.randn(BATCH, *shape, generator=noise) for _ in range(2))
    return x_0, x_1, torch.arange(BATCH) % 3


def _rows(x: Tensor) -> list[list[float]]:
    """Return the examples as sorted lists of numbers."""
    rows: list[list[float]] = x.flatten(1).tolist()
    return sorted(rows)
