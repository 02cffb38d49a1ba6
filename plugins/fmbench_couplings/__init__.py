"""Couplings: one coupling, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_couplings() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "conditional_ot": "fmbench_couplings.conditional_ot:ConditionalOT",
        "independent": "fmbench_couplings.independent:Independent",
        "minibatch_ot": "fmbench_couplings.minibatch_ot:MinibatchOT",
        "reflow": "fmbench_couplings.reflow:Reflow",
        "sinkhorn": "fmbench_couplings.sinkhorn:Sinkhorn",
    }
