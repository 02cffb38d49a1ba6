"""Shares of modes and missed modes: exact draws, dropped and tilted modes, overlap, and what lies in no mode."""

import math

import pytest
import torch
from picture_sets import by_name

from fmbench import DataError, Mixture
from fmbench.testing.dummy_components import TwoBlobs
from fmbench.testing.evidence import make_evidence
from fmbench_datasets.eight_gaussians import EightGaussians
from fmbench_datasets.gaussian_mixture import GaussianMixture

THREE = GaussianMixture(size=100)


def draws(mixture, n=5000, seed=0):
    """Return float32 points of a mixture and their components."""
    return mixture.sample_labelled(n, torch.Generator().manual_seed(seed), torch.float32)


def mixture_of(weights, means, deviation=1.0):
    """Return a mixture of round Gaussians."""
    means = torch.tensor(means, dtype=torch.float64)
    covariances = deviation**2 * torch.eye(means.shape[1], dtype=torch.float64).expand(len(means), -1, -1).contiguous()
    return Mixture(torch.tensor(weights, dtype=torch.float64), means, covariances)


def value(name, samples, mixture=None, **parameters):
    dataset = GaussianMixture(size=100)
    if mixture is not None:
        dataset.mixture = lambda: mixture
    return by_name(name, **parameters).compute(make_evidence(dataset, samples))[name]


@pytest.mark.parametrize("dataset", [THREE, EightGaussians(size=100)], ids=["three", "eight"])
def test_draws_of_the_mixture_have_the_shares_and_all_modes(dataset):
    mixture, n = dataset.mixture(), 5000
    x, _ = draws(mixture, n)
    noise = float((mixture.weights * (1 - mixture.weights) / (2 * math.pi * n)).sqrt().sum())
    assert value("mode_shares", x, mixture) < 2 * noise
    assert value("missed_modes", x, mixture) == 0


@pytest.mark.parametrize("dropped", range(3))
def test_a_mode_that_is_dropped_is_missed_and_costs_its_weight(dropped):
    mixture = THREE.mixture()
    x, component = draws(mixture)
    kept = x[component != dropped]
    assert value("missed_modes", kept) == 1
    assert value("mode_shares", kept) == pytest.approx(float(mixture.weights[dropped]), abs=0.02)


def test_one_mode_alone():
    mixture = EightGaussians(size=100).mixture()
    x, component = draws(mixture)
    assert value("mode_shares", x[component == 3], mixture) == pytest.approx(7 / 8, abs=0.01)
    assert value("missed_modes", x[component == 3], mixture) == 7


def test_total_variation_of_shares_that_are_known():
    mixture = mixture_of([0.5, 0.3, 0.2], [[0.0], [100.0], [200.0]])
    x = torch.tensor([[0.0]] * 2 + [[100.0]] * 2 + [[200.0]] * 6)
    assert value("mode_shares", x, mixture) == pytest.approx(0.4)


def test_modes_that_overlap_have_their_shares_all_the_same():
    """Counted by the likeliest mode, the heavy one would get what the light one lacks: 0.76 in place of 0.7."""
    mixture = mixture_of([0.7, 0.3], [[0.0], [2.0]])
    x, _ = draws(mixture, 50_000)
    likeliest = mixture.posterior(x.double(), torch.ones(50_000), torch.zeros(50_000)).responsibilities.argmax(0)
    assert abs(float((likeliest == 0).double().mean()) - 0.7) > 0.02
    assert value("mode_shares", x, mixture) < 0.01


def test_samples_in_no_mode_find_none():
    mixture = mixture_of([0.5, 0.5], [[0.0, 0.0], [10.0, 0.0]])
    at = {3.0: 0, 3.1: 1}  # the region reaches to sqrt(-2 ln 0.01) = 3.035 in the plane
    for distance, missed in at.items():
        x = torch.tensor([[0.0, 0.0], [10.0, distance]])
        assert value("missed_modes", x, mixture) == missed


def test_how_few_samples_are_too_few_is_a_parameter():
    mixture = mixture_of([0.5, 0.5], [[0.0], [50.0]])
    x = torch.tensor([[0.0]] * 96 + [[50.0]] * 4)  # 4 of the 50 that there should be
    assert value("missed_modes", x, mixture) == 1
    assert value("missed_modes", x, mixture, least=0.08) == 0
    assert value("missed_modes", x, mixture, least=0) == 0
    assert value("missed_modes", x[:96], mixture, least=0) == 1


@pytest.mark.parametrize("name", ["mode_shares", "missed_modes"])
def test_data_without_a_known_mixture_are_refused(name):
    with pytest.raises(DataError, match=f"{name} needs data that are a known mixture of Gaussians; TwoBlobs is none"):
        by_name(name).compute(make_evidence(TwoBlobs()))
