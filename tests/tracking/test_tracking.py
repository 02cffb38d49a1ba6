"""MLflow: what a suite looks like there, and that nothing is logged twice, lost, or able to stop a run."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.errors import TrackingError
from fmbench.results.records import EvaluationRecord, MetricFacts, Records, TrainingRecord
from fmbench.tracking import Tracker, follow_a_move, resolve_uri, sync, ui_command, ui_links
from fmbench.tracking.cell_runs import evaluation_identity, thinned
from fmbench.tracking.client import make_client
from fmbench.tracking.experiment import Server
from fmbench.tracking.images import picture_of, scatter, write_pictures
from fmbench.tracking.ledger import Ledger
from fmbench.tracking.run_content import Part
from fmbench.tracking.run_names import varying_axes
from fmbench.tracking.run_params import NAME_LENGTH, flat, metric_name
from fmbench.tracking.summary_run import best
from fmbench.tracking.uris import NEXT_FILE, NEXT_STEP, reason, sqlite_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


NOWHERE = "http://127.0.0.1:9"
"""The discard port, on which nobody listens."""

VIEWS = {"runs", "fid against NFE, by solver", "table of scores", "samples by solver (seed 0)"}
PER_STEP = {"euler": 1, "heun": 2}
TRAINING = Settings({"steps": 300, "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.999]}, "ema": 0.999})
SUITE = {"datasets": ["digits"], "training": {"paths": ["linear"], "seeds": [0, 1]}, "evaluation": {"solvers": ["a"]}}


def component(kind: str, name: str, **parameters: Any) -> ComponentSpec:
    return ComponentSpec(kind, name, parameters, fingerprint=f"print of {name}", label=name)


def trained(seed: int = 0, path: ComponentSpec | None = None, **changes: Any) -> TrainingRecord:
    path = path or component("path", "linear", sigma=0.1)
    others = [("coupling", "independent"), ("t_distribution", "uniform"), ("objective", "velocity"), ("network", "mlp")]
    coupling, t_distribution, objective, network = (component(kind, name) for kind, name in others)
    dataset = component("dataset", "digits")
    cell = TrainingCell(dataset, path, coupling, t_distribution, objective, network, seed, TRAINING, "code")
    facts = {"seconds": 30.0, "hardware": "a computer", "finished": "2026-01-02T03:04:05+00:00"}
    history = [(step, 1 / step) for step in range(1, 301)]
    record = TrainingRecord(cell, "ok", "", {"validation_loss": 0.5, "train_seconds": 30.0}, {}, history, facts)
    return dataclasses.replace(record, **changes)


def evaluated(
    training: TrainingRecord, solver: str, budget: int | None, samples: Path | None = None, **changes: Any
) -> EvaluationRecord:
    grid = component("grid", "uniform") if budget is not None else None
    steps = budget // PER_STEP.get(solver, 1) if budget is not None else None
    cell = EvaluationCell(
        training.cell, component("solver", solver), grid, budget, steps, 1.0, "ema", Settings({"samples": 8}), "c"
    )
    measured = float(budget if budget is not None else 26.4)
    metrics = {**training.metrics, "fid": 10 / measured + training.cell.seed, "fid_precision": 0.5}
    record = EvaluationRecord(cell, "ok", "", measured, metrics, {}, samples, {"seconds": 1.0})
    return dataclasses.replace(record, **changes)


def suite_of(
    trainings: Sequence[TrainingRecord], evaluations: Sequence[EvaluationRecord], name: str = "suite"
) -> Records:
    facts = [MetricFacts("validation_loss", "lower", "", "training", "validation_loss")]
    facts += [
        MetricFacts("fid", "lower", "", "evaluation", "fid"),
        MetricFacts("fid_precision", "", "", "evaluation", ""),
    ]
    return Records(
        name, "What is best?", trainings, evaluations, facts, settings=SUITE, environment={"git_commit": "abc"}
    )


def suite(nfes: Sequence[int] = (2, 4), samples: Path | None = None) -> Records:
    """Two trainings, each sampled with two solvers at every NFE: 2 + 4 runs, and the summary."""
    trainings = [trained(seed) for seed in (0, 1)]
    cells = [evaluated(t, solver, nfe, samples) for t in trainings for solver in PER_STEP for nfe in nfes]
    return suite_of(trainings, cells)


@dataclasses.dataclass
class Place:
    """A folder with MLflow's database in it, and a report."""

    folder: Path
    ledger: Path
    report: Path

    @property
    def uri(self) -> str:
        return sqlite_uri(self.folder / "mlflow.db")

    def log(self, records: Records, **options: Any) -> str:
        """Log everything in one session, as text."""
        tracker = self.tracker(records, **options)
        tracker.start()
        return str(tracker.finish(records, self.report))

    def tracker(self, records: Records, uri: str | None = None, **options: Any) -> Tracker:
        environment = {"git_commit": "abc"}
        settings = records.settings
        return Tracker(uri or self.uri, records.suite, self.ledger, "d", settings, environment=environment, **options)

    @property
    def client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def runs(self, kind: str = "", name: str = "suite") -> list[Run]:
        experiment = self.client.get_experiment_by_name(name)
        assert experiment is not None
        where = f"tags.`fmbench.kind` = '{kind}'" if kind else ""
        return list(self.client.search_runs([experiment.experiment_id], where, max_results=1000))

    def history(self, run: Run, metric: str) -> list[tuple[int, float]]:
        return sorted((m.step, m.value) for m in self.client.get_metric_history(run.info.run_id, metric))

    def everything(self) -> Counter[tuple[str, str, int, float]]:
        """Every entry of every metric, as often as it is there."""
        return Counter(
            (run.data.tags["fmbench.cell"], name, step, value)
            for run in self.runs()
            for name in run.data.metrics
            for step, value in self.history(run, name)
        )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    file = tmp_path / "samples.safetensors"
    save_file({"samples": np.linspace(-1, 1, 70 * 64, dtype="float32").reshape(70, 1, 8, 8)}, file)
    return file


