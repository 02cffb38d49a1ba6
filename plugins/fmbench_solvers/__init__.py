"""Solvers: one method, one file; torchdiffeq's own come as two families."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_solvers() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "ab2": "fmbench_solvers.ab2:AB2",
        "adaptive_heun": "fmbench_solvers.torchdiffeq_adaptive:AdaptiveHeun",
        "ancestral": "fmbench_solvers.ancestral:Ancestral",
        "bosh3": "fmbench_solvers.torchdiffeq_adaptive:Bosh3",
        "ddim": "fmbench_solvers.ddim:DDIM",
        "dopri5": "fmbench_solvers.torchdiffeq_adaptive:Dopri5",
        "dopri8": "fmbench_solvers.torchdiffeq_adaptive:Dopri8",
        "dpmpp_2m": "fmbench_solvers.dpmpp_2m:DPMpp2M",
        "dpmpp_2m_sde": "fmbench_solvers.dpmpp_2m_sde:DPMpp2MSDE",
        "euler": "fmbench_solvers.euler:Euler",
        "euler_ancestral_rf": "fmbench_solvers.euler_ancestral_rf:EulerAncestralRF",
        "fehlberg2": "fmbench_solvers.torchdiffeq_adaptive:Fehlberg2",
        "heun": "fmbench_solvers.heun:Heun",
        "heun_edm": "fmbench_solvers.heun_edm:HeunEDM",
        "midpoint": "fmbench_solvers.midpoint:Midpoint",
        "rk4": "fmbench_solvers.rk4:RK4",
        "stochastic_euler": "fmbench_solvers.stochastic_euler:StochasticEuler",
        "torchdiffeq_euler": "fmbench_solvers.torchdiffeq_fixed:TorchdiffeqEuler",
        "torchdiffeq_heun3": "fmbench_solvers.torchdiffeq_fixed:TorchdiffeqHeun3",
        "torchdiffeq_midpoint": "fmbench_solvers.torchdiffeq_fixed:TorchdiffeqMidpoint",
        "torchdiffeq_rk4": "fmbench_solvers.torchdiffeq_fixed:TorchdiffeqRK4",
        "unipc": "fmbench_solvers.unipc:UniPC",
    }
