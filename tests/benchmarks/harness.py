"""What does the harness itself cost a cell, in fmbench and in benchopt?

Cells that compute next to nothing: one step of training of an MLP 2-16-2 at batch 64, and a score that is the number of
its parameters. benchopt gets the same as an objective, a dataset and a solver whose seed varies (scripts/benchopt),
each run once, with as many processes as there are cores, no plots and a new folder, so that nothing is in its cache.
fmbench runs a suite from nothing, and does more: it also draws 64 samples of each network, evaluates them as a cell of
their own, keeps weights, loss curves and samples with checksums, makes portraits and writes a report with tables and
figures; with and without MLflow. What counts is the difference between many cells and few, divided by the number of
cells between them: that leaves out imports and what is done once.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.measuring import Options, Pair, Row, attempt, faster, main
from benchmarks.processes import fmbench_run, program
from fmbench.hardware import cpu_count

FEW = 10
SUITE = """\
name: harness
datasets: [{{moons: {{size: 500}}}}]
training:
  paths: [linear]
  t_distributions: [uniform]
  networks: [{{mlp: {{width: 16, depth: 1}}}}]
  seeds: [{seeds}]
  steps: 1
  batch_size: 64
  optimizer: {{adam: {{lr: 1.0e-3}}}}
  ema: 0
evaluation:
  solvers: [euler]
  nfe: [1]
  samples: 64
  metrics: [parameters]
"""


def measure(options: Options) -> list[Row]:
    """Measure fmbench with and without MLflow against benchopt."""
    return attempt("a cell's overhead, against benchopt", lambda: compare(options))


def compare(options: Options) -> list[Row]:
    """Compare the seconds a cell of both, from few and from many cells."""
    import benchopt

    many = options.at_most(110, 30)
    found: dict[str, list[float]] = {"peer": [], "with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        for who, seconds in found.items():
            seconds.append(a_cell(runner(who, Path(folder), options), many))
    return [
        faster(
            f"a cell's overhead, {who} MLflow, against benchopt",
            f"fmbench run {who} MLflow: a training and an evaluation",
            f"benchopt {benchopt.__version__}, {cpu_count()} processes: a training and its score",
            [Pair(*each) for each in zip(found[who], found["peer"], strict=True)],
            scale=1e3,
            times_unit="ms a cell",
            note=f"{many} cells less {FEW} cells, each run once. No warm-up run: each starts from nothing.",
        )
        for who in ("with", "without")
    ]


def runner(who: str, folder: Path, options: Options) -> Callable[[int], float]:
    """Return the function that runs so many cells in one of the three ways, and says how long that took."""
    if who == "peer":
        return lambda cells: peer(cells, folder / f"benchopt{cells}")
    return lambda cells: ours(cells, folder / f"{who}{cells}", who == "with", options)


def a_cell(run: Callable[[int], float], many: int) -> float:
    """Return the seconds that a further cell takes. Raises ValueError where more cells took no longer than few."""
    few_seconds, many_seconds = run(FEW), run(many)
    if many_seconds <= few_seconds:
        raise ValueError(
            f"{many} cells took {many_seconds:.1f} s, {FEW} cells {few_seconds:.1f} s: the machine is not quiet enough"
        )
    return (many_seconds - few_seconds) / (many - FEW)


def ours(cells: int, folder: Path, tracking: bool, options: Options) -> float:
    """Return the seconds of a suite of so many cells."""
    suite = folder.with_suffix(".yaml")
    suite.write_text(SUITE.format(seeds=", ".join(map(str, range(cells)))))
    more = () if tracking else ("--no-tracking",)
    return fmbench_run(suite, folder, options.device, *more).seconds


def peer(cells: int, folder: Path) -> float:
    """Return the seconds of so many cells in benchopt."""
    shutil.copytree(Path(__file__).parent / "scripts" / "benchopt", folder)
    os.environ["CELLS"] = str(cells)
    arguments = ["--max-runs", "1", "--n-repetitions", "1", "--no-plot", "--no-display", "--output", "found"]
    done = program("-m", "benchopt", "run", ".", *arguments, "--n-jobs", str(cpu_count()), folder=folder)
    if not (folder / "outputs" / "found.parquet").exists():
        raise ValueError(f"benchopt left no results: {done.output.strip()[-200:]}")
    import pandas

    found = len(pandas.read_parquet(folder / "outputs" / "found.parquet"))
    if found != cells:
        raise ValueError(f"benchopt has {found} results of {cells}")
    return done.seconds


if __name__ == "__main__":
    main(measure, __doc__)