def test_a_suite_is_one_experiment_with_nested_runs_a_curve_against_nfe_and_a_summary(
    place: Place, pictures: Path
) -> None:
    assert "9 runs logged, 0 unchanged" in place.log(suite(samples=pictures))

    trainings, evaluations, (summary,) = (place.runs(kind) for kind in ("training", "evaluation", "summary"))
    assert (len(trainings), len(evaluations), len(place.runs())) == (2, 4, 9)
    parents = {run.info.run_id: run for run in trainings}
    training = next(run for run in trainings if run.data.params["seed"] == "0")
    assert training.info.run_name == "seed=0"
    assert training.info.status == "FINISHED"
    assert training.info.end_time - training.info.start_time == 30_000
    assert (
        training.data.params.items()
        >= {
            "path": "linear",
            "path.sigma": "0.1",
            "training.steps": "300",
            "training.optimizer.lr": "0.001",
            "training.optimizer.betas": "[0.9,0.999]",
        }.items()
    )
    assert (
        training.data.tags.items()
        >= {
            "fmbench.suite": "suite",
            "fmbench.status": "ok",
            "fmbench.fingerprint.path": "print of linear",
            "mlflow.source.git.commit": "abc",
            "fmbench.hardware": "a computer",
        }.items()
    )
    curve = place.history(training, "loss")
    assert len(curve) <= 200
    assert curve[-1] == (300, 1 / 300)
    assert training.data.metrics["validation_loss"] == 0.5

    for run in evaluations:
        parent = parents[run.data.tags["mlflow.parentRunId"]]
        assert run.data.params.items() >= parent.data.params.items()
        assert run.data.params["grid"] == "uniform"
        seed = int(parent.data.params["seed"])
        assert place.history(run, "fid") == [(2, 5.0 + seed), (4, 2.5 + seed)]
        assert place.history(run, "nfe") == [(2, 2.0), (4, 4.0)]
        assert run.data.metrics.keys() == {"fid", "fid_precision", "nfe"}  # tables compare configurations
        assert "validation_loss" not in run.data.metrics
        files = [file.path for file in place.client.list_artifacts(run.info.run_id, "images")]
        assert len([f for f in files if f.startswith("images/samples+step+4+") and f.endswith(".png")]) == 1
        assert len(files) == 4
        assert run.data.tags["mlflow.loggedImages"] == "True"

    assert summary.data.metrics["best_fid_nfe4"] == 3.0
    assert "| a |" in summary.data.tags["mlflow.note.content"]
    assert {f.path for f in place.client.list_artifacts(summary.info.run_id)} >= {"report", "suite.json"}


