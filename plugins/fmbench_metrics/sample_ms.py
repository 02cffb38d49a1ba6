"""The time that a sample takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import DataError, Metric

if TYPE_CHECKING:
    from fmbench import Evidence


class SampleMs(Metric):
    """Milliseconds a sample: the median time of a batch, after a warm-up, divided by the batch.

    `sample_ms_iqr` is the distance between the quartiles of the repeats, in the same unit.

    Args:
        batch: samples drawn at once.
        repeats: timed draws.
        warmup: draws before them that do not count.
    """

    reference = "fmbench's design, evidence.md 8"
    unit = "ms/sample"
    scope = "sampler"

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
        """Return median and interquartile range."""
        if evidence.draw is None:
            raise DataError("sample_ms times a sampler; this evidence has none.")
        for _ in range(self.warmup):
            evidence.draw(self.batch)
        seconds = []
        for _ in range(self.repeats):
            started = time.perf_counter()
            evidence.draw(self.batch)
            seconds.append(time.perf_counter() - started)
        milliseconds = 1000 * torch.tensor(seconds, dtype=torch.float64) / self.batch
        quartiles = torch.quantile(milliseconds, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
        low, median, high = quartiles.tolist()
        return {"sample_ms": median, "sample_ms_iqr": high - low}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what a time depends on besides the sampler."""
        return {
            "batch": self.batch,
            "repeats": self.repeats,
            "device": evidence.device,
            "precision": evidence.training.precision,
            "threads": torch.get_num_threads(),
        }
