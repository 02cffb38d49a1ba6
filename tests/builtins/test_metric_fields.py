"""The metrics that judge the velocity field, on fields for which the answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import built_ins
from picture_sets import DIGITS
from torch import Tensor, nn

from fmbench import AffinePath, DataError, Dataset, Evidence
from fmbench.errors import Diverged
from fmbench.testing import make_evidence
from fmbench.testing.dummy_components import BentPath, CountedField, TwoBlobs
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_metrics.excess_loss import ExcessLoss
from fmbench_metrics.loss_by_t import LossByT
from fmbench_metrics.nll import NLL
from fmbench_metrics.normalized_path_energy import NormalizedPathEnergy, error_of_the_best, standard_error
from fmbench_metrics.straightness import Straightness
from fmbench_metrics.trajectories import trajectories
from fmbench_metrics.validation import validation_losses
from fmbench_metrics.validation_loss import ValidationLoss
from fmbench_metrics.wasserstein_2 import transport
from fmbench_metrics.x1_error import X1Error, times_of

REGISTRY = built_ins()
MIXTURE = GaussianMixture(size=4000)
PATHS = ["linear", "cosine", "polynomial", "vp", "linear_vp"]
Function = Callable[[Tensor, Tensor], Tensor]


def build(kind: str, name: str, **parameters: Any) -> Any:
    return REGISTRY.build(REGISTRY.spec(kind, name, parameters))


def with_field(dataset: Dataset, function: Function, path: AffinePath | None = None) -> Evidence:
    """Return evidence whose velocity is a function instead of a network's."""
    evidence = make_evidence(dataset, path=path)
    evidence.velocity = CountedField(function, evidence.path)
    return evidence


def with_oracle(name: str) -> Evidence:
    path = build("path", name)
    return with_field(MIXTURE, lambda x, t: MIXTURE.mixture().velocity(x, t, path.gaussian), path)


