"""The memory that training took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmbench import Metric

if TYPE_CHECKING:
    from fmbench import Evidence


class PeakMemory(Metric):
    """The most memory in use while training, in MiB: the device's, or the process's on a CPU.

    A fleet's memory is counted for each of its members; the identity has its size, rounded down to a power of two.
    """

    reference = "fmbench's docs/measurements.md, Costs"
    unit = "MiB"
    scope = "training"
    requires = ("trained",)

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the peak that was observed."""
        return {"peak_memory": evidence.training.peak_memory / 2**20}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what the peak depends on besides the training."""
        facts = evidence.training
        own = {name: getattr(facts, name) for name in ("device", "hardware", "torch", "precision", "threads")}
        return {**own, "fleet": f"from {2 ** (facts.fleet.bit_length() - 1)}"}
