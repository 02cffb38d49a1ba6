"""What does one more cell cost, where cells compute next to nothing and there are thousands of them?

many_cells.yaml: each training has one step, and 100 evaluations of 8 points by ten solvers with 1 to 10 network calls.
It is run from nothing with few and with many seeds, and what counts is the slope: the difference in time of the whole
programs over the difference in cells, so that imports and what is done once are no part of it. The store, the report
and, where that is asked for, MLflow's runs are. benchopt gets a training and its score for each cell (see harness.py),
in a new folder, with as many processes as there are cores.

The driver's memory is what its process has at most. A restart is a run of a suite that is done: its time is
extrapolated to the suite of a thousand trainings. That suite itself is

    fmbench run tests/benchmarks/many_cells.yaml --set "training.seeds=[$(seq -s, 0 999)]"
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.harness import peer
from benchmarks.measuring import Options, Pair, Row, at_least, at_most, attempt, faster, main
from benchmarks.processes import Finished, fmbench_again, fmbench_run

SUITE = Path(__file__).with_suffix(".yaml")
OF_A_TRAINING = 101
"""Cells: a training and its evaluations."""
WHOLE = 1000 * OF_A_TRAINING
"""The cells of the suite that a restart is extrapolated to."""


class Slope(NamedTuple):
    """What runs of few and of many cells took."""

    few: float
    many: float
    cells: int

    @property
    def of_a_cell(self) -> float:
        """What one more cell takes."""
        return (self.many - self.few) / self.cells

    def at(self, cells: int, few: int) -> float:
        """Return what so many cells would take, given how many the few are."""
        return self.few + self.of_a_cell * (cells - few)


def measure(options: Options) -> list[Row]:
    """Measure a cell without MLflow and with it, beside benchopt's, and the driver's memory and restart."""
    few, many = options.at_most(4, 1), options.at_most(40, 3)
    return [
        *attempt("one more cell, without MLflow", lambda: without_mlflow(options, few, many)),
        *attempt("one more cell, with MLflow", lambda: with_mlflow(options, few, many)),
    ]


def without_mlflow(options: Options, few: int, many: int) -> list[Row]:
    """Return the rows of a cell's cost without MLflow, against benchopt's, and of a restart."""
    cells, repeats = (many - few) * OF_A_TRAINING, options.repeats(2)
    ours, theirs, again = [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            first, last = (run(trainings, Path(folder), options, "--no-tracking") for trainings in (few, many))
            ours.append(Slope(first.seconds, last.seconds, cells))
            runs = [done(trainings, Path(folder), options) for trainings in (few, many)]
            again.append(Slope(*(each.seconds for each in runs), cells))
            counted = [
                peer(trainings * OF_A_TRAINING, Path(folder) / f"benchopt-{trainings}") for trainings in (few, many)
            ]
            theirs.append(Slope(*counted, cells))
    extent = f"from {few * OF_A_TRAINING} to {many * OF_A_TRAINING} cells"
    return [
        Row(
            "one more cell, without MLflow", "fmbench run --no-tracking", "",
            tuple(1e3 * slope.of_a_cell for slope in ours), "ms", at_most(2), note=f"The slope {extent}.",
        ),
        faster(
            "one more cell, against benchopt", "fmbench run --no-tracking", "benchopt run",
            [Pair(mine.of_a_cell, peers.of_a_cell) for mine, peers in zip(ours, theirs, strict=True)], at_least(10),
            scale=1e3, times_unit="ms a cell", note=f"The slope {extent} of both.",
        ),
        Row(
            f"a restart with {WHOLE} cells done", "fmbench run", "",
            tuple(slope.at(WHOLE, few * OF_A_TRAINING) for slope in again), "s", at_most(30),
            note=f"Extrapolated {extent}: plan, look at the store, report that is there.",
        ),
    ]  # fmt: skip


def with_mlflow(options: Options, few: int, many: int) -> list[Row]:
    """Return the rows of a cell's cost with MLflow, and of the driver's memory."""
    cells = (many - few) * OF_A_TRAINING
    times, memory = [], []
    for _ in range(options.repeats(2)):
        with tempfile.TemporaryDirectory() as folder:
            first, last = (run(trainings, Path(folder), options) for trainings in (few, many))
            times.append(Slope(first.seconds, last.seconds, cells).of_a_cell)
            memory.append(Slope(first.said["memory"], last.said["memory"], cells).of_a_cell)
    note = f"The slope from {few * OF_A_TRAINING} to {many * OF_A_TRAINING} cells."
    return [
        Row(
            "one more cell, with MLflow", "fmbench run, MLflow on a sqlite file", "",
            tuple(1e3 * seconds for seconds in times), "ms", at_most(10), note=note,
        ),
        Row(
            "the driver's memory", "fmbench run, MLflow on a sqlite file", "",
            tuple(1e4 * size / 1e6 for size in memory), "MB in 10,000 cells", at_most(100), note=note,
        ),
    ]  # fmt: skip


def run(trainings: int, folder: Path, options: Options, *more: str) -> Finished:
    """Run the suite with so many seeds from nothing."""
    return fmbench_run(SUITE, folder / str(trainings), options.device, seeds(trainings), *more)


def done(trainings: int, folder: Path, options: Options) -> Finished:
    """Run the suite once more, of which everything is there."""
    return fmbench_again(SUITE, folder / str(trainings), options.device, seeds(trainings), "--no-tracking")


def seeds(trainings: int) -> str:
    """Return the override that gives the suite so many trainings."""
    return f"training.seeds={list(range(trainings))}"


if __name__ == "__main__":
    main(measure, __doc__)
