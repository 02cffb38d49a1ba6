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

    Now and then a step is followed by a calibration, a fixed workload in the same process: `train_seconds_relative` is
    the median time of a step over that of the calibration beside it, and `train_seconds_relative_iqr` its spread. It is
    what two nights can be compared by. A training of very few steps has neither.
    """

    reference = "fmbench's docs/measurements.md, Costs"
    unit = "s"
    scope = "training"
    requires = ("trained",)

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the seconds that were observed, and the time of a step relative to the calibration's."""
        facts = evidence.training
        relative = {"train_seconds_relative": facts.pace, "train_seconds_relative_iqr": facts.pace_iqr}
        return {"train_seconds": facts.seconds, **(relative if facts.pace else {})}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what a time depends on besides the training."""
        facts = evidence.training
        own = {name: getattr(facts, name) for name in ("hardware", "torch", "precision", "threads", "jobs")}
        return {**own, "fleet": f"from {2 ** (facts.fleet.bit_length() - 1)}"}
