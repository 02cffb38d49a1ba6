"""How much faster is a suite through `fmbench run` than as one plain script a cell?

A plain script a cell is what one writes without a harness (scripts/one_cell.py): a Python process that imports torch,
trains that evaluation cell's network with a plain loop (same steps, batch, network, optimiser, schedule, moving
average), samples with that solver and NFE, and computes the same scores, torch-fidelity's for FID and KID, once.
Scripts run one after the other with torch's default threads.

`fmbench run` is measured whole, from nothing: an empty store, a new MLflow database, floors, timings and report
included. A script is run for some of the suite's evaluation cells only: every k-th of all, ordered by solver, NFE, path
and t-distribution, from a random start; half of them before the suite and half after it. The number of the suite's
evaluation cells times each script's seconds over the suite's is one ratio, and their mean is what counts.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.measuring import Options, Row, Target, at_least, at_most, attempt, main
from benchmarks.processes import fmbench_run, script
from fmbench.cells.cells import EvaluationCell
from fmbench.runner.session import Options as SessionOptions
from fmbench.runner.session import open_session

ROOT = Path(__file__).parents[2]
SHARE = "of the wall time"


@dataclass(frozen=True)
class Suite:
    """A suite, how many scripts stand for all of its cells, the target, and what cuts it down for a quick try."""

    name: str
    file: Path
    scripts: int
    target: Target
    quick: tuple[str, ...]


SMALL = ("training.seeds=[0]", "training.t_distributions=[uniform]", "evaluation.nfe=[4]")
SUITES = (
    Suite(
        "45 trainings x 12 evaluations on 2-D data",
        Path(__file__).with_name("plane.yaml"),
        5,
        at_least(60),
        (*SMALL, "training.steps=60", "training.schedule.cosine.warmup=5"),
    ),
    Suite(
        "low_nfe.yaml",
        ROOT / "suites" / "low_nfe.yaml",
        2,
        at_least(20),
        (*SMALL, "training.steps=20", "training.schedule.cosine.warmup=2", "evaluation.samples=1000"),
    ),
)


def measure(options: Options) -> list[Row]:
    """Measure both suites."""
    rows = []
    for suite in SUITES:
        rows += attempt(suite.name, lambda suite=suite: compare(suite, options))
    return rows


def compare(suite: Suite, options: Options) -> list[Row]:
    """Run a suite, and scripts for some of its cells, and compare; also say what MLflow cost."""
    overrides = suite.quick if options.quick else ()
    plan = open_session(suite.file, SessionOptions(overrides=overrides)).plan
    metrics = [metric.name for metric in plan.metrics]
    chosen = every(sorted(plan.evaluations, key=place), options.at_most(suite.scripts, 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def alone(cell: EvaluationCell) -> float:
            return script("one_cell.py", json.dumps(described(cell, metrics)), folder=folder).seconds

        half = len(chosen) // 2
        before = [alone(cell) for cell in chosen[:half]]
        whole = fmbench_run(suite.file, folder / "home", options.device, *overrides)
        taken = before + [alone(cell) for cell in chosen[half:]]
    count = len(plan.evaluations)
    solvers = ", ".join(f"{cell.solver.name} at NFE {cell.nfe}" for cell in chosen)
    note = (
        f"{len(plan.trainings)} trainings, {count} evaluations. {len(chosen)} of {count} scripts were run ({solvers}): "
        f"{min(taken):.1f} to {max(taken):.1f} s each; all {count} would take their mean times {count}."
    )
    tracking = whole.said["tracking"]
    return [
        Row(
            suite.name,
            "fmbench run, whole, MLflow and report included",
            f"{count} scripts, from the mean of {len(chosen)}",
            tuple(count * seconds / whole.seconds for seconds in taken),
            target=suite.target,
            ours_times=(whole.seconds,),
            peer_times=tuple(count * seconds for seconds in taken),
            mean=True,
            note=note,
        ),
        Row(
            f"{suite.name}: MLflow on the critical path",
            "seconds in which the driver waits for the tracker",
            "the suite's wall time",
            (sum(tracking.values()) / whole.seconds,),
            SHARE,
            at_most(0.01),
            (sum(tracking.values()),),
            (whole.seconds,),
            note=", ".join(f"{name} {seconds:.2f} s" for name, seconds in tracking.items()),
        ),
    ]


def place(cell: EvaluationCell) -> tuple[Any, ...]:
    """Return where a cell stands among all, so that every k-th of them is spread over the axes."""
    training = cell.training
    return cell.solver.text, cell.nfe or 0, training.path.text, training.t_distribution.text, training.seed


def every(cells: list[EvaluationCell], wanted: int) -> list[EvaluationCell]:
    """Return so many cells at equal distances, from a random start, in random order."""
    dice = random.Random(2026)
    start = dice.random()
    chosen = [cells[int((number + start) * len(cells) / wanted)] for number in range(wanted)]
    dice.shuffle(chosen)
    return chosen


def described(cell: EvaluationCell, metrics: list[str]) -> dict[str, Any]:
    """Return what the script must know of a cell. Raises ValueError for what it does not do."""
    training = cell.training
    settings = training.settings
    if settings["schedule"]["name"] != "cosine" or settings["gradient_clip"] is not None:
        raise ValueError("scripts/one_cell.py knows the cosine schedule and no clipping of gradients")
    optimizer = dict(settings["optimizer"])
    return {
        "dataset": training.dataset.name,
        "path": training.path.name,
        "t_distribution": training.t_distribution.name,
        "network": training.network.name,
        "network_parameters": training.network.parameters,
        "optimizer": optimizer.pop("name"),
        "optimizer_parameters": optimizer,
        "warm_up": settings["schedule"]["warmup"],
        "steps": settings["steps"],
        "batch_size": settings["batch_size"],
        "ema": settings["ema"],
        "seed": training.seed,
        "solver": cell.solver.name,
        "nfe": cell.nfe,
        "samples": cell.settings["samples"],
        "metrics": metrics,
    }


if __name__ == "__main__":
    main(measure, __doc__)
