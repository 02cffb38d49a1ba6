"""The main road: a suite from YAML to records, computed once, whatever happens on the way."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import fmbench
from fmbench.errors import DataError, UserError
from fmbench.executors.messages import Event
from fmbench.runner.progress import Silent
from fmbench.runner.run import RunResult, run_session
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, open_session

SUITE: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"moons": {"size": 400}}],
    "training": {
        "paths": ["linear", "cosine"],
        "networks": [{"mlp": {"width": 16, "depth": 1}}],
        "steps": 40,
        "batch_size": 32,
        "optimizer": {"adamw": {"lr": 0.001}},
    },
    "evaluation": {
        "solvers": ["euler", "mine"],
        "nfe": [1, 4],
        "samples": 100,
        "metrics": ["sliced_wasserstein", "sample_ms", "train_seconds"],
    },
}

PLUGIN = '''
from fmbench import Solver, hookimpl


class Mine(Solver):
    """Euler, by somebody else."""

    order = 1

    def integrate(self, velocity, x_0, times):
        x = x_0
        for now, after in zip(times[:-1], times[1:]):
            x = x + SCALE * (after - now) * velocity(x, now.expand(len(x)))
        return x


@hookimpl
def fmbench_solvers():
    return {"mine": Mine}


SCALE = 1.0
'''


TIMED = ("_iqr", "_relative", "_relative_iqr")
"""What follows a time's name in the names of its other values."""


