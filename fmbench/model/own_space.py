"""Models that work in a space of their own: latents, or other values than the dataset's."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor, nn

from fmbench.components import contracts
from fmbench.errors import NotDefined


def state_shape(module: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one state of a network that has a space of its own; None for the dataset's."""
    found = getattr(module, "state_shape", None)
    return None if found is None else tuple(found)


class NotAtData(nn.Module):
    """A network in the place of one that works at data; it has its weights, and says why it has no value there."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *_: Any) -> NoReturn:
        """Raise NotDefined."""
        _refuse()


class NoVelocityAtData:
    """A velocity in the place of one at data, which says why it has no value there; see `fmbench.Velocity`."""

    def __init__(self, velocity: contracts.Velocity) -> None:
        self.path, self.generator, self.y = velocity.path, velocity.generator, velocity.y

    def __call__(self, x: Tensor, t: Tensor) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise NotDefined("the model works in a space of its own, and this asks its velocity at data")
