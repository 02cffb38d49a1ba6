"""Couplings: one coupling, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_couplings() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "independent": "fmbench_couplings.independent:Independent",
    }
