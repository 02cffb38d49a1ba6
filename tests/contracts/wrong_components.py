"""A plugin of components that each break one rule of their kind: what `fmbench check-plugin` says of them is tested."""

import torch

from fmbench import (
    AffinePath,
    Coupling,
    Dataset,
    Grid,
    Guidance,
    Metric,
    Network,
    Objective,
    Solver,
    TDistribution,
    hookimpl,
)
from fmbench.errors import ComponentError


class Halfway(Solver):
    """Evaluates at the middle of a step, and then forgets it: of order 1, said to be of order 2."""

    nfe_per_step = 2
    order = 2

    def integrate(self, velocity, x_0, times):
        x = x_0
        for t, h in zip(times[:-1], times.diff(), strict=True):
            first = velocity(x, t.expand(len(x)))
            velocity(x + h / 2 * first, (t + h / 2).expand(len(x)))
            x = x + h * first
        return x


class OneMore(Halfway):
    """Calls the velocity once more than it says."""

    order = 1

    def integrate(self, velocity, x_0, times):
        velocity(x_0, times[0].expand(len(x_0)))
        return super().integrate(velocity, x_0, times)


class Raising(Halfway):
    """Has a line that fails."""

    def integrate(self, velocity, x_0, times):
        return x_0[:, 99]


class Refusing(Halfway):
    """Refuses what it is asked for, as components do what a suite must not ask of them."""

    def integrate(self, velocity, x_0, times):
        raise ComponentError("refusing takes nothing")


class Leaving(Halfway):
    """Ends Python."""

    def integrate(self, velocity, x_0, times):
        raise SystemExit(0)


class ShortPath(AffinePath):
    """Ends before the data."""

    def coefficients(self, t):
        return 0.98 * t, 1 - t, 0.98 * torch.ones_like(t), -torch.ones_like(t)


class WrongSlope(AffinePath):
    """Has a wrong derivative."""

    def coefficients(self, t):
        return t**2, 1 - t, t, -torch.ones_like(t)


class LabelsStay(Coupling):
    """Shuffles the data, but leaves the labels where they are."""

    def pair(self, x_0, x_1, y, generator):
        return x_0, x_1[torch.randperm(len(x_1), generator=generator)], y


class Ramp(TDistribution):
    """Draws t of density 2t, and says that it is uniform."""

    def quantile(self, u):
        return u.sqrt()

    def density(self, t):
        return torch.ones_like(t)


class Summed(Objective):
    """Sums where it should take the mean."""

    def loss(self, output, sample):
        return (output - sample.dx_t).square().flatten(1).sum(1)

    def velocity(self, output, x, t, path):
        return output


class PredictsData(Objective):
    """Its output is the data."""

    def loss(self, output, sample):
        return (output - sample.x_1).square().flatten(1).mean(1)

    def velocity(self, output, x, t, path):
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = (c.reshape(-1, *[1] * (x.ndim - 1)) for c in path.coefficients(t))
        return d_alpha_t * output + d_sigma_t * (x - alpha_t * output) / sigma_t


class Timeless(Network):
    """Ignores the time."""

    takes = ()

    def build(self, shape, classes):
        return TimelessModule(torch.Size(shape).numel())


class TimelessModule(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = torch.nn.Linear(size, size)

    def forward(self, x, t, y=None):
        return self.linear(x.flatten(1)).reshape(x.shape)


class Short(Grid):
    """Ends before 1."""

    def times(self, steps):
        return 0.999 * torch.linspace(0, 1, steps + 1, dtype=torch.float64)


class OneCall(Guidance):
    """Makes two calls, and declares one.

    Args:
        weight: how strong it is.
    """

    requires = ("labels", "no_label")
    network_calls = 1

    def __init__(self, *, weight: float) -> None:
        self.weight = weight

    def velocity(self, calls, x, t):
        free = calls.unconditional(x, t)
        return free + self.weight * (calls.conditional(x, t) - free)


class Overlapping(Dataset):
    """Tests on what it trains on."""

    provides = ("points", "normal_source")
    shape = (2,)

    def load(self, split):
        return torch.arange(200).float().reshape(100, 2), None


class UpsideDown(Metric):
    """Says that a distance is better where it is larger."""

    better = "higher"

    def compute(self, evidence):
        real, _ = evidence.real("test")
        return {"upside_down": (evidence.samples.std(0) - real.std(0)).norm().item()}


@hookimpl
def fmbench_solvers():
    return {"halfway": Halfway, "one_more": OneMore, "raising": Raising, "refusing": Refusing, "leaving": Leaving}


@hookimpl
def fmbench_paths():
    return {"short_path": ShortPath, "wrong_slope": WrongSlope}


@hookimpl
def fmbench_couplings():
    return {"labels_stay": LabelsStay}


@hookimpl
def fmbench_t_distributions():
    return {"ramp": Ramp}


@hookimpl
def fmbench_objectives():
    return {"summed": Summed, "predicts_data": PredictsData}


@hookimpl
def fmbench_networks():
    return {"timeless": Timeless}


@hookimpl
def fmbench_grids():
    return {"short_grid": Short}


@hookimpl
def fmbench_guidances():
    return {"one_call": OneCall}


@hookimpl
def fmbench_datasets():
    return {"overlapping": Overlapping}


@hookimpl
def fmbench_metrics():
    return {"upside_down": UpsideDown}
