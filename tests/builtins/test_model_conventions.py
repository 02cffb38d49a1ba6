"""Conventions of networks of other programs: each is brought to the known velocity of a Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from fmbench import AffinePath, DataError, expand
from fmbench.plan.given_models import OBJECTIVES
from fmbench.plugins.registry import load_registry
from fmbench.testing.dummy_components import TwoBlobs
from fmbench_models._conventions import Conventions, InItsRange

MEAN, DEVIATION = 2.0, 0.5
PATHS = {
    "linear": {},
    "cosine": {},
    "vp": {},
    "ddpm": {},
    "lipman": {"sigma_min": 0.1},
    "polynomial": {"n": 2.0},
}


def built(kind: str, name: str, **parameters: Any) -> Any:
    registry = load_registry()
    return registry.build(registry.spec(kind, name, parameters))


def ends(x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[x_1 | x] and E[x_0 | x] of x = alpha x_1 + sigma x_0, x_1 from N(MEAN, DEVIATION^2): joint normals."""
    rest = (x - alpha * MEAN) / (alpha**2 * DEVIATION**2 + sigma**2)
    return MEAN + alpha * DEVIATION**2 * rest, sigma * rest


def exact_velocity(path: AffinePath, x: Tensor, t: Tensor) -> Tensor:
    alpha, sigma, d_alpha, d_sigma = (expand(each, x) for each in path.coefficients(t))
    x_1, x_0 = ends(x, alpha, sigma)
    return d_alpha * x_1 + d_sigma * x_0


class Of(nn.Module):
    """A network that a function of `(x, t)` is."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.function(x, t)


def in_a_time(path: AffinePath, predicts: str, time: str, scale: float) -> nn.Module:
    """Return the network that a program has that learned the Gaussian perfectly, in its own time s."""

    def output(x: Tensor, s: Tensor) -> Tensor:
        t = 1 - s / scale if time == "data_at_zero" else s / scale
        alpha, sigma, _, _ = (expand(each, x) for each in path.coefficients(t))
        x_1, x_0 = ends(x, alpha, sigma)
        velocity = exact_velocity(path, x, t) * (-1 if time == "data_at_zero" else 1)
        # The score by the closed form of the marginal N(alpha MEAN, alpha^2 DEVIATION^2 + sigma^2).
        score = -(x - alpha * MEAN) / (alpha**2 * DEVIATION**2 + sigma**2)
        v = alpha * x_0 - sigma * x_1
        return {"velocity": velocity, "x_1": x_1, "noise": x_0, "score": score, "v": v}[predicts]

    return Of(output)


def told_sigma(predicts: str) -> nn.Module:
    """Return the network that learned the Gaussian with noise of deviation sigma added: x = x_1 + sigma x_0."""

    def output(x: Tensor, s: Tensor) -> Tensor:
        sigma = s[:, None]
        x_1, x_0 = ends(x, torch.ones_like(sigma), sigma)
        return {"x_1": x_1, "noise": x_0, "score": -(x - MEAN) / (DEVIATION**2 + sigma**2)}[predicts]

    return Of(output)


def found_velocity(network: nn.Module, path: AffinePath, x: Tensor, t: Tensor, **said: Any) -> Tensor:
    module = Conventions(**said).of(network, TwoBlobs(), path)
    objective = built("objective", OBJECTIVES[said["predicts"]])
    return cast("Tensor", objective.velocity(module(x, t), x, t, path))


@pytest.fixture
def states() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(0.06, 0.94, 40, dtype=torch.float64)
    return 2 * torch.randn(40, 2, dtype=torch.float64, generator=generator), t


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("predicts", OBJECTIVES)
@pytest.mark.parametrize(("time", "scale"), [("data_at_one", 1.0), ("data_at_zero", 1.0), ("data_at_zero", 999.0)])
def test_each_convention_is_the_known_velocity(
    states: tuple[Tensor, Tensor], path: str, predicts: str, time: str, scale: float
) -> None:
    x, t = states
    own = built("path", path, **PATHS[path])
    network = in_a_time(own, predicts, time, scale)
    found = found_velocity(network, own, x, t, predicts=predicts, time=time, time_scale=scale)
    torch.testing.assert_close(found, exact_velocity(own, x, t), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("predicts", ["x_1", "noise", "score"])
def test_a_network_that_is_told_sigma_is_the_known_velocity(
    states: tuple[Tensor, Tensor], path: str, predicts: str
) -> None:
    x, t = states
    own = built("path", path, **PATHS[path])
    found = found_velocity(told_sigma(predicts), own, x, t, predicts=predicts, time="sigma", noise_levels=(1e-4, 1e4))
    torch.testing.assert_close(found, exact_velocity(own, x, t), rtol=1e-8, atol=1e-8)


def test_sigma_stays_within_the_levels_that_the_network_knows() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def network(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append((x, sigma))
        return x

    path, x = built("path", "linear"), torch.ones(3, 1, dtype=torch.float64)
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    Conventions(predicts="x_1", time="sigma", noise_levels=(0.01, 80.0)).of(Of(network), TwoBlobs(), path)(x, t)
    ((states, sigmas),) = seen
    assert sigmas.tolist() == pytest.approx([80.0, 1.0, 0.01])
    assert states.flatten().tolist() == pytest.approx([80.0, 2.0, 1.0])  # pure noise of deviation 80 at t=0


@pytest.mark.parametrize("time", ["data_at_one", "data_at_zero", "sigma"])
def test_labels_are_the_networks_own(time: str) -> None:
    seen: list[Tensor] = []

    class Labelled(nn.Module):
        def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
            seen.append(y)
            return x

    said: Any = {"predicts": "x_1", "time": time, "labels": True, "no_label": 1000}
    dataset = TwoBlobs()
    module = Conventions(**said).of(Labelled(), dataset, built("path", "linear"))
    module(torch.ones(3, 2), torch.full((3,), 0.5), torch.tensor([0, 1, dataset.classes]))
    assert seen[0].tolist() == [0, 1, 1000]


def test_samples_of_another_range_are_brought_back() -> None:
    module = InItsRange(Of(lambda x, t: x), (2,), (0.0, 1.0))
    assert module.state_shape == (2,)
    torch.testing.assert_close(
        module.decode(torch.tensor([[0.0, 1.0], [0.5, 0.25]])), torch.tensor([[-1.0, 1], [0, -0.5]])
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"time": "sigma", "predicts": "v"}, "time: sigma goes with predicts: x_1, noise, score"),
        ({"time": "sigma"}, "found predicts: velocity"),
        ({"noise_levels": (2.0, 1.0)}, "the lower first"),
        ({"noise_levels": (0.1, 10.0)}, "set time: sigma; found data_at_one"),
        ({"value_range": (1.0, 0.0)}, "the lower first"),
        ({"no_label": 10}, "set labels: true"),
    ],
)
def test_what_does_not_go_together_is_said(said: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Conventions(**said)


@pytest.mark.parametrize("said", [{"predicts": "score"}, {"predicts": "v"}, {"predicts": "x_1", "time": "sigma"}])
def test_a_path_without_ends_is_refused(said: Any) -> None:
    with pytest.raises(DataError, match="need an affine path; found ICFM"):
        Conventions(**said).of(Of(lambda x, t: x), TwoBlobs(), built("path", "icfm"))
