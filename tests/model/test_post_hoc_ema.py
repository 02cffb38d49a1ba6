"""Averages made after a training: shares by least squares, and what comes of them beside averages kept all the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import context, training_cell
from numpy.typing import NDArray
from scipy.integrate import quad

from fmbench.cells.cells import TrainingCell
from fmbench.cells.snapshots import LENGTHS, POST_HOC_POINTS, Kept, points, post_hoc_snapshots, post_hoc_weights
from fmbench.errors import CellFailure
from fmbench.model.post_hoc_ema import coefficients, decay, exponent, inner_product
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.store.snapshots import snapshot_folder
from fmbench.training import state as training_state
from fmbench.training.ema import PowerAverage
from fmbench.training.loop import train

STEPS = 400


def profile(last: int, length: float, steps: int) -> NDArray[np.float64]:
    """Return the share of each step's weights in the average over the first `last` of so many steps."""
    edges = np.minimum(np.arange(steps + 1) / last, 1)
    shares: NDArray[np.float64] = np.diff(edges ** (exponent(length) + 1))
    return shares


@pytest.mark.parametrize("length", [0.02, 0.05, 0.1, 0.2, 0.25])
def test_the_exponent_gives_the_length(length: float) -> None:
    gamma = exponent(length)
    assert (gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)) == pytest.approx(length**2, rel=1e-9)
    mean, square = (quad(lambda t, n=n: t**n * (gamma + 1) * t**gamma, 0, 1)[0] for n in (1, 2))
    assert np.sqrt(square - mean**2) == pytest.approx(length, rel=1e-6)


def test_published_exponents() -> None:
    """Karras et al. 2312.02696, section 3.1: lengths of 5% and 10% are exponents 16.97 and 6.94."""
    assert [round(exponent(length), 2) for length in LENGTHS] == [16.97, 6.94]


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2])
def test_decays_make_the_profile_that_they_should(length: float) -> None:
    shares = np.zeros(STEPS)
    for step in range(STEPS):
        shares *= decay(step, exponent(length))
        shares[step] = 1 - decay(step, exponent(length))
    np.testing.assert_allclose(shares, profile(STEPS, length, STEPS), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("ends", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.3)])
@pytest.mark.parametrize("lengths", [(0.05, 0.05), (0.05, 0.1), (0.2, 0.03)])
def test_inner_products_are_the_integrals(ends: tuple[float, float], lengths: tuple[float, float]) -> None:
    gammas = [exponent(length) for length in lengths]

    def value(t: float) -> float:
        pairs = zip(ends, gammas, strict=True)
        return float(np.prod([(g + 1) * t**g / end ** (g + 1) for end, g in pairs]))

    expected, _ = quad(value, 0, min(ends), epsabs=1e-12)
    given = (np.float64(each) for each in (ends[0], gammas[0], ends[1], gammas[1]))
    assert float(inner_product(*given)) == pytest.approx(expected, rel=1e-8)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [1, 3, 40, STEPS, 100_000])
@pytest.mark.parametrize("length", [0.02, 0.05, 0.07, 0.1, 0.15, 0.25])
def test_shares_sum_to_one_and_are_moderate(steps: int, length: float) -> None:
    shares = coefficients(points(steps, POST_HOC_POINTS), length)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert abs(shares).max() < 20


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("steps", [1, 10, STEPS])
def test_a_length_that_was_kept_comes_back_as_it_was_kept(steps: int, number: int) -> None:
    kept = points(steps, POST_HOC_POINTS)
    shares = coefficients(kept, LENGTHS[number])
    found = sum(shares[i, j] * profile(t, LENGTHS[j], steps) for i, t in enumerate(kept) for j in (0, 1))
    np.testing.assert_allclose(found, profile(steps, LENGTHS[number], steps), atol=1e-12)
    if steps > 1:
        wanted = np.zeros_like(shares)
        wanted[-1, number] = 1
        np.testing.assert_allclose(shares, wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("length", "tolerance"), [(0.02, 0.05), (0.03, 0.012), (0.07, 0.002), (0.15, 0.005), (0.2, 0.01), (0.25, 0.03)]
)
@pytest.mark.parametrize("steps", [STEPS, 5000])
def test_the_profile_is_near_to_the_wanted_one(steps: int, length: float, tolerance: float) -> None:
    kept = points(steps, POST_HOC_POINTS)
    shares = coefficients(kept, length)
    found = sum(shares[i, j] * profile(t, LENGTHS[j], steps) for i, t in enumerate(kept) for j in (0, 1))
    wanted = profile(steps, length, steps)
    assert np.abs(found - wanted).sum() < tolerance