def test_three_sessions_give_no_duplicates_and_a_new_nfe_adds_only_itself(place: Place, pictures: Path) -> None:
    place.log(suite(samples=pictures))
    first = place.everything()
    assert "0 runs logged, 9 unchanged" in place.log(suite(samples=pictures))
    place.ledger.unlink()
    assert "0 runs logged, 9 unchanged" in place.log(suite(samples=pictures))
    assert place.everything() == first
    assert max(first.values()) == 1

    assert "7 runs logged, 2 unchanged" in place.log(suite((2, 4, 8), pictures))
    added = place.everything() - first
    others = {run.data.tags["fmbench.cell"] for kind in ("summary", "configuration") for run in place.runs(kind)}
    about_cells = {name for cell, name, _, _ in added if cell not in others}
    assert about_cells == {"fid", "fid_precision", "nfe"}
    assert {step for cell, name, step, _ in added if name == "fid" and cell not in others} == {8}
    assert not first - place.everything()
    run = place.runs("evaluation")[0]
    assert len(place.client.list_artifacts(run.info.run_id, "images")) == 6


def test_what_becomes_known_later_is_added_and_a_changed_value_counts_as_the_later_one(place: Place) -> None:
    training = trained()
    early = [evaluated(training, "euler", nfe) for nfe in (2, 4)]
    late = [dataclasses.replace(r, metrics={**r.metrics, "sample_ms": 7.0, "fid": 0.25}) for r in early]
    tracker = place.tracker(suite_of([training], late))
    tracker.start()
    tracker.log(training, early[:1])
    tracker.log(training, early[1:])
    assert tracker.drain()
    (run,) = place.runs("evaluation")
    assert "sample_ms" not in run.data.metrics
    tracker.finish(suite_of([training], late), None)
    (run,) = place.runs("evaluation")
    assert place.history(run, "sample_ms") == [(2, 7.0), (4, 7.0)]
    assert [value for step, value in place.history(run, "fid")].count(0.25) == 2
    (mean,) = place.runs("configuration")
    assert mean.data.metrics["fid_nfe2"] == 0.25
    assert len(place.history(run, "fid_precision")) == 2
    assert len(place.runs()) == 4


