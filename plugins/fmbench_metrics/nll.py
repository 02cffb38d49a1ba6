"""The likelihood of held-out data under the learnt flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import Metric
from fmbench.errors import Diverged
from fmbench_metrics.divergence import exact_divergence, hutchinson, signs
from fmbench_metrics.validation import examples, labelled, reference

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Evidence, Velocity
    from fmbench_metrics.divergence import Divergence

BATCH = 256


class NLL(Metric):
    """Negative log-likelihood of held-out data under the learnt flow, in bits a dimension.

    log p(x_1) = log N(x_0; 0, I) - int div v dt along the trajectory through x_1, followed back to t=0. The data are
    taken as continuous, as they are: for images in [-1, 1] nothing is added for their grey levels (to compare with
    papers, which dequantise levels of width 1 in 0..255, add log2(127.5) = 6.99 bits). Data with constant pixels have
    no density, and the value then says how thin the network has made them.

    `nll_nats` is the same in nats an example; `nll_exact_nats` is the mean of -log p of the same examples where the
    dataset knows its density and the network takes no labels, and `nll_excess_nats`, their difference, estimates the
    divergence of the data from the flow; `nll_excess_nats_se` is its standard error over draws of the examples, which
    an excess that is no larger cannot be told from. A network that takes labels is judged given each example's own.

    The divergence is the exact trace of the Jacobian, a backward pass a dimension, up to `exact_up_to` dimensions, and
    Hutchinson's unbiased estimate by random signs above, fixed along a trajectory. The trajectory is followed by the
    classic Runge-Kutta method of order 4 in s, where t = sin^2(pi s/2), on equal steps. In t they are short at both
    ends, where densities are thin and where velocities that are made of x_1- or noise-predictions change fastest; at
    the ends themselves the velocity counts for nothing. Unlike an adaptive method's, the cost is the same for every
    cell, and what an example is given does not depend on the others of its batch.

    Args:
        points: the most test examples that are judged, drawn at random, the same for all cells of a seed.
        steps: Runge-Kutta steps, of four network calls each.
        exact_up_to: the most dimensions in which the trace is exact.
        probes: random directions of Hutchinson's estimator.
    """

    reference = (
        "Chen et al. 2018, Neural ODEs (arXiv:1806.07366), eq. 8; Grathwohl et al. 2019, FFJORD (arXiv:1810.01367)"
    )
    unit = "bits/dim (_nats: nats)"
    requires = ("normal_source",)
    scope = "training"

    def __init__(
        self,
        *,
        points: Annotated[int, Ge(1)] = 256,
        steps: Annotated[int, Ge(1)] = 32,
        exact_up_to: Annotated[int, Ge(0)] = 16,
        probes: Annotated[int, Ge(1)] = 1,
    ) -> None:
        self.points = points
        self.steps = steps
        self.exact_up_to = exact_up_to
        self.probes = probes

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return bits a dimension and nats. Raises Diverged where a likelihood is not finite."""
        x_1, y = examples(evidence, self.points, evidence.generator("nll_data"))
        noise = evidence.generator("nll_probes")
        nats = []
        for rows in torch.split(torch.arange(len(x_1), device=x_1.device), BATCH):
            with labelled(evidence.velocity, None if y is None else y[rows]) as velocity:
                nats.append(-log_likelihood(velocity, x_1[rows], self._divergence(x_1[rows], noise), self.steps))
        values = torch.cat(nats)
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            raise Diverged(f"the likelihood of {bad} of {len(values)} examples is not finite")
        mean = float(values.mean())
        exact = None if evidence.is_conditional else evidence.dataset.log_density(x_1.double())
        truth = {}
        if exact is not None:
            excess = values + exact
            truth = {"nll_exact_nats": -float(exact.mean()), "nll_excess_nats": float(excess.mean())}
            if len(excess) > 1:
                truth["nll_excess_nats_se"] = float(excess.std()) / math.sqrt(len(excess))
        return {"nll": mean / (x_1[0].numel() * math.log(2)), "nll_nats": mean, **truth}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set, and whether the likelihood is that given the labels."""
        return {**reference(evidence), "labels": evidence.is_conditional}

    def _divergence(self, x: Tensor, noise: Generator) -> Divergence:
        """Return how the divergence is found for a batch like `x`."""
        if x[0].numel() <= self.exact_up_to:
            return exact_divergence
        return hutchinson(signs(self.probes, x, noise))


@torch.no_grad()
def log_likelihood(velocity: Velocity, x_1: Tensor, divergence: Divergence, steps: int) -> Tensor:
    """Return log p(x_1) in nats, float64 `(batch,)`, under the flow of a standard normal source along `velocity`.

    Source: Chen et al. 2018 (arXiv:1806.07366), eq. 8, integrated from t=1 back to t=0.
    """

    def rates(s: float, x: Tensor) -> tuple[Tensor, Tensor]:
        # The clamp: sin^2 of the rounded pi/2 may exceed 1.
        t = min(math.sin(math.pi * s / 2) ** 2, 1.0)
        speed = math.pi / 2 * math.sin(math.pi * s)
        v, trace = divergence(velocity, x, x.new_full((len(x),), t))
        return speed * v, speed * trace

    h = -1 / steps
    x, gained = x_1, torch.zeros(len(x_1), dtype=torch.float64, device=x_1.device)
    for number in range(steps, 0, -1):
        s = number / steps
        k_1, trace_1 = rates(s, x)
        k_2, trace_2 = rates(s + h / 2, torch.add(x, k_1, alpha=h / 2))
        k_3, trace_3 = rates(s + h / 2, torch.add(x, k_2, alpha=h / 2))
        k_4, trace_4 = rates(max(s + h, 0.0), torch.add(x, k_3, alpha=h))
        x = torch.add(x, k_1 + 2 * (k_2 + k_3) + k_4, alpha=h / 6)
        gained += h / 6 * (trace_1 + 2 * (trace_2 + trace_3) + trace_4)
    x_0 = x.flatten(1).double()
    return -0.5 * (x_0.square() + math.log(2 * math.pi)).sum(1) + gained
