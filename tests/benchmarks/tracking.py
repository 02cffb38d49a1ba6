"""How long does a suite wait for MLflow, and how long would it wait when every value were logged by a call of its own?

fmbench logs from one thread of its own, in batches, after the results are on disk. What counts as its critical path is
all the time that the driver spends in calls of the tracker: the look at the database, handing records over, and the
wait at the end until everything is written, report included. That is measured within a whole `fmbench run` of 15
trainings and 180 evaluations on 2-D data, from nothing. Which share of a suite's wall time it is, suites.py measures.

Naive logging is what one writes first: `start_run`, a `log_param` for each parameter, a `log_metric` for each value, in
the loop, to the same kind of sqlite database (scripts/naive_mlflow.py). It logs the same runs, parameters and values as
fmbench did of some of the trainings and their evaluations; once with fmbench's loss curve of at most 200 points, and
once with the loss of every step, as the tutorials of trackers do. The time for all is that of the sample times their
number. fmbench's runs go to MLflow whole: nothing is left out on its side.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.measuring import Options, Row, attempt, main
from benchmarks.processes import fmbench_run, script
from fmbench.results.records import Records
from fmbench.runner.session import Options as SessionOptions
from fmbench.runner.session import open_session
from fmbench.tracking.cell_runs import Common, evaluation_contents, training_content
from fmbench.tracking.run_content import RunContent

SUITE = Path(__file__).with_name("plane.yaml")
SAMPLE = 2
"""Trainings that are logged naively, with all of their evaluations."""


def measure(options: Options) -> list[Row]:
    """Measure how long a suite waits for its tracker, and naive logging of the same runs."""
    return attempt("MLflow", lambda: compare(options))


def compare(options: Options) -> list[Row]:
    """Return both kinds of naive logging against what the same suite waits for its tracker."""
    steps = options.at_most(200, 60)
    overrides = (f"training.steps={steps}", "training.seeds=[0]")
    if options.quick:
        overrides += ("training.paths=[linear]", "training.schedule.cosine.warmup=5")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = fmbench_run(SUITE, folder / "run", options.device, *overrides)
        session = open_session(SUITE, SessionOptions(overrides=overrides, home=folder / "run" / ".fmbench"))
        records = session.records(session.results_index())
        naive = {}
        for kind, every_step in (("the same values", 0), ("the loss of every step", steps)):
            file = folder / "runs.json"
            file.write_text(json.dumps(sample_of(records, every_step)))
            naive[kind] = [float(seconds) for seconds in script("naive_mlflow.py", str(file), folder=folder).said]
    waited = sum(ours.said["tracking"].values())
    trainings = len(records.trainings)
    size = f"{trainings} trainings, {len(records.evaluations)} evaluations"
    return [
        Row(
            f"MLflow, naively, {kind}",
            "seconds in which the driver of a suite waits for the tracker",
            f"log_param and log_metric one by one, {size}",
            tuple(trainings * seconds / waited for seconds in found),
            ours_times=(waited,),
            peer_times=tuple(trainings * seconds for seconds in found),
            mean=True,
            note=f"logged for {len(found)} of {trainings} trainings and their evaluations, which take "
            f"{min(found):.2f} to {max(found):.2f} s each.",
        )
        for kind, found in naive.items()
    ]


def sample_of(records: Records, every_step: int) -> list[list[dict[str, Any]]]:
    """Return, for the first trainings, their runs as plain values; with a loss for each of `every_step` steps."""
    found = []
    for training in records.trainings[:SAMPLE]:
        below = [record for record in records.evaluations if record.cell.training.key == training.cell.key]
        contents = [
            training_content(training, Common(records.suite)),
            *evaluation_contents(training, below, Common(records.suite)),
        ]
        runs = [plain(content) for content in contents]
        if every_step:
            others = [value for value in runs[0]["values"] if value[0] != "loss"]
            runs[0]["values"] = [["loss", 1.0 / step, step] for step in range(1, every_step + 1)] + others
        found.append(runs)
    return found


def plain(content: RunContent) -> dict[str, Any]:
    """Return a run's name, parameters and values."""
    values = [[value.name, value.value, value.step] for part in content.parts.values() for value in part.values]
    return {"name": content.name, "params": dict(content.params), "values": values}


if __name__ == "__main__":
    main(measure, __doc__)
