"""The time that training took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmbench import Metric

if TYPE_CHECKING:
    from fmbench import Evidence


class TrainSeconds(Metric):
    """Seconds in the training loop, without loading data and compiling.

    Where the coupling has a teacher, neither the teacher's training nor what was learnt from it is counted. Other
    trainings may have run beside it: the identity says how many jobs and threads there were. In a fleet it is the
    cell's share of the fleet's time: the identity has the fleet's size, rounded down to a power of two.
    """

    reference = "fmbench's design, evidence.md 8"
    unit = "s"
    scope = "training"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the seconds that were observed."""
        return {"train_seconds": evidence.training.seconds}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what a time depends on besides the training."""
        facts = evidence.training
        own = {name: getattr(facts, name) for name in ("hardware", "torch", "precision", "threads", "jobs")}
        return {**own, "fleet": f"from {2 ** (facts.fleet.bit_length() - 1)}"}