class Place:
    """A folder with a suite, a plugin, a store and reports, in which suites are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugin = folder / "mine.py"
        self.plugin.write_text(PLUGIN)
        self.write(SUITE)

    def write(self, suite: dict[str, Any]) -> None:
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(suite))

    def options(self, *overrides: str, tracking: bool = False) -> Options:
        return Options(
            overrides=overrides,
            plugins=(str(self.plugin),),
            home=self.folder / "store",
            reports=self.folder / "reports",
            tracking=tracking,
            tracking_uri=f"sqlite:///{self.folder / 'mlflow.db'}",
        )

    def run(self, *overrides: str, tracking: bool = False) -> RunResult:
        return fmbench.run(self.folder / "tiny.yaml", self.options(*overrides, tracking=tracking))

    def command(self, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-c", "from fmbench.cli import main; main()", "run", "tiny.yaml", "--no-tracking"),
            *("--plugins", "mine.py", "--home", "store", *arguments),
        ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("runner"))


@pytest.fixture(scope="module")
def first(place: Place) -> RunResult:
    return place.run(tracking=True)


def test_every_cell_is_a_row_with_its_metrics(first: RunResult) -> None:
    frame = first.records.frame()
    assert len(frame) == 2 * 2 * 2
    assert (frame["status"] == "ok").all()
    assert (frame["nfe"] == frame["nfe_budget"]).all()
    assert frame[["sliced_wasserstein", "sample_ms", "train_seconds"]].gt(0).all().all()
    assert first.computed == {"training": 2, "evaluation": 8, "floor": 1, "sampler": 4}
    assert first.report.exists()


def test_two_solvers_that_compute_the_same_get_the_same_numbers(first: RunResult) -> None:
    frame = first.records.frame()
    by = frame.pivot_table(index=["path", "nfe"], columns="solver", values="sliced_wasserstein")
    assert by["euler"].to_numpy() == pytest.approx(by["mine"].to_numpy(), rel=1e-5)


def test_samplers_that_make_the_same_calls_share_one_time(first: RunResult) -> None:
    frame = first.records.frame()
    times = frame[frame["nfe"] == 1].pivot_table(index="path", columns="solver", values="sample_ms")
    assert times["euler"].to_list() == times["mine"].to_list()


def test_again_computes_nothing_and_gives_the_same_records(place: Place, first: RunResult) -> None:
    again = place.run(tracking=True)
    assert again.computed == {}
    assert not again.fresh_report
    assert [about for about, _ in again.in_short][:1] == ["Answer"]
    assert again.in_short == first.in_short
    assert again.records.frame().equals(first.records.frame())
    assert again.tracking is not None
    assert again.tracking.pending == 0


def test_mlflow_holds_each_cell_once_after_three_runs(place: Place, first: RunResult) -> None:
    place.run(tracking=True)
    place.run(tracking=True)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["fmbench.kind"] for run in runs]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "training": 2,
        "evaluation": 4,
        "configuration": 4,
        "summary": 1,
    }
    assert len({run.data.tags["fmbench.cell"] for run in runs}) == len(runs)


def test_an_nfe_and_a_solver_more_train_nothing(place: Place, first: RunResult, undrawn: None) -> None:
    more = place.run("evaluation.nfe=[1, 2, 4]", "evaluation.solvers=[euler, mine, ab2]")
    assert more.computed["evaluation"] == 2 * (3 * 3) - 8
    assert "training" not in more.computed


def test_a_metric_more_trains_nothing_and_keeps_the_others(place: Place, first: RunResult, undrawn: None) -> None:
    metrics = "evaluation.metrics=[sliced_wasserstein, sample_ms, train_seconds, parameters, validation_loss]"
    more = place.run(metrics)
    assert more.computed == {"measurement": 2}
    frame = more.records.frame()
    assert frame[["parameters", "validation_loss"]].gt(0).all().all()
    assert frame["sliced_wasserstein"].equals(first.records.frame()["sliced_wasserstein"])


COMPUTES = """
from fmbench.runner.progress import Silent
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, open_session
session = open_session("tiny.yaml", Options(plugins=("mine.py",), home="store", jobs="1"))
print(Scheduler(session, session.results_index(), Silent(), None).run())
"""


def test_a_comment_recomputes_nothing_and_code_just_its_evaluations(place: Place, first: RunResult) -> None:
    # in a process of its own each, since a process keeps the plugin that it imported; most draw no report
    def computed(*command: str) -> str:
        given = command or (sys.executable, "-c", COMPUTES)
        return subprocess.run(given, cwd=place.folder, capture_output=True, text=True, check=True).stdout.strip()

    assert computed() == "{}"
    place.plugin.write_text(PLUGIN.replace("order = 1", "order = 1  # as Euler found").replace("by somebody", "of"))
    assert computed() == "{}"
    place.plugin.write_text(PLUGIN.replace("SCALE = 1.0", "SCALE = 1.01"))
    assert yaml.safe_load(computed(*place.command("--json")))["computed"] == {"evaluation": 4, "sampler": 2}
    place.plugin.write_text(PLUGIN)
    assert computed() == "{}"


@pytest.mark.parametrize(
    "names", [("weights.safetensors", "history.json"), ("metrics.json", "result.json")], ids=" ".join
)
def test_a_damaged_training_is_reported_and_computed_again(
    place: Place, first: RunResult, undrawn: None, names: tuple[str, str]
) -> None:
    for record, name in zip(first.records.trainings, names, strict=True):
        path = place.folder / "store" / "training" / record.cell.key / name
        path.write_bytes(path.read_bytes()[:-3] + b"???")
    said = open_session(place.folder / "tiny.yaml", place.options()).results_index().damaged
    assert len(said) == len(names)
    for record, name in zip(first.records.trainings, names, strict=True):
        assert [name in text for text in said if record.cell.key in text] == [True], name
    again = place.run()
    assert again.computed["training"] == len(names)
    columns = ["key", "status", "sliced_wasserstein"]
    assert again.records.frame()[columns].equals(first.records.frame()[columns])


def test_a_training_that_diverges_is_rows_and_the_others_go_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write({**SUITE, "training": {**SUITE["training"], "optimizer": {"sgd": {"lr": 1e9}}}})
    result = place.run()
    frame = result.records.frame()
    assert set(frame["status"]) == {"diverged"}
    assert frame["error"].str.contains("training: the loss").all()
    assert len(result.records.failed) == 2
    assert place.run().computed == {}
    session = open_session(place.folder / "tiny.yaml", place.options())
    assert session.clear_failures() == 2
    assert place.run().computed == {"training": 2}


class Counting(Silent):
    """Adds up the optimizer steps that are done."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def advance(self, stage: str, amount: int = 1) -> None:
        if stage == "training":
            self.steps.append(amount)


def test_progress_is_whole_at_the_end_and_steps_done_twice_count_once(tmp_path: Path, undrawn: None) -> None:
    place, observer = Place(tmp_path), Counting()
    session = open_session(place.folder / "tiny.yaml", place.options())
    scheduler = Scheduler(session, session.results_index(), observer, None)
    key = session.plan.trainings[0].key
    for what, amount in (("started", 0), ("advanced", 25), ("again", 0), ("started", 0), ("advanced", 10)):
        scheduler._note(Event(what, "training", key, amount=amount))
    assert sum(observer.steps) == 10
    observer.steps.clear()
    scheduler = Scheduler(session, session.results_index(), observer, None)
    first, second = (cell.key for cell in session.plan.trainings)
    scheduler._note(Event("started", "training", first, fleet=(first, second)))
    scheduler._note(Event("advanced", "training", first, amount=50))
    scheduler._note(Event("started", "training", second))
    scheduler._note(Event("advanced", "training", second, amount=5))
    assert sum(observer.steps) == 5
    observer.steps.clear()
    run_session(session, observer)
    assert sum(observer.steps) == 80
    assert min(observer.steps) > 0


def test_data_that_is_not_there_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "pictures").mkdir()
    place.write({**SUITE, "datasets": [{"image_folder": {"folder": str(tmp_path / "pictures")}}]})
    with pytest.raises((DataError, UserError), match="pictures"):
        place.run()
    assert not list((tmp_path / "store").glob("training/*"))


