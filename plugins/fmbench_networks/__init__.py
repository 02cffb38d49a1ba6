"""The networks that come with fmbench."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_networks() -> dict[str, str]:
    """Return the networks by name."""
    return {
        "mlp": "fmbench_networks.mlp:MLP",
        "small_unet": "fmbench_networks.small_unet:SmallUNet",
    }
