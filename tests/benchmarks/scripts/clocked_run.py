"""`fmbench run` with a clock on its training steps and on what MLflow costs on the critical path.

    python clocked_run.py SUITE DEVICE [--no-tracking] [OVERRIDE ...]

The last line that it prints is JSON: `step`, seconds a step and member, from the first sign of progress of any worker
to the last, None where nothing was trained; `tracking`, the seconds that the driver spent in each call of the tracker,
for all that it waited there; `memory`, the most bytes that the driver had; `trainings` and `evaluations`, how many
cells there were.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.clock import StepClock
from fmbench.runner import run
from fmbench.runner.progress import Silent
from fmbench.runner.session import Options
from fmbench.tracking import Tracker


class Clocked(Silent):
    """An observer that puts a clock on the training."""

    def __init__(self) -> None:
        self.clock = StepClock()

    def advance(self, stage: str, amount: int = 1) -> None:
        """Note the time of each progress in training."""
        if stage == "training":
            self.clock(amount)


def clocked(method: Callable[..., Any], seconds: dict[str, float]) -> Callable[..., Any]:
    """Return a method that adds up the seconds of its calls."""

    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            seconds[method.__name__] = seconds.get(method.__name__, 0.0) + time.perf_counter() - started

    return call


def main() -> None:
    """Run the suite into this folder."""
    suite, device, *overrides = sys.argv[1:]
    tracking = "--no-tracking" not in overrides
    seconds: dict[str, float] = {}
    for name in ("check", "start", "log", "drain", "finish"):
        setattr(Tracker, name, clocked(getattr(Tracker, name), seconds))
    watched = Clocked()
    chosen = tuple(override for override in overrides if override != "--no-tracking")
    records = run.run(suite, Options(device=device, overrides=chosen, tracking=tracking), watched).records
    if records.failed:
        sys.exit(f"{len(records.failed)} cells failed: {records.failed[0].error}")
    counts = {"trainings": len(records.trainings), "evaluations": len(records.evaluations)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"step": watched.clock.seconds_a_step, "tracking": seconds, "memory": memory, **counts}))


if __name__ == "__main__":
    main()
