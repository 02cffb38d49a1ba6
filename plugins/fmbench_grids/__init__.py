"""Time grids: one grid, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_grids() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "uniform": "fmbench_grids.uniform:Uniform",
    }
