"""What does the harness itself cost a cell, in fmbench and in benchopt?

Cells that compute next to nothing: one step of training of an MLP 2-16-2 at batch 64, and a score that is the number of
its parameters. benchopt gets the same as an objective, a dataset and a solver whose seed varies (scripts/benchopt),
each run once, with as many processes as there are cores, no plots and a new folder, so that nothing is in its cache.
fmbench runs a suite from nothing, and does more: it also draws 64 samples of each network, evaluates them as a cell of
their own, keeps weights, loss curves and samples with checksums, makes flow snapshots and writes a report with tables
and figures; with and without MLflow. What counts is the time of the whole program over the number of cells: imports and
what is done once are part of it, for they are part of what one waits for.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.measuring import Options, Pair, Row, attempt, faster, main
from benchmarks.processes import fmbench_run, program
from fmbench.runtime.environment import cpu_count

CELLS = 40
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

    cells = options.at_most(CELLS, 10)
    found: dict[str, list[float]] = {"peer": [], "with": [], "without": []}
    for repeat in range(options.at_most(2, 1)):
        with tempfile.TemporaryDirectory() as folder:
            for who in list(found) if repeat % 2 else reversed(found):
                found[who].append(seconds_of(who, cells, Path(folder), options) / cells)
    return [
        faster(
            f"a cell's overhead, {who} MLflow, against benchopt",
            f"fmbench run {who} MLflow: a training and an evaluation",
            f"benchopt {benchopt.__version__}, {cpu_count()} processes: a training and its score",
            [Pair(*each) for each in zip(found[who], found["peer"], strict=True)],
            scale=1e3,
            times_unit="ms a cell",
            note=f"{cells} cells, the whole program. No warm-up run: each starts from nothing.",
        )
        for who in ("with", "without")
    ]


def seconds_of(who: str, cells: int, folder: Path, options: Options) -> float:
    """Return the seconds that so many cells take in one of the three ways."""
    if who == "peer":
        return peer(cells, folder / "benchopt")
    return ours(cells, folder / who, who == "with", options)


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
