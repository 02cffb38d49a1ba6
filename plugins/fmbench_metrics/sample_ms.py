"""The time that a sample takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import DataError, Metric

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence


SIZE, ROUNDS = 192, 8
"""The calibration: so many products of matrices of so many rows, and as much between them."""


class SampleMs(Metric):
    """Milliseconds a sample: the median time of a batch, after a warm-up, divided by the batch.

    `sample_ms_iqr` is the distance between the quartiles of the repeats, in the same unit. Each repeat is followed by a
    calibration, a fixed workload in the same process: `sample_ms_relative` is the median, over the repeats, of the
    batch's time over the calibration's beside it, and `sample_ms_relative_iqr` its spread. Where the machine is slower
    for a while both are, so that the ratio is what two nights can be compared by.

    Args:
        batch: samples drawn at once.
        repeats: timed draws.
        warmup: draws before them that do not count.
    """

    reference = "fmbench's docs/measurements.md, Costs"
    unit = "ms/sample"
    scope = "sampler"
    version = 2  # 2: calibrations between the repeats

    def __init__(
        self,
        *,
        batch: Annotated[int, Ge(1)] = 64,
        repeats: Annotated[int, Ge(1)] = 7,
        warmup: Annotated[int, Ge(0)] = 2,
    ) -> None:
        self.batch = batch
        self.repeats = repeats
        self.warmup = warmup

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return median and interquartile range, of the times and of their ratios to the calibrations'."""
        if evidence.draw is None:
            raise DataError("sample_ms times a sampler; this evidence has none.")
        draw, matrix = evidence.draw, calibration_matrix(evidence.device)
        for _ in range(self.warmup):
            draw(self.batch)
            calibrate(matrix)
        pairs = [(seconds(lambda: draw(self.batch)), seconds(lambda: calibrate(matrix))) for _ in range(self.repeats)]
        times = torch.tensor(pairs, dtype=torch.float64)
        milliseconds, spread = middle(1000 * times[:, 0] / self.batch)
        ratio, ratio_spread = middle(times[:, 0] / times[:, 1])
        return {
            "sample_ms": milliseconds,
            "sample_ms_iqr": spread,
            "sample_ms_relative": ratio,
            "sample_ms_relative_iqr": ratio_spread,
        }

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what a time depends on besides the sampler."""
        return {
            "batch": self.batch,
            "repeats": self.repeats,
            "device": torch.device(evidence.device).type,
            "precision": evidence.training.precision,
            "threads": torch.get_num_threads(),
        }


def calibration_matrix(device: str) -> Tensor:
    """Return what every calibration starts from, the same everywhere."""
    ramp = torch.arange(SIZE * SIZE, dtype=torch.float32, device=device)
    return torch.sin(ramp / SIZE**2).reshape(SIZE, SIZE).mul(SIZE**-0.5)


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


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def middle(values: Tensor) -> tuple[float, float]:
    """Return the median of values `(n,)` and the distance between their quartiles."""
    quartiles = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype))
    low, median, high = quartiles.tolist()
    return median, high - low