def averaged_cell(registry: Registry, seed: int = 0) -> TrainingCell:
    settings = {"steps": STEPS, "optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 0.0}}
    cell = training_cell(registry, seed, settings=settings, network=("mlp", {"width": 8, "depth": 1}))
    return replace(cell, kept=Kept(post_hoc_ema=True))


@pytest.mark.parametrize("members", [1, 3])
def test_it_is_the_average_that_the_training_would_have_kept(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    """A third average is kept all the way, and the two that usually are come back to rounding.

    The weights' way is 1; an average made afterwards deviates by less than 1% of it.
    """
    length = 0.15
    tracked: list[PowerAverage] = []

    def keeps_a_third(parameters: list[torch.nn.Parameter], own: float) -> PowerAverage:
        if own == LENGTHS[0]:
            tracked.append(PowerAverage(parameters, length))
        average = PowerAverage(parameters, own)
        update = average.update
        if own == LENGTHS[0]:
            third = tracked[-1]
            average.update = lambda step: (update(step), third.update(step))  # type: ignore[method-assign]
        return average

    monkeypatch.setattr(training_state, "PowerAverage", keeps_a_third)
    shop, cells = context(tmp_path, registry), [averaged_cell(registry, seed) for seed in range(members)]
    train(cells, shop)
    (third,) = tracked
    for member, cell in enumerate(cells):
        trained = load_trained(cell, shop)
        trained.velocity(weights=post_hoc_weights(length))
        found = dict(trained.module.named_parameters())
        trained.velocity(weights="raw")
        way = max(float(value.abs().max()) for value in trained.module.state_dict().values())
        trained.velocity(weights=post_hoc_weights(length))
        for value, whole in zip(found.values(), third.average, strict=True):
            own = whole[member] if members > 1 else whole
            assert float((value - own).abs().max()) < 0.01 * way
        assert trained.is_intact()


def test_averages_that_were_kept_come_back(tmp_path: Path, registry: Registry) -> None:
    from safetensors.torch import load as load_safetensors

    shop, cell = context(tmp_path, registry), averaged_cell(registry)
    train([cell], shop)
    assert [each.step for each in cell.snapshots] == list(points(STEPS, POST_HOC_POINTS))
    last = load_safetensors(snapshot_folder(shop.store, cell.key, cell.snapshots[-1]).read("weights.safetensors"))
    trained = load_trained(cell, shop)
    for number, length in enumerate(LENGTHS):
        trained.velocity(weights=post_hoc_weights(length))
        for name, value in trained.module.named_parameters():
            torch.testing.assert_close(value, last[f"{number}.{name}"], rtol=1e-6, atol=1e-7)


def test_a_snapshot_that_is_lacking_is_named(tmp_path: Path, registry: Registry) -> None:
    shop, cell = context(tmp_path, registry), averaged_cell(registry)
    train([cell], shop)
    snapshot_folder(shop.store, cell.key, post_hoc_snapshots(STEPS)[3]).discard()
    with pytest.raises(CellFailure, match=r"the averages of step 50 of training .* are not in the store"):
        load_trained(cell, shop).velocity(weights=post_hoc_weights(0.1))
