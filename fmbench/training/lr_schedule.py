"""Learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def learning_rate(step: int, steps: int, peak: float, schedule: Mapping[str, Any]) -> float:
    """Return the learning rate of `step` in 0..steps-1: linear warm-up to `peak`, then constant or a half cosine.

    The cosine ends at `final` times the peak after the last step (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    warmup = int(schedule["warmup"])
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule["name"] == "constant":
        return peak
    done = (step - warmup) / max(1, steps - warmup)
    final = float(schedule["final"])
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))
