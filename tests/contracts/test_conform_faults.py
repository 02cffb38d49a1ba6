"""The conformance tests catch planted faults, and say which rule was broken."""

from itertools import pairwise
from types import MappingProxyType

import pytest
import torch
from built_ins import Case
from torch import nn

from fmbench import Coupling, Grid, Metric, Network, Path, PathSample, Solver, TDistribution, expand
from fmbench.testing import (
    AdaptiveSolverConformance,
    AffinePathConformance,
    CouplingConformance,
    DatasetConformance,
    GridConformance,
    MetricConformance,
    NetworkConformance,
    ObjectiveConformance,
    PathConformance,
    SolverConformance,
    TDistributionConformance,
    make_evidence,
)
from fmbench.testing.base import generator, same
from fmbench.testing.dummy_components import StraightPath, TwoBlobs, VelocityOutput
from fmbench.testing.ode_problems import PROBLEMS


class EvenGrid(Grid):
    """Steps of one size."""

    def times(self, steps):
        return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


class TestTheMethodForm(GridConformance):
    """`component` as a plain method is enough."""

    def component(self):
        return EvenGrid()


def refuses(rule, test, *arguments):
    with pytest.raises(AssertionError, match=rule):
        test(*arguments)


def test_wrong_velocity():
    class Wrong(StraightPath):
        def coefficients(self, t):
            alpha, sigma, d_alpha, d_sigma = super().coefficients(t)
            return alpha**2, sigma, d_alpha, d_sigma

    refuses("d_alpha_t is the derivative", AffinePathConformance().test_coefficient_derivatives, Wrong())
    refuses("dx_t is d x_t/dt", PathConformance().test_velocity_is_the_derivative, Wrong(), (2,))


def test_path_with_noise_of_its_own():
    class Noisy(Path):
        def sample(self, x_0, x_1, t, generator):
            x_t = x_0 + expand(t, x_0) * (x_1 - x_0) + 0.1 * torch.randn_like(x_0)
            return PathSample(x_0, x_1, t, x_t, x_1 - x_0)

    refuses("draw from the generator only", PathConformance().test_draws_follow_the_generator, Noisy())
    refuses("x_t at t=0 is x_0", PathConformance().test_runs_from_source_to_data, Noisy(), (2,), torch.float32)


def test_path_that_draws_more_for_some_values():
    class Uneven(StraightPath):
        def sample(self, x_0, x_1, t, generator):
            if t[0] > 0.5:
                torch.randn(3, generator=generator)
            return super().sample(x_0, x_1, t, generator)

    refuses("depends on the shape of x_0 alone", PathConformance().test_draws_follow_the_generator, Uneven())


class Shuffled(Coupling):
    """Shuffles the data, but leaves the labels where they are."""

    def pair(self, x_0, x_1, y, generator):
        return x_0, x_1[torch.randperm(len(x_1), generator=generator)], y


def test_labels_that_stay_behind():
    refuses("labels travel with their x_1", CouplingConformance().test_labels_travel_with_the_data, Shuffled())


def test_coupling_with_replacement():
    class Replacing(Coupling):
        def pair(self, x_0, x_1, y, generator):
            chosen = torch.randint(len(x_1), (len(x_1),), generator=generator)
            return x_0, x_1[chosen], None if y is None else y[chosen]

    refuses("rows of x_1 are the same", CouplingConformance().test_preserves_both_marginals, Replacing(), (2,), True)


def test_coupling_that_draws_in_secret():
    class Secretive(Coupling):
        draws = False

        def pair(self, x_0, x_1, y, generator):
            return x_0[torch.randperm(len(x_0), generator=generator)], x_1, y

    refuses("leaves the generator alone", CouplingConformance().test_draws_only_where_it_says_so, Secretive())


class Ramp(TDistribution):
    """Density 2t, said to be uniform; or the other way round."""

    def __init__(self, density_too=True):
        self.density_too = density_too

    def quantile(self, u):
        return u.sqrt()

    def density(self, t):
        return 2 * t if self.density_too else torch.ones_like(t)


def test_right_and_wrong_density():
    tests = TDistributionConformance()
    for test in (
        tests.test_density_integrates_to_one,
        tests.test_quantile_is_the_inverse_cdf,
        tests.test_draws_follow_the_density,
    ):
        test(Ramp())
        refuses("densit", test, Ramp(density_too=False))


