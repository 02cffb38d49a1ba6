"""A fixed workload beside what is timed: the ratio of both is what two nights can be compared by.

Where a machine is slower for a while, both are. It is the work that the metric `sample_ms` does beside each draw.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fmbench.runtime.device import synchronise

SIZE, ROUNDS = 192, 8
"""The calibration: so many products of matrices of so many rows, and as much between them."""
TIMES = 16
"""How often, at most, a training is timed beside a calibration."""
SHARE, FIRST = 0.02, 0.004
"""The part of a training's time that calibrations may take, and the seconds that the first is taken to need."""


def calibration_matrix(device: str) -> Tensor:
    """Return what every calibration starts from, the same everywhere."""
    ramp = torch.arange(SIZE * SIZE, dtype=torch.float32, device=device)
    return torch.sin(ramp / SIZE**2).reshape(SIZE, SIZE).mul(SIZE**-0.5)


@torch.no_grad()
def calibrate(matrix: Tensor) -> float:
    """Do the calibration's work with a matrix of shape `(SIZE, SIZE)`, and wait for the end.

    Products are for arithmetic, short operations for what a call costs.
    """
    x = matrix
    for _ in range(ROUNDS):
        x = torch.tanh(x @ matrix + matrix)
    row = x[0]
    for _ in range(32 * ROUNDS):
        row = torch.sin(row)
    return float(row.sum())


def middle(values: Tensor) -> tuple[float, float]:
    """Return the median of values `(n,)` and the distance between their quartiles."""
    quartiles = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype))
    low, median, high = quartiles.tolist()
    return median, high - low


@dataclass
class Pace:
    """Times the steps of a training, up to TIMES in its course, each beside a calibration.

    `ratios` are the times of a step of a member over the calibrations'; the steps before the first calibration, which
    warm up, are left out. Calibrations take SHARE of the training's time at most: a short one has few of them.
    """

    device: str
    steps: int
    ratios: list[float] = field(default_factory=list)
    _matrix: Tensor | None = None
    _since: tuple[int, float] | None = None
    _began: float = field(default_factory=time.perf_counter)
    _spent: float = FIRST

    def note(self, step: int, members: int) -> float:
        """Take note that `step` steps are done; return the seconds that a calibration took, 0 where there was none."""
        if step % max(1, self.steps // TIMES) or self._spent > SHARE * (time.perf_counter() - self._began):
            return 0.0
        synchronise(self.device)
        noted = began = time.perf_counter()
        if self._matrix is None:
            self._matrix = calibration_matrix(self.device)
            calibrate(self._matrix)
            began = time.perf_counter()
        calibrate(self._matrix)
        ended = time.perf_counter()
        own = ended - began
        self._spent += ended - noted
        if self._since is not None and step > self._since[0] and members:
            self.ratios.append((noted - self._since[1]) / (step - self._since[0]) / members / own)
        self._since = step, ended
        return ended - noted

    def skip(self, seconds: float) -> float:
        """Take note that so many seconds went by without steps; return them."""
        if self._since is not None:
            self._since = self._since[0], self._since[1] + seconds
        return seconds

    def middle(self) -> tuple[float, float]:
        """Return median and interquartile range of the ratios; `(0, 0)` where nothing was timed."""
        return middle(torch.tensor(self.ratios, dtype=torch.float64)) if self.ratios else (0.0, 0.0)