HALTING = '''
import os
import time
from pathlib import Path

from fmbench import Objective, Solver, hookimpl

CALLS = {"training": 0, "evaluation": 0}


def halt(moment, call):
    """Stop for good at a call, where the test asks for it; the file that is left tells the test."""
    CALLS[moment] += 1
    if os.environ.get("FMBENCH_TEST_HALT") == moment and CALLS[moment] == call:
        Path("halted").touch()
        time.sleep(3600)


class Matching(Objective):
    """The velocity, with a place to stop at in the middle of the second training."""

    def loss(self, output, sample):
        halt("training", 60)
        return (output - sample.dx_t).square().flatten(1).mean(1)

    def velocity(self, output, x, t, path):
        return output


class Mine(Solver):
    """Euler, with a place to stop at between the batches of a cell."""

    def integrate(self, velocity, x_0, times):
        halt("evaluation", 2)
        x = x_0
        for now, after in zip(times[:-1], times[1:]):
            x = x + (after - now) * velocity(x, now.expand(len(x)))
        return x


@hookimpl
def fmbench_solvers():
    return {"mine": Mine}


@hookimpl
def fmbench_objectives():
    return {"matching": Matching}
'''

DRIVER = """
import fmbench
from fmbench.runner.session import Options
fmbench.run("tiny.yaml", Options(plugins=("mine.py",), home="store", jobs="1", tracking=False, checkpoint_seconds=0))
"""


def run_to_its_table(place: Place) -> tuple[list[dict[str, str]], RunResult]:
    """Run the suite on one process and return its CSV without the columns that are times, and the result."""
    result = fmbench.run(place.folder / "tiny.yaml", replace(place.options(), jobs="1"))
    with (place.folder / "reports" / "tiny" / "records.csv").open() as file:
        rows = list(csv.DictReader(file))
    times = {f"{name}{value}" for name in ("sample_ms", "train_seconds") for value in ("", *TIMED)}
    return [{name: value for name, value in row.items() if name not in times} for row in rows], result


def halting_place(folder: Path) -> Place:
    place = Place(folder)
    place.plugin.write_text(HALTING)
    training = {**SUITE["training"], "objectives": ["matching"]}
    place.write({**SUITE, "training": training, "evaluation": {**SUITE["evaluation"], "samples": 300}})
    return place


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The table of a run that nothing happened to."""
    return run_to_its_table(halting_place(tmp_path_factory.mktemp("undisturbed")))[0]


@pytest.mark.parametrize("moment", ["training", "evaluation"])
def test_killed_and_run_again_gives_the_same_table(
    tmp_path: Path, undisturbed: list[dict[str, str]], moment: str
) -> None:
    place = halting_place(tmp_path)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER], cwd=tmp_path, env={**os.environ, "FMBENCH_TEST_HALT": moment}
    )
    while not (tmp_path / "halted").exists() and driver.poll() is None:
        time.sleep(0.1)
    assert driver.poll() is None, "the run was over before it was killed"
    until = time.monotonic() + 60  # the files of the cell before are on their way to the disk
    while moment == "evaluation" and time.monotonic() < until:
        if list((tmp_path / "store" / "evaluation").glob("*/result.json")):
            break
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()

    done = {
        section: len(list((tmp_path / "store" / section).glob("*/result.json")))
        for section in ("training", "evaluation")
    }
    checkpoints = [path.name.split("-")[1] for path in (tmp_path / "store").glob("training/*/checkpoint-*.pt")]
    if moment == "training":
        assert done == {"training": 1, "evaluation": 0}
        assert checkpoints == ["19"]  # of 40 steps; the 20th was never taken
    else:
        assert done["training"] == 2
        assert 0 < done["evaluation"] < 8
    table, again = run_to_its_table(place)
    assert table == undisturbed
    assert again.computed["evaluation"] == 8 - done["evaluation"]
    assert again.computed.get("training", 0) == 2 - done["training"]


def test_an_outsiders_components_are_used_by_name(tmp_path: Path, outsider_site: Path) -> None:
    place = Place(tmp_path)
    suite = {**SUITE, "name": "outside"}
    suite["training"] = {**SUITE["training"], "paths": ["linear", {"power": {"exponent": 1.5}}]}
    suite["evaluation"] = {"solvers": ["euler", "ralston"], "nfe": [2, 4], "samples": 100, "metrics": ["mean_distance"]}
    place.write(suite)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(outsider_site), *sys.path])}
    done = subprocess.run(place.command(), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "reports" / "outside" / "records.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {"linear", "power(exponent=1.5)"}
    assert {row["solver"] for row in rows} == {"euler", "ralston"}
    assert all(row["status"] == "ok" and float(row["mean_distance"]) > 0 for row in rows)