def test_a_changed_cell_gets_runs_of_its_own() -> None:
    cell = evaluated(trained(), "euler", 4).cell
    assert evaluation_identity(cell) == evaluation_identity(dataclasses.replace(cell, nfe=8, steps=8))
    interval = ComponentSpec("guidance", "interval", {"weight": 3.0})
    for change in (
        {"guidance": 2.0},
        {"guidance": interval},
        {"weaker": cell.training},
        {"settings": Settings({"samples": 9})},
        {"code": "other"},
        {"grid": None},
    ):
        assert evaluation_identity(cell) != evaluation_identity(dataclasses.replace(cell, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("lost", ["_log_batch", "_log_files", "client.set_terminated"])
def test_runs_that_were_half_written_are_completed_and_not_made_again(
    place: Place, pictures: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A process that dies in the middle leaves runs without a ledger; here the third of them is cut off."""
    records = suite(samples=pictures)
    with monkeypatch.context() as patch:
        calls = iter(range(1000))

        def dies(*arguments: Any, **named: Any) -> Any:
            if next(calls) >= 2:
                raise RuntimeError("cut off")
            return original(*arguments, **named)

        if lost.startswith("client"):
            from mlflow import MlflowClient

            original: Any = MlflowClient.set_terminated
            patch.setattr(MlflowClient, "set_terminated", dies)
        else:
            original = getattr(Server, lost)
            patch.setattr(Server, lost, dies)
        assert "cut off" in place.log(records)
    place.ledger.unlink()
    assert "not logged" not in place.log(records)
    assert Counter(run.data.tags["fmbench.kind"] for run in place.runs()) == {
        "training": 2,
        "evaluation": 4,
        "configuration": 2,
        "summary": 1,
    }
    assert {run.info.status for run in place.runs()} == {"FINISHED"}
    assert set(place.everything().values()) == {1}
    for run in place.runs("evaluation"):
        assert {step for step, _ in place.history(run, "fid")} == {2, 4}
        assert len(place.client.list_artifacts(run.info.run_id, "images")) == 4


def test_a_database_whose_making_was_cut_off_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes its tables in many steps, and cannot go on from half of them."""
    from mlflow.store.tracking import sqlalchemy_store

    def dies(uri: str, root: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", dies)
    with pytest.raises(KeyboardInterrupt):
        make_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert not list(tmp_path.iterdir())


def test_a_database_that_was_deleted_or_exchanged_voids_the_ledger(place: Place, empty_database: Path) -> None:
    """MLflow keeps connections to the old file, so what a new process would see is looked at in the ledger."""
    place.log(suite())
    for exchanged in (False, True):
        for file in place.folder.glob("mlflow.db*"):
            file.unlink()
        for file in empty_database.glob("mlflow.db*") if exchanged else ():
            shutil.copy(file, place.folder)
        ledger = Ledger(place.ledger, place.uri, "suite")
        ledger.load()
        assert not ledger.runs


def test_runs_that_were_deleted_in_the_page_come_back_with_sync(place: Place) -> None:
    place.log(suite())
    for run in place.runs():
        place.client.delete_run(run.info.run_id)
    summary = sync(suite(), place.uri, place.ledger, place.report)
    assert (summary.logged, summary.pending) == (9, 0)
    assert len(place.runs()) == 9


def test_a_server_that_is_down_delays_logging_and_fails_nothing(place: Place) -> None:
    records = suite()
    tracker = place.tracker(records, NOWHERE, patience=2.0)
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9 does not.*--tracking-uri"):
        tracker.check()
    tracker.start()
    started = time.monotonic()
    tracker.log(records.trainings[0], records.evaluations[:2])
    assert time.monotonic() - started < 1.0
    told: list[tuple[int, int]] = []
    summary = tracker.finish(records, place.report, lambda done, total: told.append((done, total)))
    assert time.monotonic() - started < 30.0
    assert (summary.logged, summary.pending) == (0, 9)
    assert "9 not logged" in str(summary)
    assert "\n" not in str(summary)
    assert told[-1] == (0, 9)

    later = sync(records, place.uri, place.ledger, place.report)
    assert (later.logged, later.pending, later.problem) == (9, 0, "")


def test_a_server_that_comes_back_gets_everything(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, original = iter(range(100)), Server.open

    def fails_twice(self: Server) -> str:
        if next(opened) < 2:
            raise ConnectionError("nobody there")
        return original(self)

    monkeypatch.setattr(Server, "open", fails_twice)
    assert "9 runs logged" in place.log(suite())
    assert len(place.runs()) == 9


def test_failures_are_failed_runs_with_their_error_and_recover(place: Place) -> None:
    fine, broken = trained(0), trained(1, status="diverged", error="loss is nan", metrics={}, history=())
    bad = evaluated(fine, "euler", 4, status="oom", error="no memory", metrics={}, nfe=None)
    lost = evaluated(broken, "euler", 2, status="diverged", error="training: loss is nan", metrics={})
    absent = evaluated(fine, "heun", 2, status="missing", metrics={}, nfe=None)
    place.log(suite_of([fine, broken], [evaluated(fine, "euler", 2), bad, absent, lost]))
    runs = {run.info.run_name: run for run in place.runs()}
    assert len(runs) == 5
    assert runs["euler"].data.tags["fmbench.seeds"] == "0"
    assert runs["seed=1"].info.status == runs["euler | seed=0"].info.status == "FAILED"
    assert runs["seed=1"].data.tags["fmbench.error"] == "diverged: loss is nan"
    assert runs["euler | seed=0"].data.tags["fmbench.error"] == "nfe=4: oom: no memory"
    assert runs["euler | seed=0"].data.tags["fmbench.status"] == "oom"
    assert place.history(runs["euler | seed=0"], "fid") == [(2, 5.0)]

    place.log(suite_of([fine], [evaluated(fine, "euler", nfe) for nfe in (2, 4)]))
    run = next(run for run in place.runs("evaluation") if run.info.run_name == "euler | seed=0")
    assert run.info.status == "FINISHED"
    assert run.data.tags["fmbench.status"] == "ok"
    assert "fmbench.error" not in run.data.tags
    assert place.history(run, "fid") == [(2, 5.0), (4, 2.5)]


def test_odd_names_long_values_and_numbers_that_are_none_are_logged(place: Place) -> None:
    odd = component("path", "Bézier/π ☃", text="x" * 10_000, nested={"a b": [1, None]}, none=None)
    training = trained(0, odd, metrics={"../loss (best)": float("nan"), "a/b": float("inf")})
    cell = evaluated(training, "euler", 2, metrics={"größe/a": 1.0, "x" * 400: 2.0})
    records = suite_of([training], [cell, evaluated(training, "adaptive☃", None)], "größe / ☃ 'q' #1?")
    assert "6 runs logged" in place.log(records)
    (run,) = place.runs("training", records.suite)
    assert run.data.params["path"] == "Bézier/π ☃"
    assert len(run.data.params["path.text"]) == 6000
    assert run.data.params["path.nested.a b"] == "[1,null]"
    assert np.isnan(next(value for name, value in run.data.metrics.items() if "best" in name))
    adaptive = next(r for r in place.runs("evaluation", records.suite) if "adaptive" in r.info.run_name)
    assert place.history(adaptive, "fid") == [(26, 10 / 26.4)]
    assert adaptive.data.params["grid"] == "adaptive"
    place.ledger.unlink()
    assert "0 runs logged, 6 unchanged" in place.log(records)


def test_what_a_suite_says_of_itself_marks_up_no_page_of_mlflows(place: Place) -> None:
    nasty = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) ![pixel](http://127.0.0.1:9/)"
    records = dataclasses.replace(suite(), description=nasty, command=f"fmbench run ``` {nasty}")
    tracker = Tracker(place.uri, "suite", place.ledger, nasty)
    tracker.start()
    assert tracker.finish(records, None).pending == 0
    experiment = place.client.get_experiment_by_name("suite")
    (summary,) = place.runs("summary")
    assert experiment is not None
    shown = "&lt;img src=x onerror=alert(1)&gt; \\[a\\](javascript:alert(1)) !\\[pixel\\](http://127.0.0.1:9/)"
    assert shown in experiment.tags["mlflow.note.content"].split("\n\n")
    head, _, rest = summary.data.tags["mlflow.note.content"].partition("\n\n")
    assert head == shown
    assert rest.startswith("````bash\nfmbench run ``` <img")


def test_a_session_with_nothing_to_log_imports_no_mlflow(place: Place) -> None:
    place.log(suite())
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_tracking as t; "
        "f = Path(sys.argv[2]); p = t.Place(f, f / 'ledger' / 'suite.json', f / 'report'); "
        "print(p.log(t.suite()), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(place.folder)]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=paths)
    assert done.stdout.strip().endswith("0 runs logged, 9 unchanged False"), done.stdout


def test_a_tracker_at_rest_writes_nothing_and_afterwards_everything_once(place: Place) -> None:
    records = suite()
    tracker = place.tracker(records)
    tracker.start()
    with tracker.at_rest():
        tracker.log_all(records)
        assert not place.client.get_experiment_by_name("suite")
        assert not place.ledger.exists()
    assert tracker.drain()
    assert len(place.runs()) == 8
    summary = tracker.finish(records, place.report)
    assert (summary.logged, summary.pending) == (9, 0)
    assert len(place.runs()) == 9
    assert max(place.everything().values()) == 1


def test_a_tracker_opened_ahead_finds_the_experiment_before_there_is_a_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbench.tracking.background_writer.START", 0.0)
    tracker = place.tracker(suite())
    tracker.start()
    tracker.open_ahead()
    until = time.monotonic() + 60
    while not place.ledger.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert place.client.get_experiment_by_name("suite") is not None
    assert not place.runs()
    assert tracker.finish(suite(), place.report).logged == 9


def test_two_trackers_of_one_suite_make_each_run_once(place: Place) -> None:
    records = suite()
    trackers = [place.tracker(records) for _ in range(2)]
    for tracker in trackers:
        tracker.start()
        for training in records.trainings:
            tracker.log(training, [r for r in records.evaluations if r.cell.training is training.cell])
    for tracker in trackers:
        assert tracker.finish(records, place.report).pending == 0
    assert len(place.runs()) == 9


def many() -> Records:
    """Five trainings, each sampled with four solvers: 25 cells, a run each."""
    trainings = [trained(seed) for seed in range(5)]
    return suite_of(trainings, [evaluated(t, f"solver{i}", 4) for t in trainings for i in range(4)])


def test_an_experiment_of_many_pages_is_read_to_its_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server returns so many runs at once; whoever reads the first page alone makes the rest again."""
    place.log(many())
    place.ledger.unlink()
    monkeypatch.setattr("fmbench.tracking.known_runs.PAGE", 4)
    assert "0 runs logged, 30 unchanged" in place.log(many())
    assert len(place.runs()) == 30


def test_two_stores_that_log_to_one_database_at_once_make_each_run_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each store has a ledger of its own, so that neither knows what the other has logged."""
    monkeypatch.setattr("fmbench.tracking.background_writer.TURN", 0.1)  # so that they take turns
    records = many()
    ledgers = [place.folder / name / "suite.json" for name in ("one", "two")]
    trackers = [dataclasses.replace(place, ledger=ledger).tracker(records) for ledger in ledgers]
    for tracker in trackers:
        tracker.start()
        tracker.log_all(records)
    assert all(tracker.drain() for tracker in trackers)
    assert len(place.runs()) == 29
    assert len({run.data.tags["fmbench.cell"] for run in place.runs()}) == 29
    summaries = [tracker.finish(records, place.report) for tracker in trackers]
    assert [summary.pending for summary in summaries] == [0, 0]
    assert len(place.runs()) == 30
    assert max(place.everything().values()) == 1


def test_on_a_server_which_has_no_lock_a_run_is_looked_for_right_after_it_is_made(place: Place) -> None:
    servers = [Server(place.uri, "suite") for _ in range(2)]
    (content,) = Tracker(place.uri, "suite", place.ledger)._runs(suite_of([trained()], []))
    for server in servers:
        server.open()
        assert server.find("another cell", None) is None  # so that it has read all runs there are
    ids = {server.write(content, {}, None, None).run_id for server in servers}
    assert len(ids) == len(place.runs()) == 1


def test_of_runs_that_were_made_twice_the_older_goes_on_and_the_other_is_marked(place: Place) -> None:
    records = suite_of([trained()], [])
    server = Server(place.uri, "suite")
    server.open()
    tags = {"fmbench.cell": records.trainings[0].cell.key, "fmbench.kind": "training"}
    ids = [
        place.client.create_run(server.experiment, start_time=start, tags=tags, run_name="n").info.run_id
        for start in (2000, 1000)
    ]
    assert "not logged" not in place.log(records)
    runs = {run.info.run_id: run for run in place.runs("training")}
    double, older = (runs[run_id] for run_id in ids)
    assert older.data.metrics["validation_loss"] == 0.5
    assert not double.data.metrics
    assert double.data.tags["fmbench.superseded"] == f"double of {older.info.run_id}"
    assert double.info.run_name == f"n (double {double.info.run_id[:6]})"
    assert server.find(tags["fmbench.cell"], double.info.run_id) == older.info.run_id


def test_a_run_with_changes_has_a_summary_of_its_own_and_leaves_the_suites(place: Place, pictures: Path) -> None:
    place.log(suite(samples=pictures))
    views = place.client.get_experiment_by_name("suite").tags  # type: ignore[union-attr]
    (first,) = place.runs("summary")
    page = place.folder / "mlartifacts" / "suite" / first.info.run_id / "artifacts" / "report" / "index.html"
    assert page.read_text() == "<p>page</p>"

    (place.report / "index.html").write_text("<p>of the variant</p>")
    some = suite((2,), pictures)
    for variant in ("--set training.steps=20", "--filter nfe=2", "--set training.steps=20"):
        assert "not logged" not in place.log(
            dataclasses.replace(some, evaluations=some.evaluations[:1], variant=variant)
        )
    summaries = {run.data.tags["fmbench.variant"]: run for run in place.runs("summary")}
    assert set(summaries) == {"the suite as it stands", "--set training.steps=20", "--filter nfe=2"}
    assert summaries["--filter nfe=2"].info.run_name == "summary (--filter nfe=2)"
    again = summaries["the suite as it stands"]
    assert (again.data.tags, again.data.metrics) == (first.data.tags, first.data.metrics)
    assert page.read_text() == "<p>page</p>"
    assert place.client.get_experiment_by_name("suite").tags == views  # type: ignore[union-attr]

    place.log(dataclasses.replace(some, suite="new", variant="--filter nfe=2"))
    assert set(ui_links(place.uri, "http://x")["new"]) == VIEWS


def test_code_that_changed_gets_new_runs_and_the_older_ones_leave_the_views_until_it_is_back(place: Place) -> None:
    def of_code(text: str) -> Records:
        record = evaluated(trained(), "euler", 4)
        solver = dataclasses.replace(record.cell.solver, fingerprint=text)
        return suite_of(
            [trained()], [dataclasses.replace(record, cell=dataclasses.replace(record.cell, solver=solver))]
        )

    def shown_in_views() -> list[str]:
        experiment = place.client.get_experiment_by_name("suite")
        assert experiment is not None
        where = json.loads(experiment.tags[next(key for key in experiment.tags if "by-solver" in key)])
        found = place.client.search_runs([experiment.experiment_id], json.loads(where["state"])["searchFilter"])
        return [run.data.params["evaluation.code"] for run in found]

    codes = {}
    for text in ("old", "new", "old", "old", "new"):
        assert "not logged" not in place.log(of_code(text))
        assert shown_in_views() == [codes.setdefault(text, shown_in_views()[0])]
    assert codes["old"] != codes["new"]
    runs = {run.data.tags["fmbench.fingerprint.solver"]: run for run in place.runs("evaluation")}
    assert runs["new"].info.run_name == "euler | seed=0"
    assert runs["old"].info.run_name == f"euler | seed=0 (superseded {runs['old'].info.run_id[:6]})"
    assert runs["old"].data.tags["fmbench.superseded"] == f"by {runs['new'].info.run_id}"
    assert runs["old"].data.params["evaluation.code"] != runs["new"].data.params["evaluation.code"]
    assert runs["old"].data.params["training.code"] == runs["new"].data.params["training.code"]
    assert [run.data.tags["fmbench.superseded"] for run in place.runs("training")] == ["no"]
    assert max(place.everything().values()) == 1


def files_below(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ["a%20b", "x?y #1 'é' \"100%\""])
def test_a_copied_project_of_any_name_writes_beside_itself_and_not_into_its_original(
    place: Place, pictures: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    place.log(suite((2,), pictures))
    folder = tmp_path_factory.mktemp("around") / name
    shutil.copytree(place.folder, folder)
    before = files_below(place.folder)
    copy = Place(folder, folder / "ledger" / "suite.json", folder / "report")
    assert "7 runs logged, 2 unchanged" in copy.log(suite((2, 4), pictures))
    assert files_below(place.folder) == before
    for run in copy.runs():
        place_of_run = folder / "mlartifacts" / "suite" / run.info.run_id / "artifacts"
        assert run.info.artifact_uri == place_of_run.as_uri()
    pictured = [folder / "mlartifacts" / "suite" / run.info.run_id for run in copy.runs("evaluation")]
    assert {len(list(run.rglob("*.png"))) for run in pictured} == {2}
    assert [entry.name for entry in folder.parent.iterdir()] == [name]

    follow_a_move(copy.uri)
    assert ui_command(copy.uri, 5001).folder == folder
    shutil.move(folder, folder.with_name("moved"))
    follow_a_move(sqlite_uri(folder.with_name("moved") / "mlflow.db"))
    moved = dataclasses.replace(copy, folder=folder.with_name("moved"))
    assert all(f"/{moved.folder.name}/mlartifacts/suite/" in run.info.artifact_uri for run in moved.runs())


def test_artifacts_that_never_lay_beside_the_database_stay_where_they_are(place: Place, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere" / "suite").as_uri()
    place.client.create_experiment("suite", artifact_location=elsewhere)
    for _ in range(2):
        place.log(suite((2,)))
        assert all(run.info.artifact_uri.startswith(elsewhere) for run in place.runs())
        place.ledger.unlink()


def test_a_damaged_ledger_is_an_empty_one(place: Place) -> None:
    place.log(suite())
    for text in ("", "{", "[]", json.dumps({"version": 1, "uri": place.uri, "suite": "suite"})):
        place.ledger.write_text(text)
        assert "0 runs logged, 9 unchanged" in place.log(suite())


def test_links_lead_to_views_that_the_database_holds(place: Place, pictures: Path) -> None:
    assert ui_links(place.uri, "http://127.0.0.1:5000") == {}
    place.log(suite(samples=pictures))
    links = ui_links(place.uri, "http://127.0.0.1:5000/")["suite"]
    assert set(links) == VIEWS
    tags = place.client.get_experiment_by_name("suite").tags  # type: ignore[union-attr]
    for name in VIEWS - {"runs"}:
        key = links[name].partition("viewStateShareKey=")[2].partition("&")[0]
        envelope = json.loads(tags[f"mlflow.sharedViewState.{key}"])
        view = json.loads(envelope["state"])
        assert envelope["name"] == name
        assert len(tags[f"mlflow.sharedViewState.{key}"]) < 5000
        section = {section["uuid"] for section in view["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == section
        where = view["searchFilter"]
        assert place.client.search_runs([links[name].split("/")[5].partition("?")[0]], where)


@pytest.mark.parametrize("text", ["not a database" * 100, None])
def test_a_database_that_cannot_be_written_is_one_clear_message(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text(text) if text else file.mkdir()
    tracker = Tracker(f"sqlite:///{file}", "suite", tmp_path / "ledger.json", patience=0.5)
    with pytest.raises(TrackingError, match="must be a sqlite file that can be written"):
        tracker.check()
    tracker.start()
    summary = tracker.finish(suite(), None)
    assert summary.pending == 9
    assert summary.problem


def test_the_uri_is_the_given_one_then_the_environments_then_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000/")
    assert resolve_uri(None, tmp_path) == "http://server:5000"
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("sqlite:///a/b.db", tmp_path) == f"sqlite:///{tmp_path}/a/b.db"
    assert resolve_uri("databricks", tmp_path) == "databricks"
    for bad in ("mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///:memory:", "sqlite:///a?b.db"):
        with pytest.raises(TrackingError, match="sqlite:///"):
            resolve_uri(bad, tmp_path)


def test_the_page_is_served_to_this_machine_alone_with_one_worker(tmp_path: Path) -> None:
    command, environment, folder = ui_command(resolve_uri(f"sqlite:///{tmp_path}/mlflow.db", tmp_path), 5001)
    assert (folder, environment["MLFLOW_BACKEND_STORE_URI"]) == (tmp_path, "sqlite:///mlflow.db")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    with pytest.raises(TrackingError, match="is a server"):
        ui_command("http://server:5000", 5001)


def test_names_settings_and_curves() -> None:
    assert metric_name("fid (a)") == "fid _a_"
    assert metric_name("a/b") == "a/b"
    for odd in ("/a", "../a", "a//b", "a/./b", "a/../b"):
        assert "/" not in metric_name(odd)
        assert ".." not in metric_name(odd)
    assert len(metric_name("x" * 999)) < NAME_LENGTH
    assert flat("t", {"a": {"b": 1}, "c": True, "d": "text"}) == {"t.a.b": "1", "t.c": "true", "t.d": "text"}
    curve = [(step, float(step)) for step in range(1, 1001)]
    assert len(thinned(curve, 200)) == 200
    assert thinned(curve, 200)[-1] == curve[-1]
    assert thinned(curve[:3], 200) == curve[:3]
    assert varying_axes({"datasets": ["a", "b"], "training": {"paths": ["a"]}}) == {"dataset"}
    assert varying_axes({}) is None


def test_the_best_configuration_is_the_best_mean_over_all_seeds() -> None:
    facts = MetricFacts("fid", "lower", "", "evaluation", "fid")
    trainings = [trained(0), trained(1)]
    cells = [evaluated(t, "euler", 2, metrics={"fid": fid}) for t, fid in zip(trainings, (1.0, 3.0), strict=True)]
    cells += [evaluated(trainings[0], "heun", 2, metrics={"fid": 0.1}), evaluated(trainings[1], "heun", 2, metrics={})]
    (value, words) = best(cells, facts)["digits", 2]
    assert value == 2.0
    assert "euler" in words


def test_pictures_have_the_same_names_each_time_and_other_data_have_none(tmp_path: Path, pictures: Path) -> None:
    image = picture_of(pictures)
    assert image is not None
    assert image.shape[0] == image.shape[1] <= 256
    flat_file, points = tmp_path / "flat.safetensors", tmp_path / "points.safetensors"
    save_file({"samples": np.zeros((4, 5), "float32")}, flat_file)
    save_file({"samples": np.eye(2, dtype="float32")}, points)
    assert picture_of(flat_file) is None
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        parts = [Part(str(i), "ok", step=i, samples=file) for i, file in enumerate((pictures, points, flat_file))]
        assert write_pictures(parts, tmp_path / folder, 7) == 2
    names = [{file.name for file in (tmp_path / folder).iterdir()} for folder in ("a", "b")]
    assert names[0] == names[1]
    assert len(names[0]) == 4


def test_points_are_drawn_where_they_are() -> None:
    drawn = (scatter(np.array([[0.9, 0.9], [np.nan, 0.0]])) != 255).any(axis=-1)
    rows, columns = np.nonzero(drawn)
    assert rows.max() < 128 < columns.min()


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("HTTPConnectionPool(...: [Errno 111] Connection refused'))", "[Errno 111] Connection refused"),
        ("[Errno 30] Read-only file system: '/x/mlflow.db'", "[Errno 30] Read-only file system"),
    ],
)
def test_a_reason_is_what_the_system_said(text: str, short: str) -> None:
    assert reason(OSError(text)) == short


def test_only_a_server_is_to_be_started() -> None:
    assert NEXT_STEP.startswith("Start it, or name another with --tracking-uri")
    assert NEXT_FILE.startswith("Name another with --tracking-uri")