def test_density_outside_the_quantiles():
    class Spread(TDistribution):
        def quantile(self, u):
            return 0.5 + u / 2

        def density(self, t):
            return torch.where(t > 0.5, 2.0, 1.0)

    refuses("towards t=0", TDistributionConformance().test_density_integrates_to_one, Spread())


def test_unnormalised_density():
    class Doubled(Ramp):
        def density(self, t):
            return 4 * t

    refuses("integrates", TDistributionConformance().test_density_integrates_to_one, Doubled())


def test_summed_loss():
    class Summed(VelocityOutput):
        def loss(self, output, sample):
            return (output - sample.dx_t).square().flatten(1).sum(1)

    refuses("averaged over", ObjectiveConformance().test_loss_is_a_mean_over_dimensions, Summed())


def test_objective_with_the_wrong_sign():
    class Backwards(VelocityOutput):
        def velocity(self, output, x, t, path):
            return -output

    test = ObjectiveConformance().test_perfect_output_becomes_the_velocity
    refuses("stands for dx_t", test, Backwards(), (2,), StraightPath())


class Stepper(Solver):
    """Heun's method, with settings that break it."""

    nfe_per_step = 2
    order = 2

    def __init__(self, weight=0.5, in_place=False, wasteful=False):
        self.weight, self.in_place, self.wasteful = weight, in_place, wasteful

    def integrate(self, velocity, x_0, times):
        x = x_0 if self.in_place else x_0.clone()
        for t, t_next in pairwise(times):
            h = t_next - t
            first = velocity(x, t.expand(len(x)))
            second = velocity(x + h * first, t_next.expand(len(x)))
            x += h * ((1 - self.weight) * first + self.weight * second)
        if self.wasteful:
            velocity(x, times[-1].expand(len(x)))
        return x


def test_solver_faults():
    tests = SolverConformance()
    tests.test_converges_at_its_order(Stepper(), PROBLEMS[0], "uniform")
    refuses("declared order is 2", tests.test_converges_at_its_order, Stepper(weight=0.51), PROBLEMS[0], "uniform")
    refuses("counted 9", tests.test_costs_what_it_declares, Stepper(wasteful=True), 4)
    refuses("x_0 in place", tests.test_keeps_shape_and_dtype, Stepper(in_place=True), (2,), torch.float32)
    refuses("AdaptiveSolverConformance", AdaptiveSolverConformance().test_declares_its_cost, Stepper())


def test_multistep_solver_that_extrapolates_into_the_last_jump(monkeypatch):
    """As dpmpp_2m did on lipman, whose lambda jumps by 8 in the last step and by 1 in the one before."""
    solver = Case("solver", "dpmpp_2m").build()
    tests = SolverConformance()
    tests.test_few_steps_end_no_further_than_eulers(solver, "lipman")
    monkeypatch.setattr("fmbench_solvers._diffusion.LARGEST_GROWTH", float("inf"))
    rule = "path lipman .* no further from the exact flow than 1 times .* steps end 1.0[0-9]* times"
    refuses(rule, tests.test_few_steps_end_no_further_than_eulers, solver, "lipman")


def test_stale_declarations_of_few_steps():
    class Stale(SolverConformance):
        behind_euler = MappingProxyType({"linear": 1.2})

    solver = Case("solver", "ab2").build()
    refuses("declare that, or nothing", Stale().test_few_steps_end_no_further_than_eulers, solver, "linear")


def test_grid_that_misses_the_end():
    class Short(EvenGrid):
        def times(self, steps):
            return super().times(steps) * 0.999

    refuses("exactly 0 to exactly 1", GridConformance().test_times, Short())


def test_grid_with_a_step_that_stays():
    class Stuck(EvenGrid):
        def times(self, steps):
            inner = 0.9 * super().times(steps - 1) if steps > 1 else torch.zeros(1, dtype=torch.float64)
            return torch.cat([inner, torch.ones(1, dtype=torch.float64)])

    GridConformance().test_times(Stuck())
    refuses("the largest step falls as steps", GridConformance().test_every_step_shrinks, Stuck())


class Perceptron(Network):
    """A network that may ignore time, mix its batch, or hold a parameter that it does not use."""

    def __init__(self, fault=""):
        self.fault = fault

    def build(self, shape, classes):
        return PerceptronModule(shape[0], self.fault)


