"""The velocity that a network stands for: its output, through the objective."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from fmbench.components.conditions import no_condition
from fmbench.model.build import Components, in_pieces


@dataclass(eq=False, repr=False)
class ModelVelocity:
    """The velocity field of a trained network, with guidance, counting how often the network is called.

    `calls` counts calls of the network times their batch: divided by the number of samples it is the NFE a sample. Set
    `y` to the conditions before integrating a batch, or to None where the network takes none. Guidance w gives
    v_none + w (v_y - v_none) (Ho & Salimans 2022, eq. 6 with w shifted by one) and costs two calls unless w is 0 or 1.
    The network is called with at most `most` examples at once, and `calls` does not say in how many pieces; None is no
    limit. Where it stands for several `members`, that is for each of them.
    """

    module: nn.Module
    parts: Components
    guidance: float
    device: str
    generator: Generator
    most: int | None = None
    members: int = 1
    y: Tensor | None = field(default=None, init=False)
    calls: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.path, self._autocast = self.parts.path, self.parts.autocast(self.device)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.y is None:
            return self._velocity(x, t, None)
        if self.guidance == 1.0:
            return self._velocity(x, t, self.y)
        without = self._velocity(x, t, no_condition(self.y, self.parts.classes))
        if self.guidance == 0.0:
            return without
        return torch.lerp(without, self._velocity(x, t, self.y), self.guidance)

    def _velocity(self, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        self.calls += x.shape[0]
        with self._autocast():
            output = in_pieces(self.module, (x, t) if y is None else (x, t, y), self.most, self.members)
        return self.parts.objective.velocity(output.to(x.dtype), x, t, self.parts.path)
