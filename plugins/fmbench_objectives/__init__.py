"""Training objectives: one objective, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_objectives() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "displacement_over_t": "fmbench_objectives.displacement_over_t:DisplacementOverT",
        "lpips_huber": "fmbench_objectives.lpips_huber:LPIPSHuber",
        "noise_prediction": "fmbench_objectives.noise_prediction:NoisePrediction",
        "pseudo_huber": "fmbench_objectives.pseudo_huber:PseudoHuber",
        "velocity": "fmbench_objectives.velocity:VelocityMatching",
        "x1_prediction": "fmbench_objectives.x1_prediction:X1Prediction",
    }
