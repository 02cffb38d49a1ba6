"""The networks that come with fmbench."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_networks() -> dict[str, str]:
    """Return the networks by name."""
    return {
        "additive_time_mlp": "fmbench_networks.additive_time_mlp:AdditiveTimeMLP",
        "adm_unet": "fmbench_networks.adm_unet:ADMUNet",
        "dit": "fmbench_networks.dit:DiT",
        "mlp": "fmbench_networks.mlp:MLP",
        "simple_cnn": "fmbench_networks.simple_cnn:SimpleCNN",
        "small_unet": "fmbench_networks.small_unet:SmallUNet",
        "unet": "fmbench_networks.unet:UNet",
    }
