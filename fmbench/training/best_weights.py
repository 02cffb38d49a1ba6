"""The weights of a training that were best on validation data, so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

from torch import Tensor


@dataclass
class BestWeights:
    """The weights of the least validation loss, by name, and the losses at all points so far.

    `step` and `training_seconds` are those of the weights; `validation_seconds` is what all losses took.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    step: int = 0
    training_seconds: float = 0.0
    validation_seconds: float = 0.0

    def note(self, step: int, loss: float) -> bool:
        """Take note of the loss at a step; return whether it is the least so far. One that is not finite is none."""
        is_best = not self.losses or loss < min((known for _, known in self.losses if isfinite(known)), default=inf)
        self.losses.append((step, loss))
        return is_best

    def content(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return dict(vars(self))

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> BestWeights:
        """Return what `content` was made from."""
        losses = [(int(step), float(loss)) for step, loss in content["losses"]]
        return cls(**{**content, "weights": dict(content["weights"]), "losses": losses})

    def facts(self) -> dict[str, Any]:
        """Return what is on record of the weights."""
        facts = {"steps": self.step, "seconds": self.training_seconds}
        return {**facts, "validation": self.losses, "validation_seconds": self.validation_seconds}
