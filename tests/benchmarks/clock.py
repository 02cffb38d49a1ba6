"""A clock on the steps of a training."""

from __future__ import annotations

import time


class StepClock:
    """Takes the time of a training from what it says of its progress, so that its beginning and end do not count.

    Handed to `train` as `progress`: the seconds between the first and the last time that it is called, over the steps
    that were made between them.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._steps: list[int] = []

    def __call__(self, steps: int) -> None:
        self._times.append(time.perf_counter())
        self._steps.append(steps)

    @property
    def seconds_a_step(self) -> float | None:
        """Seconds a step, where a step of each member counts; None where there were not two to tell it from."""
        if len(self._times) < 2:
            return None
        return (self._times[-1] - self._times[0]) / sum(self._steps[1:])
