"""How much faster are two workers of one thread than one, on two free cores?

Both executors compute the same trainings, each alone in its fleet, into a new store, in turn. Their processes are there
and have trained before the clock starts, as in a suite that is longer than its start. What is left is what workers
cost each other: memory, the disk, and a driver that hands out tasks and reads what they say.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.measuring import Options, Pair, Row, at_least, attempt, faster, main
from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import WorkerConfig
from fmbench.executors.tasks import TrainTask
from fmbench.plugins.registry import Registry, load_registry
from fmbench.runtime.environment import cpu_count

SETTINGS = {
    "batch_size": 256,
    "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    "schedule": {"name": "constant", "warmup": 0},
    "gradient_clip": None,
    "ema": 0.999,
    "precision": "float32",
    "class_conditional": False,
    "label_dropout": 0.1,
}
COMPONENTS = {
    "dataset": ("moons", {"size": 4000}),
    "path": ("linear", {}),
    "coupling": ("independent", {}),
    "t_distribution": ("uniform", {}),
    "objective": ("velocity", {}),
    "network": ("mlp", {"width": 256, "depth": 3}),
}


def measure(options: Options) -> list[Row]:
    """Measure two workers against one."""
    return attempt("two workers", lambda: compare(options))


def compare(options: Options) -> list[Row]:
    """Return how many times as fast two workers compute the same trainings as one."""
    if cpu_count() < 2:
        raise RuntimeError("two workers need two cores")
    registry, trainings, steps = load_registry(), 8, options.at_most(1500, 100)
    pairs = []
    for repeat in range(options.repeats(5)):
        seconds = {jobs: run(registry, jobs, cells(registry, repeat, trainings, steps)) for jobs in (2, 1)}
        pairs.append(Pair(seconds[2], seconds[1]))
    what = f"{trainings} trainings of {steps} steps"
    return [faster("two workers on two cores", f"{what}, 2 workers of 1 thread", "1 worker", pairs, at_least(1.8))]


def cells(registry: Registry, repeat: int, number: int, steps: int) -> list[TrainingCell]:
    """Return trainings that differ in their seeds."""
    specs = {kind: registry.spec(kind, name, parameters) for kind, (name, parameters) in COMPONENTS.items()}
    settings = Settings({**SETTINGS, "steps": steps})
    return [TrainingCell(**specs, seed=1000 * repeat + seed, settings=settings) for seed in range(number)]


def run(registry: Registry, jobs: int, trainings: list[TrainingCell]) -> float:
    """Return the seconds that so many warm workers take for trainings."""
    with warm(registry, jobs, trainings[0]) as executor:
        for cell in trainings:
            executor.submit(TrainTask((cell,)))
        began = time.perf_counter()
        failed = [event.text for event in executor.events() if event.what == "failed"]
        seconds = time.perf_counter() - began
    if failed:
        raise RuntimeError(failed[0])
    return seconds


@contextmanager
def warm(registry: Registry, jobs: int, like: TrainingCell) -> Iterator[LocalExecutor]:
    """Return an executor with a new store whose workers have all trained."""
    with tempfile.TemporaryDirectory() as folder:
        config = WorkerConfig((), registry.fingerprints(), folder, "cpu", threads=1, jobs=jobs, trains=True)
        with closing(LocalExecutor(config)) as executor:
            executor.warm_up(jobs)
            for seed in range(4 * jobs):  # more than workers, so that each has some
                shape = Settings({**like.settings.values, "steps": 50})
                executor.submit(TrainTask((TrainingCell(**components(like), seed=10**6 + seed, settings=shape),)))
            list(executor.events())
            yield executor


def components(cell: TrainingCell) -> dict[str, object]:
    """Return the components of a cell by kind."""
    return {kind: getattr(cell, kind) for kind in COMPONENTS}


if __name__ == "__main__":
    main(measure, __doc__)
