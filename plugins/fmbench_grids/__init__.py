"""Time grids: one grid, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_grids() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "beta": "fmbench_grids.beta:Beta",
        "cosine": "fmbench_grids.cosine:Cosine",
        "edm": "fmbench_grids.edm:EDM",
        "linear_quadratic": "fmbench_grids.linear_quadratic:LinearQuadratic",
        "shift": "fmbench_grids.shift:Shift",
        "uniform": "fmbench_grids.uniform:Uniform",
    }