class PerceptronModule(nn.Module):
    def __init__(self, dim, fault):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim + 1, 16), nn.Tanh(), nn.Linear(16, dim))
        self.spare = nn.Parameter(torch.zeros(1))
        self.fault = fault

    def forward(self, x, t, y=None):
        t = torch.zeros_like(t) if self.fault == "timeless" else t
        out = self.layers(torch.cat([x, t[:, None]], dim=1)) + (0 if self.fault == "spare" else self.spare)
        return out - out.mean(0) if self.fault == "mixing" else out


class PointsOnly(NetworkConformance):
    classes = 0


def test_network_faults():
    tests = PointsOnly()
    for test in (tests.test_depends_on_state_and_time, tests.test_examples_do_not_interact):
        test(Perceptron())
    refuses("depends on t", tests.test_depends_on_state_and_time, Perceptron("timeless"))
    refuses("does not depend on its batch", tests.test_examples_do_not_interact, Perceptron("mixing"))
    refuses("never: .'spare'", tests.test_gradients_reach_every_parameter, Perceptron("spare"))
    refuses("depends on the label", NetworkConformance().test_depends_on_the_label, Perceptron())


class OverlappingBlobs(TwoBlobs):
    """The test split is a part of the training split."""

    def load(self, split):
        x, y = super().load("train")
        return (x, y) if split == "train" else (x[:10], y[:10])


class Restless(TwoBlobs):
    """Another draw at each load."""

    def load(self, split):
        return torch.randn(100, 2), torch.arange(100) % 2


def test_dataset_faults():
    tests = DatasetConformance()
    refuses("share no example; 10 of 10", tests.test_splits_are_disjoint, OverlappingBlobs())
    refuses("global generator", tests.test_loads_the_same_again, Restless(), "train")


class MeanGap(Metric):
    """Distance between the means of samples and test data."""

    def __init__(self, better="lower"):
        self.better = better

    def compute(self, evidence):
        real, _ = evidence.real("test")
        return {"mean_gap": (evidence.samples - real.mean(0)).square().sum(1).mean().item()}


def test_metric_faults(tmp_path):
    tests, dataset = MetricConformance(), FarBlobs()
    tests.test_real_data_is_better_than_noise(MeanGap(), dataset, tmp_path)
    refuses(
        "real data is better than noise",
        tests.test_real_data_is_better_than_noise,
        MeanGap(better="higher"),
        dataset,
        tmp_path,
    )
    refuses('"lower" or "higher"', tests.test_declarations, MeanGap(better="less"))


class FarBlobs(TwoBlobs):
    """Two blobs far from the noise."""

    def load(self, split):
        x, y = super().load(split)
        return x + 10, y


def test_undeclared_and_unpicklable_components():
    class Positional(EvenGrid):
        """Takes a positional parameter, without a type."""

        def __init__(self, power):
            self.power = power

    class Bare(EvenGrid):
        def __init__(self):
            self.warp = lambda u: u

    tests = GridConformance()
    refuses("keyword-only", tests.test_parameters_are_keyword_only_and_annotated, Positional(2))
    refuses("summary", tests.test_has_a_summary, Bare())
    refuses("can be pickled", tests.test_survives_pickling, Bare())
    refuses("extends fmbench.Grid", tests.test_extends_its_contract, TwoBlobs())


def test_evidence_serves_every_scope():
    evidence = make_evidence(TwoBlobs(), seed=3)
    assert evidence.samples.shape == (2000, 2)
    assert evidence.draw(5).shape == (5, 2)
    assert evidence.velocity(torch.zeros(4, 2), torch.zeros(4)).shape == (4, 2)
    assert evidence.module(torch.zeros(4, 2), torch.zeros(4)).shape == (4, 2)
    first, again, other = (torch.rand(3, generator=evidence.generator(role)) for role in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    folder = evidence.cache
    assert folder.is_dir()
    del evidence
    assert not folder.exists()


def test_same_looks_into_things():
    a = {"x": torch.zeros(2), "y": [1, (2.0, "z")], "part": StraightPath()}
    assert same(a, {"x": torch.zeros(2), "y": [1, (2.0, "z")], "part": StraightPath()})
    assert not same(a, {**a, "x": torch.ones(2)})
    assert not same(1, 1.0)
    assert generator(1).initial_seed() == 1
