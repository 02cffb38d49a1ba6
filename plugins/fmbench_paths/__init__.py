"""Probability paths: one path, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_paths() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "cosine": "fmbench_paths.cosine:Cosine",
        "ddpm": "fmbench_paths.ddpm:DDPM",
        "icfm": "fmbench_paths.icfm:ICFM",
        "linear": "fmbench_paths.linear:Linear",
        "linear_vp": "fmbench_paths.linear_vp:LinearVP",
        "lipman": "fmbench_paths.lipman:Lipman",
        "polynomial": "fmbench_paths.polynomial:Polynomial",
        "schrodinger_bridge": "fmbench_paths.schrodinger_bridge:SchrodingerBridge",
        "vp": "fmbench_paths.vp:VP",
    }
