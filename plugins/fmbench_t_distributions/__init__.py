"""Distributions of the training time t: one distribution, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_t_distributions() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "beta": "fmbench_t_distributions.beta:Beta",
        "cosmap": "fmbench_t_distributions.cosmap:CosMap",
        "edm": "fmbench_t_distributions.edm:EDM",
        "logit_normal": "fmbench_t_distributions.logit_normal:LogitNormal",
        "mode": "fmbench_t_distributions.mode:Mode",
        "shifted_beta": "fmbench_t_distributions.shifted_beta:ShiftedBeta",
        "u_shaped": "fmbench_t_distributions.u_shaped:UShaped",
        "uniform": "fmbench_t_distributions.uniform:Uniform",
    }
