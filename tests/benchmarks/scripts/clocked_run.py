"""`fmbench run` on a CPU or another device, with a clock on its training steps.

    python clocked_run.py SUITE DEVICE

The last line that it prints holds the seconds a step and member, from the first sign of progress of any worker to the
last one.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.clock import StepClock

from fmbench.computation import Silent
from fmbench.runner import run
from fmbench.session import Options


class Clocked(Silent):
    """An observer that puts a clock on the training."""

    def __init__(self) -> None:
        self.clock = StepClock()

    def advance(self, stage: str, amount: int = 1) -> None:
        """Note the time of each progress in training."""
        if stage == "training":
            self.clock(amount)


def main() -> None:
    """Run the suite into this folder."""
    watched = Clocked()
    result = run(sys.argv[1], Options(device=sys.argv[2]), watched)
    if result.records.failed:
        sys.exit(f"{len(result.records.failed)} cells failed: {result.records.failed[0].error}")
    print(json.dumps(watched.clock.seconds_a_step))


if __name__ == "__main__":  # the workers of a spawning executor would import this file
    main()
