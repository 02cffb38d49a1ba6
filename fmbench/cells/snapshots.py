"""What is kept of a training besides its last weights: which snapshots, after which steps, and under which keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fmbench.cells.keys import digest

BEST = "best"
"""Weights that were best on validation data."""
BEST_POINTS = 20
"""At so many steps of a training, evenly spread and the last among them, validation data choose the best weights."""
LENGTHS = (0.05, 0.10)
"""The lengths of the averages that are kept of a training so that others can be made of them afterwards."""
POST_HOC_POINTS = 32
"""So often, evenly spread, they are kept."""
_POST_HOC = re.compile(r"post_hoc_ema\(length=([0-9.e-]+)\)")

KeepState = Literal["auto"] | bool
"""Whether the whole state after the last step is kept, so that a longer training can go on from there."""


@dataclass(frozen=True)
class Kept:
    """What a suite wants kept of a training besides its last weights: it changes none of them, and so no key.

    `at_steps` are steps whose weights are evaluated.
    """

    at_steps: tuple[int, ...] = ()
    best: bool = False
    post_hoc_ema: bool = False
    state: KeepState = "auto"


@dataclass(frozen=True)
class WeightsSnapshot:
    """Weights that are kept in a folder of their own: `name` says which of its training's, `step` when they are there.

    `kind` is "step", "best" or "post_hoc_ema".
    """

    kind: str
    step: int

    @property
    def name(self) -> str:
        """Which weights of a training they are, in words; it counts in the key."""
        if self.kind == BEST:
            return f"best of {BEST_POINTS}"
        lengths = f" {LENGTHS[0]:g} {LENGTHS[1]:g}" if self.kind == "post_hoc_ema" else ""
        return f"{self.kind}{lengths} {self.step}"

    def key(self, training: str) -> str:
        """Return the key of the folder, given that of the training."""
        return digest("snapshot", training, self.name)

    def __str__(self) -> str:
        if self.kind == BEST:
            return "the weights that were best on validation data"
        if self.kind == "post_hoc_ema":
            return f"the averages of step {self.step}"
        return f"the weights of step {self.step}"


def points(steps: int, number: int) -> tuple[int, ...]:
    """Return steps of a training, evenly spread and the last among them: so many, or all where there are fewer."""
    return tuple(sorted({-(-steps * point // number) for point in range(1, number + 1)}))


def wanted_snapshots(kept: Kept, steps: int) -> tuple[WeightsSnapshot, ...]:
    """Return the snapshots that are wanted of a training of so many steps, in the order in which it makes them."""
    wanted: list[WeightsSnapshot] = [WeightsSnapshot("step", step) for step in kept.at_steps]
    wanted += post_hoc_snapshots(steps) if kept.post_hoc_ema else ()
    wanted += [WeightsSnapshot(BEST, steps)] if kept.best else []
    return tuple(sorted(wanted, key=lambda snapshot: snapshot.step))


def post_hoc_snapshots(steps: int) -> tuple[WeightsSnapshot, ...]:
    """Return those of which averages of any length are made afterwards."""
    return tuple(WeightsSnapshot("post_hoc_ema", step) for step in points(steps, POST_HOC_POINTS))


def post_hoc_weights(length: float) -> str:
    """Return what weights are called that are an average of this length, made afterwards."""
    return f"post_hoc_ema(length={length:g})"


def post_hoc_length(weights: str) -> float | None:
    """Return the length of which such weights are an average; None for others."""
    form = _POST_HOC.fullmatch(weights)
    return float(form[1]) if form else None
