"""The components themselves: imported only when a suite uses one."""

from typing import Annotated

from annotated_types import Ge

from fmbench import AffinePath, Metric, Solver


class Ralston(Solver):
    """Two stages, at the start and at two thirds of a step, with the least error bound of second order."""

    reference = "Ralston 1962, Runge-Kutta methods with minimum error bounds"
    nfe_per_step = 2
    order = 2

    def integrate(self, velocity, x_0, times):
        """Return `x_1` of the shape of `x_0`."""
        x = x_0
        for t, h in zip(times[:-1], times.diff(), strict=True):
            first = velocity(x, t.expand(len(x)))
            second = velocity(x + 2 / 3 * h * first, (t + 2 / 3 * h).expand(len(x)))
            x = x + h * (first + 3 * second) / 4
        return x


class Power(AffinePath):
    """x_t = t^n x_1 + (1 - t^n) x_0: slow near the source where n > 1.

    Args:
        exponent: n, at least 1.
    """

    reference = "a time change of the linear path"

    def __init__(self, *, exponent: Annotated[float, Ge(1)] = 2.0) -> None:
        self.exponent = exponent

    def coefficients(self, t):
        """Return `alpha_t, sigma_t, d_alpha_t, d_sigma_t`."""
        alpha_t, d_alpha_t = t**self.exponent, self.exponent * t ** (self.exponent - 1)
        return alpha_t, 1 - alpha_t, d_alpha_t, -d_alpha_t


class MeanDistance(Metric):
    """Euclidean distance between the mean of the samples and the mean of the test data."""

    better = "lower"
    minimum_samples = 100

    def compute(self, evidence):
        """Return `mean_distance`."""
        real, _ = evidence.real("test")
        difference = evidence.samples.mean(0) - real.to(evidence.samples).mean(0)
        return {"mean_distance": difference.norm().item()}
