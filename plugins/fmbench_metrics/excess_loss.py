"""How far the velocity is from the best one, where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import AffinePath, DataError, Metric
from fmbench_metrics.memory import content_hash
from fmbench_metrics.validation import labelled, stratified

if TYPE_CHECKING:
    from fmbench import Evidence, Mixture, Path

BATCH = 4096


class ExcessLoss(Metric):
    """E|v(x_t, t) - u_t(x_t)|^2 over uniform t, averaged over dimensions: the velocity against the marginal velocity u.

    Where the data are a mixture of Gaussians, u is known in closed form, and 0 is what perfect training reaches. It is
    the *velocity* that the objective makes of the network's output, so values are comparable between objectives, but
    not between paths. x_1 is drawn from the exact mixture, t stratified, and both are fixed.

    `excess_loss_irreducible` is the loss of u itself, E|dx_t - u_t(x_t)|^2, by quadrature and not from draws: for the
    velocity objective, the validation loss in expectation is the sum of the two. It is left out for paths that are not
    affine, and for several Gaussians in more than three dimensions, where the quadrature does not reach.

    u is the best velocity for independent pairs; other couplings have another. A network that takes labels is asked
    without one, as u knows none.

    Args:
        draws: number of draws of x_1, x_0 and t.
    """

    reference = (
        "Lipman et al. 2024, Flow Matching Guide and Code (arXiv:2412.06264), section 4.8.1; docs/measurements.md"
    )
    requires = ("mixture", "gaussian", "normal_source", "independent", "no_label")
    scope = "training"
    within = ("path",)

    def __init__(self, *, draws: Annotated[int, Ge(1)] = 16384) -> None:
        self.draws = draws

    @torch.no_grad()
    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean squared error, and the loss that no network gets below."""
        mixture, path = known_flow(evidence)
        generator, own_noise = evidence.generator("excess_loss"), evidence.generator("excess_loss_path")
        # Mixtures draw on the CPU.
        x_1 = mixture.sample(self.draws, torch.Generator().manual_seed(generator.initial_seed())).float()
        t = stratified(self.draws, generator)
        errors = []
        for data, t_batch in zip(torch.split(x_1.to(evidence.device), BATCH), torch.split(t, BATCH), strict=True):
            x_0 = evidence.dataset.source(len(data), generator)
            sample = path.sample(x_0, data, t_batch, own_noise)
            exact = mixture.velocity(sample.x_t, t_batch, path.gaussian)
            with labelled(evidence.velocity, evidence.no_condition(len(data))) as velocity:
                errors.append((velocity(sample.x_t, t_batch) - exact).square().mean(1))
        values = {"excess_loss": float(torch.cat(errors).double().mean())}
        k, dim = mixture.means.shape
        if isinstance(path, AffinePath) and (k == 1 or dim <= mixture.GRID_DIMENSIONS):
            values["excess_loss_irreducible"] = mixture.irreducible_loss(path.coefficients)
        return values

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the mixture that the data are drawn from, and the number of draws."""
        mixture, _ = known_flow(evidence)
        parts = (mixture.weights, mixture.means, mixture.covariances)
        return {"reference": content_hash(torch.cat([part.flatten() for part in parts])), "draws": self.draws}


def known_flow(evidence: Evidence) -> tuple[Mixture, Path]:
    """Return the data's mixture and the path. Raises DataError where the marginal velocity is not known."""
    mixture, path = evidence.dataset.mixture(), evidence.path
    if mixture is None or "gaussian" not in path.provides:
        raise DataError(
            "the marginal velocity is known for mixtures of Gaussians on paths that define `gaussian`; found "
            f"{type(evidence.dataset).__name__} on {type(path).__name__}."
        )
    return mixture, path
