"""What the networks from the library diffusers share."""

from __future__ import annotations

import importlib.util

TIMESTEPS = 1000
"""The library's time embeddings are made for timesteps 0..999: t in [0, 1] is scaled by this at the border."""


def need_diffusers(name: str) -> None:
    """Raise ImportError where the library is not installed; `name` is the network that needs it.

    Constructors call it, so that a missing library is known before anything is trained.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise ImportError(
            f"{name} is built from the library diffusers, which is not installed. Run: pip install 'fmbench[networks]'"
        )