class Output(nn.Module):
    """A network that is a function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        return self.function(x, t)


class Moved(Dataset):
    """Eight hundred points of the plane as source, and all of them, moved by (3, -1), as data."""

    provides = ("points",)
    shape = (2,)

    def load(self, split: str) -> tuple[Tensor, None]:
        return self.source(800, torch.Generator()) + torch.tensor([3.0, -1.0]), None

    def source(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(800, 2, generator=torch.Generator().manual_seed(0))[:n]


def test_loss_by_t_is_the_validation_loss_in_bins() -> None:
    evidence = make_evidence(MIXTURE)
    values = LossByT().compute(evidence)
    assert list(values) == ["loss_by_t", *(f"loss_by_t_{number}" for number in range(10))]
    assert values["loss_by_t"] == ValidationLoss().compute(evidence)["validation_loss"]
    assert sum(list(values.values())[1:]) / 10 == pytest.approx(values["loss_by_t"], rel=1e-2)


def test_loss_by_t_finds_where_the_network_is_wrong() -> None:
    """Wrong by 3 in each dimension for t in [0.4, 0.5), and only there."""
    path = build("path", "linear")

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return MIXTURE.mixture().velocity(x, t, path.coefficients)

    def wrong(x: Tensor, t: Tensor) -> Tensor:
        return exact(x, t) + 3.0 * ((t >= 0.4) & (t < 0.5))[:, None]

    right, found = (LossByT().compute(make_evidence(MIXTURE, path=path, module=Output(f))) for f in (exact, wrong))
    for number in range(10):
        more = found[f"loss_by_t_{number}"] - right[f"loss_by_t_{number}"]
        assert more == pytest.approx(9.0, abs=1.0) if number == 4 else more == 0


@pytest.mark.parametrize("name", [*PATHS, "icfm", "schrodinger_bridge"])
def test_the_oracle_has_no_excess_loss(name: str) -> None:
    values = ExcessLoss().compute(with_oracle(name))
    assert values["excess_loss"] == 0
    assert ("excess_loss_irreducible" in values) is (name in PATHS)


def test_excess_loss_of_a_constant_error_is_its_square() -> None:
    oracle = with_oracle("cosine")
    evidence = with_field(MIXTURE, lambda x, t: oracle.velocity(x, t) + torch.tensor([0.3, -0.1]), oracle.path)
    assert ExcessLoss().compute(evidence)["excess_loss"] == pytest.approx((0.3**2 + 0.1**2) / 2, rel=1e-4)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_validation_loss_is_excess_plus_irreducible(name: str) -> None:
    """Within four standard errors of the validation loss, for a network that is nothing like the oracle."""
    evidence = make_evidence(MIXTURE, path=build("path", name))
    values = ExcessLoss(draws=60_000).compute(evidence)
    _, losses = validation_losses(evidence)
    error = 4 * float(losses.std()) / len(losses) ** 0.5
    assert sum(values.values()) == pytest.approx(ValidationLoss().compute(evidence)["validation_loss"], abs=error)
    assert min(values.values()) > 2 * error


def test_excess_loss_compares_objectives_by_their_velocity() -> None:
    """A network that predicts E[x_1 | x_t] is as good as one that predicts the velocity."""
    path = build("path", "cosine")

    def prediction(x: Tensor, t: Tensor) -> Tensor:
        alpha_t, sigma_t, *_ = path.coefficients(t)
        return MIXTURE.mixture().posterior(x, alpha_t, sigma_t).mean_x_1

    evidence = make_evidence(
        MIXTURE, path=path, module=Output(prediction), objective=build("objective", "x1_prediction")
    )
    assert ExcessLoss(draws=2000).compute(evidence)["excess_loss"] < 1e-6


def test_excess_loss_says_what_it_needs() -> None:
    with pytest.raises(DataError, match=r"paths that define `gaussian`; found TwoBlobs on StraightPath\."):
        ExcessLoss().compute(make_evidence(TwoBlobs()))


@pytest.mark.parametrize("name", PATHS)
def test_the_grid_of_x1_error_has_the_log_snr_that_it_says(name: str) -> None:
    levels = torch.linspace(-3, 3, 13).double()
    alpha_t, sigma_t, *_ = build("path", name).coefficients(times_of(build("path", name), levels))
    torch.testing.assert_close(torch.log(alpha_t / sigma_t), levels)


def test_x1_error_of_the_oracle_is_the_same_on_every_path() -> None:
    values = [X1Error().compute(with_oracle(name))["x1_error"] for name in PATHS]
    assert values == pytest.approx([values[0]] * len(PATHS), rel=1e-3)


def test_x1_error_of_the_mean_is_the_variance() -> None:
    """A network that predicts the mean of the data wherever it is asked, as x_1."""
    data = MIXTURE.load("test")[0]
    mean = data.mean(0)
    objective = build("objective", "x1_prediction")
    evidence = make_evidence(MIXTURE, module=Output(lambda x, t: mean.expand_as(x)), objective=objective)
    assert X1Error().compute(evidence)["x1_error"] == pytest.approx(float(data.var(0).mean()), rel=0.1)


def test_x1_error_refuses_a_grid_that_the_path_does_not_reach() -> None:
    evidence = make_evidence(MIXTURE, path=build("path", "lipman", sigma_min=0.1))
    with pytest.raises(DataError, match=r"from -3 to 3; Lipman runs from -inf to 2\.303\. Set low and high"):
        X1Error().compute(evidence)
    assert X1Error(high=2.0).compute(evidence)["x1_error"] > 0
    with pytest.raises(ValueError, match="low must be below high; found 1 and 1"):
        X1Error(low=1.0, high=1.0)
    with pytest.raises(DataError, match="needs an affine path"):
        X1Error().compute(make_evidence(MIXTURE, path=build("path", "icfm")))


def test_a_translation_is_straight_and_has_the_energy_of_optimal_transport() -> None:
    evidence = with_field(Moved(), lambda x, t: torch.tensor([3.0, -1.0]).expand_as(x))
    assert Straightness().compute(evidence)["straightness"] == pytest.approx(0, abs=1e-5)
    values = NormalizedPathEnergy(points=800).compute(evidence)
    assert values["normalized_path_energy_transport"] == pytest.approx(10, rel=1e-5)
    assert values["normalized_path_energy_energy"] == pytest.approx(10, rel=1e-5)
    assert values["normalized_path_energy"] == pytest.approx(0, abs=1e-5)


def test_a_detour_costs_straightness_and_energy() -> None:
    """The same translation by a velocity that doubles and vanishes: v = 2 t (3, -1), so int |v|^2 = 4/3 of 10."""
    evidence = with_field(Moved(), lambda x, t: 2 * t[:, None] * torch.tensor([3.0, -1.0]))
    assert Straightness().compute(evidence)["straightness"] == pytest.approx(10 / 3 / 2, rel=1e-3)
    value = NormalizedPathEnergy(points=800).compute(evidence)["normalized_path_energy"]
    assert value == pytest.approx(1 / 3, rel=1e-3)


@pytest.mark.parametrize(("n", "m"), [(150, 150), (150, 60)])
def test_path_energy_says_its_own_noise(n: int, m: int) -> None:
    """From N(0, 1) to N((3, -1), 4): over many draws of the points, by the optimal flow and by one of twice its energy.

    The optimal map is x -> 2 x + (3, -1), so that |T(x) - x|^2 = |x + (3, -1)|^2.
    """
    generator, shift = torch.Generator().manual_seed(0), torch.tensor([3.0, -1.0], dtype=torch.float64)
    found: dict[float, list[tuple[float, float, float]]] = {1.0: [], 2.0: []}
    for _ in range(200):
        x, other = (torch.randn(k, 2, generator=generator, dtype=torch.float64) for k in (n, m))
        w2 = transport(x, 2 * other + shift)
        energy = (x + shift).square().sum(1)
        for times, said in found.items():
            said.append(
                (float(times * energy.mean()) / w2.cost, standard_error(times * energy, w2), error_of_the_best(w2))
            )
    for said in found.values():
        ratios, errors, _ = torch.tensor(said, dtype=torch.float64).T
        assert float(errors.mean()) == pytest.approx(float(ratios.std()), rel=0.15)
    ratios, _, best = torch.tensor(found[1.0], dtype=torch.float64).T
    assert float(best.mean()) == pytest.approx(float(ratios.std()), rel=0.15)


def test_the_floor_of_path_energy_is_lower_from_more_points() -> None:
    evidence = with_oracle("linear")
    few, many = (NormalizedPathEnergy(points=n, steps=2).compute(evidence) for n in (250, 1000))
    for value in ("normalized_path_energy_floor", "normalized_path_energy_se"):
        assert few[value] / many[value] == pytest.approx(2, rel=0.2)


def test_straightness_of_a_rotation_is_the_closed_form() -> None:
    """Around the origin at unit rate: |v| = |x_0| all along, and |x_1 - x_0|^2 = (2 - 2 cos 1) |x_0|^2."""
    evidence = with_field(Moved(), lambda x, t: torch.stack([-x[:, 1], x[:, 0]], dim=1))
    radius = Moved().source(500, torch.Generator()).square().mean().item()
    expected = (1 - (2 - 2 * math.cos(1))) * radius
    assert Straightness(points=500).compute(evidence)["straightness"] == pytest.approx(expected, rel=1e-2)


def test_velocities_that_blow_up_are_said_to() -> None:
    evidence = with_field(MIXTURE, lambda x, t: x / 0)
    for metric in (Straightness(), NLL(), NormalizedPathEnergy()):
        with pytest.raises(Diverged, match="not finite"):
            metric.compute(evidence)


def test_nll_of_the_oracle_is_the_data_s_own() -> None:
    values = NLL(points=100).compute(with_oracle("linear"))
    assert values["nll_nats"] == pytest.approx(values["nll_exact_nats"], abs=1e-3)
    assert values["nll"] == pytest.approx(values["nll_nats"] / (2 * math.log(2)))


def test_the_error_of_the_excess_is_its_scatter_over_examples() -> None:
    """Of the flow of a normal distribution of deviation 1.5 in place of the data's: drawn again seed by seed."""

    def grown(x: Tensor, t: Tensor) -> Tensor:
        return 0.5 * x / (1 + 0.5 * t[:, None])

    values = []
    for seed in range(40):
        evidence = with_field(MIXTURE, grown)
        evidence.generator = lambda role, seed=seed: torch.Generator().manual_seed(seed)
        values.append(NLL(points=50, steps=4).compute(evidence))
    excess, errors = (torch.tensor([v[name] for v in values]) for name in ("nll_excess_nats", "nll_excess_nats_se"))
    assert float(errors.mean()) == pytest.approx(float(excess.std()), rel=0.3)


