"""How many modes of the data have next to no samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Lt

from fmbench_metrics.mixture_modes import ModesMetric, responsibilities

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence, Mixture

INSIDE = 0.99
"""The part of a mode's own probability that its region holds: in the plane the region reaches to 3.03 deviations."""


class MissedModes(ModesMetric):
    """The number of modes that have less than a tenth of the samples that they should have.

    A sample is of the mode that is the likeliest given it, if it lies in the ellipsoid that holds 99% of that mode's
    probability; three standard deviations in the plane, as in papers, which count a mode as found where it has a single
    such sample. A mode that nowhere is the likeliest is always missed; the floor shows it.

    Args:
        least: the part of its expected samples, w_k n, below which a mode is missed; one sample is needed in any case.

    Source: Srivastava et al. 2017 (VEEGAN, arXiv:1705.07761), section 4.1; Lin et al. 2018 (PacGAN, arXiv:1712.04086).
    """

    reference = "Srivastava et al. 2017, VEEGAN (arXiv:1705.07761), section 4.1, modes captured"

    def __init__(self, *, least: Annotated[float, Ge(0), Lt(1)] = 0.1) -> None:
        self.least = least

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the number of modes. Raises DataError where the data are no known mixture."""
        mixture, x = self.mixture(evidence), self.points(evidence)
        likeliest = responsibilities(mixture, x).argmax(0)
        inside = _squared_distances(mixture, x, likeliest) <= _reach(x.shape[1])
        counts = torch.bincount(likeliest[inside], minlength=len(mixture.weights))
        needed = (self.least * len(x) * mixture.weights.to(x)).clamp(min=1)
        return {"missed_modes": float((counts < needed).sum())}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the mixture, the sample count, and what is inside a mode."""
        return {**super().identity(evidence), "inside": INSIDE}


def _squared_distances(mixture: Mixture, x: Tensor, component: Tensor) -> Tensor:
    """Return the squared Mahalanobis distances `(n,)` of `x` `(n, dim)` from the components `(n,)` that are named."""
    means, factors = mixture.means.to(x), mixture.factors.to(x)
    found = torch.empty(len(x), dtype=x.dtype, device=x.device)
    for k in range(len(means)):
        own = component == k
        found[own] = torch.linalg.solve_triangular(factors[k], (x[own] - means[k]).T, upper=False).square().sum(0)
    return found


def _reach(dim: int) -> float:
    """Return the squared Mahalanobis distance within which a Gaussian has INSIDE of its probability."""
    from scipy.stats import chi2

    return float(chi2.ppf(INSIDE, dim))
