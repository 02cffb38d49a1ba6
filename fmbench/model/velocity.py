"""The velocity that a network stands for: its output, through the objective, under guidance."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor, nn

from fmbench.components import contracts
from fmbench.components.conditions import no_condition
from fmbench.errors import CellFailure
from fmbench.isolation.inplace_guard import versions
from fmbench.model.build import Components, in_pieces


class ModelVelocity:
    """The velocity field of a trained network, with guidance, counting how often networks are called.

    `calls` counts calls of all networks times their batch: divided by the number of samples it is the NFE a sample. Set
    `y` to the conditions before integrating a batch, or None where the network takes none; with it a `guidance` that is
    stateful begins anew. Without guidance it is the network's velocity given the conditions. `weaker_model` is the
    velocity of the weaker model, where the guidance asks for one.

    The network is called with at most `most` examples at once, and `calls` does not say in how many pieces; None is no
    limit. Where it stands for several `members`, that is for each of them.
    """

    def __init__(
        self,
        module: nn.Module,
        parts: Components,
        guidance: contracts.Guidance | None,
        device: str,
        generator: Generator,
        most: int | None = None,
        members: int = 1,
        weaker_model: ModelVelocity | None = None,
    ) -> None:
        self.module, self.parts, self.guidance = module, parts, guidance
        self.generator, self.most, self.members, self.weaker_model = generator, most, members, weaker_model
        self.path, self._autocast = parts.path, parts.autocast(device)
        self.calls = 0
        self._y: Tensor | None = None
        self._memory: dict[str, Any] = {}

    @property
    def y(self) -> Tensor | None:
        """The conditions that the next calls are for, None where the network takes none."""
        return self._y

    @y.setter
    def y(self, conditions: Tensor | None) -> None:
        self._y, self._memory = conditions, {}

    @property
    def is_stateful(self) -> bool:
        """Whether what a call gives depends on those before it in the same integration."""
        return self.guidance is not None and self.guidance.stateful

    @property
    def memory(self) -> dict[str, Any]:
        """What the guidance keeps during one integration. Raises CellFailure where it does not say that it does."""
        if not self.is_stateful:
            raise CellFailure(f"{self._guided_by} keeps something between calls: it must set stateful = True")
        return self._memory

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.guidance is None:
            return self.conditional(x, t)
        before = versions((x, t))
        found = self.guidance.velocity(self, x, t)
        if versions((x, t)) != before:
            raise CellFailure(
                f"{self._guided_by} changes x or t in place, which the solver goes on with: copy it first"
            )
        if not isinstance(found, Tensor) or found.shape != x.shape or found.dtype != x.dtype:
            was = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise CellFailure(f"{self._guided_by} must return {x.dtype} {tuple(x.shape)}, as x is; it returned {was}")
        return found

    def conditional(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the network's velocity given the labels, for `x` `(batch, *shape)` and `t` `(batch,)`."""
        return self._velocity(x, t, self._y)

    def unconditional(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the network's velocity without a label, for `x` `(batch, *shape)` and `t` `(batch,)`.

        Raises CellFailure where the network takes no labels.
        """
        if self._y is None:
            raise CellFailure(f'{self._guided_by} asks for no label, so it must require "labels" and "no_label"')
        return self._velocity(x, t, no_condition(self._y, self.parts.classes))

    def weaker(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the weaker model's velocity given the same labels, for `x` `(batch, *shape)` and `t` `(batch,)`.

        Raises CellFailure where there is none.
        """
        if self.weaker_model is None:
            raise CellFailure(
                f"{self._guided_by} asks for a weaker model, so its attribute weaker must name a parameter"
            )
        self.calls += x.shape[0]
        self.weaker_model.y, self.weaker_model.most = self._y, self.most
        return self.weaker_model.conditional(x, t)

    @property
    def _guided_by(self) -> str:
        return f"guidance {self.guidance.registered_name or type(self.guidance).__name__}" if self.guidance else "it"

    def _velocity(self, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        self.calls += x.shape[0]
        with self._autocast():
            output = in_pieces(self.module, (x, t) if y is None else (x, t, y), self.most, self.members)
        return self.parts.objective.velocity(output.to(x.dtype), x, t, self.parts.path)
