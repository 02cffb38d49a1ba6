"""The decay of the weights' moving average over the steps of a training. This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True)
class Averaging:
    """How the weights are averaged: average = decay average + (1 - decay) weights, after every step.

    With `warmup` the decay of step 0, 1, ... is min(decay, (1 + step)/(10 + step)), so that short trainings do not
    average over their random start, and for as long the average is over about the last ninth of the steps, whatever
    `decay` says. That is TensorFlow's `ExponentialMovingAverage` with its `num_updates`. Without it the decay is the
    same from the first step on, as published recipes mean it, and the first weights keep a share of decay^steps.
    A decay of 0 is no average.
    """

    decay: float
    warmup: bool = True

    @classmethod
    def of(cls, setting: float | Mapping[str, Any]) -> Averaging:
        """Return what a cell's or a suite's `ema` says: a decay, which is warmed up, or `decay` and `warmup`."""
        return cls(**setting) if isinstance(setting, Mapping) else cls(setting)

    def at(self, step: int) -> float:
        """Return the decay after optimizer step number `step`, from 0."""
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay

    def said(self, steps: int) -> str:
        """Say the decay, how it is warmed up, and what it ends at in a training of so many steps."""
        if not self.decay:
            return "none"
        if not self.warmup:
            return f"{self.decay:g} from the first step on"
        last = self.at(steps - 1)
        end = "reached before the end" if last == self.decay else f"{last:.5g} at the last of {steps:,} steps"
        return f"{self.decay:g}, warmed up as (1+step)/(10+step): {end}"


def averages_said(settings: Any, steps: Any) -> str:
    """Say the averages of a suite's trainings, given what it writes for `ema` and `steps`: a value, or a list."""
    pairs = product(*(each if isinstance(each, Sequence) else [each] for each in (settings, steps)))
    return "; ".join(dict.fromkeys(Averaging.of(ema).said(count) for ema, count in pairs))