def test_nll_by_hutchinson_is_near_the_exact_one() -> None:
    values = NLL(steps=16, exact_up_to=0, probes=8).compute(with_oracle("linear"))
    assert values["nll_nats"] == pytest.approx(values["nll_exact_nats"], abs=0.1)


@pytest.mark.parametrize("metric", [NLL(points=7, steps=2), X1Error(), Straightness(points=7, steps=2)])
def test_labels_go_with_their_examples_and_are_put_back(metric: Any) -> None:
    """The digit 3 is told apart by its own label; the velocity's labels are as they were afterwards."""
    seen: list[Tensor] = []

    class Labelled(nn.Module):
        def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
            assert y is not None
            assert y.shape == t.shape
            seen.append(y)
            return 0.5 * x

    evidence = make_evidence(DIGITS, module=Labelled(), path=BentPath())
    evidence.classes = 10
    before = torch.tensor([1])
    evidence.velocity.y = before
    metric.compute(evidence)
    assert evidence.velocity.y is before
    assert len(torch.cat(seen).unique()) > 3
    assert metric.identity(evidence)["labels"] is True


def test_a_network_that_takes_labels_is_judged_against_the_oracle_without() -> None:
    seen: list[Tensor | None] = []

    class Labelled(nn.Module):
        def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
            seen.append(y)
            return x

    evidence = make_evidence(MIXTURE, module=Labelled())
    evidence.classes = 4
    ExcessLoss(draws=10).compute(evidence)
    assert all(y is not None and bool((y == 4).all()) for y in seen)


def test_trajectories_do_not_ask_at_the_data() -> None:
    evidence = with_field(MIXTURE, lambda x, t: -x)
    trajectories(evidence, 10, 4, torch.Generator())
    times = torch.cat(evidence.velocity.times)  # type: ignore[attr-defined]
    assert times.min() == 0
    assert times.max() < 1
