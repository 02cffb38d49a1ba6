"""Weights over the course of a training, from the suite to tables, figures and MLflow, and what a store keeps of it."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import context

from fmbench.cells.snapshots import WeightsSnapshot
from fmbench.executors.messages import Event
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import TrainTask
from fmbench.plan.fleet_composition import shorter_trainings
from fmbench.report.build import write_report
from fmbench.report.text.headline import in_short
from fmbench.results.records import Records
from fmbench.results.training_starts import Continuations, how_it_begins, trainings_in_short
from fmbench.results.unused_cells import find_unused
from fmbench.runner.progress import Silent
from fmbench.runner.run import RunResult, run
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, Session, open_session
from fmbench.runner.why import explain_cell
from fmbench.store.merge import merge
from fmbench.store.snapshots import WEIGHTS_FILE, snapshot_folder
from fmbench.store.store import Store
from fmbench.tracking.cell_runs import Common, evaluation_contents
from fmbench.training import loop
from fmbench.training.courses import course_of

SUITE: dict[str, Any] = {
    "name": "course",
    "datasets": [{"moons": {"size": 200}}],
    "training": {
        "paths": ["linear", "cosine"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "seeds": [0, 1],
        "steps": 40,
        "batch_size": 16,
        "optimizer": {"adam": {"lr": 0.01}},
        "ema": 0.9,
    },
    "evaluation": {
        "solvers": ["euler"],
        "nfe": [2, 4],
        "samples": 60,
        "metrics": ["sliced_wasserstein", "train_seconds"],
        "at_steps": [10, 20, "end"],
        "floor": False,
        "oracle": False,
    },
}


def options(folder: Path) -> Options:
    return Options(home=folder / "store", reports=folder / "reports", tracking=False, jobs="1")


def written(folder: Path, training: dict[str, Any] | None = None, evaluation: dict[str, Any] | None = None) -> Path:
    """Write the suite with some of its training and evaluation replaced; None takes a key away."""
    sections = {"training": training or {}, "evaluation": evaluation or {}}
    changed = {
        name: {key: value for key, value in {**SUITE[name], **own}.items() if value is not None}
        for name, own in sections.items()
    }
    file = folder / "suite.yaml"
    file.write_text(yaml.safe_dump({**SUITE, **changed}))
    return file


def session_of(folder: Path, **changes: Any) -> Session:
    return open_session(written(folder, **changes), options(folder))


def computed(session: Session) -> dict[str, int]:
    """Compute what the store lacks of a suite, without its report; return how many units were, by section."""
    return Scheduler(session, session.results_index(), Silent(), None).run()


def records_of(session: Session) -> Records:
    return session.records(session.results_index())


def training_files(folder: Path) -> dict[str, bytes]:
    names = (WEIGHTS_FILE, "history.json")
    return {
        f"{p.parent.name} {p.name}": p.read_bytes() for p in (folder / "store/training").rglob("*") if p.name in names
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("course")
    return folder, run(written(folder), options(folder))


@pytest.fixture
def folder(first: tuple[Path, RunResult], tmp_path: Path) -> Path:
    """A copy of what the suite's run left, to be changed."""
    shutil.copytree(first[0] / "store", tmp_path / "store")
    return tmp_path


def test_each_step_is_scored_and_its_time_is_known(first: tuple[Path, RunResult]) -> None:
    _, result = first
    frame = result.records.frame()
    assert set(frame["status"]) == {"ok"}
    assert sorted(frame["at_step"].unique()) == [10, 20, 40]
    assert len(frame) == 4 * 3 * 2
    for _, rows in frame.groupby(["path", "seed"]):
        seconds = rows.groupby("at_step")["training_seconds"].first()
        assert list(seconds) == sorted(seconds)
        assert rows.groupby("at_step")["sliced_wasserstein"].first().nunique() == 3
        ends = rows[rows["at_step"] == 40]
        assert (ends["train_seconds"] == ends["training_seconds"]).all()
    assert frame[frame["at_step"] < 40]["train_seconds"].isna().all()  # that is the whole training's


def test_the_same_cells_without_steps_are_computed_already(first: tuple[Path, RunResult]) -> None:
    folder, result = first
    plain = open_session(written(folder, evaluation={"at_steps": None}), options(folder))
    found = plain.results_index(anywhere=True)
    assert found.counts()["trainings"]["todo"] == found.counts()["evaluations"]["todo"] == 0
    frame = plain.records(found).frame()
    assert not {"at_step", "training_seconds"} & set(frame.columns)
    ends = result.records.frame().query("at_step == 40")
    assert dict(zip(frame["key"], frame["sliced_wasserstein"], strict=True)) == dict(
        zip(ends["key"], ends["sliced_wasserstein"], strict=True)
    )


def test_tables_compare_the_last_step_and_a_figure_shows_the_course(
    first: tuple[Path, RunResult], tmp_path: Path
) -> None:
    folder, result = first
    report = folder / "reports" / "course"
    assert write_report(result.records, tmp_path, figures=True)
    assert (tmp_path / "score_over_training.png").exists()
    text = (report / "table.md").read_text()
    course = text[text.index("over the training") :]
    assert "| step 10 | step 20 | step 40 |" in course
    by_nfe = text[text.index("by NFE") : text.index("over the training")]
    last = result.records.frame().query("at_step == 40 and nfe_budget == 4 and path == 'linear'")["sliced_wasserstein"]
    line = next(line for line in by_nfe.splitlines() if line.startswith("| linear |"))
    shown = float(line.split("|")[3].split("±")[0].strip(" *†"))
    assert shown == pytest.approx(last.mean(), abs=0.001)
    assert "n = 2 seeds" in by_nfe


def test_a_suite_of_steps_alone_shows_the_last_of_them(first: tuple[Path, RunResult], tmp_path: Path) -> None:
    shutil.copytree(first[0] / "store", tmp_path / "store")
    result = run(
        written(tmp_path, evaluation={"at_steps": [10, 20], "metrics": ["sliced_wasserstein"]}), options(tmp_path)
    )
    assert {record.cell.at_step for record in result.records.last_steps.evaluations} == {20}
    assert "| step 10 | step 20 |" in (tmp_path / "reports/course/table.md").read_text()


def test_an_evaluation_that_fails_on_the_way_is_told(first: tuple[Path, RunResult], tmp_path: Path) -> None:
    records = first[1].records
    lost = next(record for record in records.evaluations if record.cell.at_step == 10)
    others = [record for record in records.evaluations if record is not lost]
    failed = replace(lost, status="error", error="no such", metrics={}, facts={})
    records = replace(records, evaluations=[*others, failed])
    write_report(records, tmp_path)
    assert r"at\_step=10" in (tmp_path / "table.md").read_text().partition("## Failed cells")[2]
    assert "1 failed" in (tmp_path / "index.html").read_text()
    assert "1 of 24 evaluations have no result" in dict(in_short(records).lines)["Not known"]


def test_mlflow_has_a_run_for_each_step(first: tuple[Path, RunResult]) -> None:
    _, result = first
    training = result.records.trainings[0]
    own = [r for r in result.records.evaluations if r.cell.training.key == training.cell.key]
    contents = list(evaluation_contents(training, own, Common("course", frozenset())))
    assert [content.params.get("at_step") for content in contents] == ["10", "20", None]
    assert len({content.cell for content in contents}) == 3
    assert "ema at step 10" in contents[0].name
    assert all(len(content.parts) == 2 for content in contents)


def test_more_steps_train_as_far_as_they_need(folder: Path) -> None:
    before = training_files(folder)
    session = session_of(folder, evaluation={"at_steps": [10, 15, 25, "end"]})
    index = session.results_index(anywhere=True)
    assert index.counts()["trainings"] == {"total": 4, "done": 0, "failed": 0, "todo": 4}
    assert trainings_in_short(index) == [
        "4 finished trainings will be trained again up to step 25, for weights on the way that the store lacks; the "
        "last weights stay."
    ]
    verdict = explain_cell(session, session.plan.trainings[0].key)["verdict"]
    assert (
        "the store lacks the weights of step 15, the weights of step 25, so it is trained again up to step 25"
        in verdict
    )
    assert computed(session) == {"training": 4, "evaluation": 16}
    assert training_files(folder) == before
    assert computed(session) == {}


def test_a_damaged_snapshot_is_said_and_made_again(folder: Path) -> None:
    session = session_of(folder)
    cell = session.plan.trainings[0]
    file = snapshot_folder(session.store, cell.key, WeightsSnapshot("step", 10)).path / WEIGHTS_FILE
    intact = file.read_bytes()
    file.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    index = session.results_index(anywhere=True)
    assert [text for text in index.damaged if str(file) in text]
    assert how_it_begins(index, cell).endswith("trained again up to step 10; its last weights stay")
    assert computed(session) == {"training": 1}
    assert file.read_bytes() == intact


def test_best_weights_and_averages_come_later_too(folder: Path) -> None:
    before = training_files(folder)
    weights = ["ema", "best", {"post_hoc_ema": {"length": 0.1}}]
    session = session_of(folder, training={"post_hoc_ema": True}, evaluation={"weights": weights, "at_steps": None})
    computed(session)
    frame = records_of(session).frame()
    assert set(frame["status"]) == {"ok"}
    assert set(frame["weights"]) == {"ema", "best", "post_hoc_ema(length=0.1)"}
    assert training_files(folder) == before
    assert computed(session) == {}


def test_clean_keeps_what_the_suite_asks_for_and_removes_the_rest(folder: Path) -> None:
    store = Store(folder / "store")
    session = session_of(folder)
    assert not find_unused(store, [(session.plan, session.registry)]).cells
    fewer = session_of(folder, evaluation={"at_steps": [20, "end"]})
    unused = find_unused(store, [(fewer.plan, fewer.registry)])
    assert {cell.section for cell in unused.cells} == {"snapshot", "evaluation"}
    unused.remove()
    index = fewer.results_index(anywhere=True)
    assert index.counts()["evaluations"]["todo"] == index.counts()["trainings"]["todo"] == 0


def test_snapshots_travel_with_a_merge(folder: Path, tmp_path: Path) -> None:
    into = Store(tmp_path / "other")
    merged = merge([Store(folder / "store")], into)
    assert {cell.outcome for cell in merged.cells} == {"copied"}
    session = open_session(written(folder), Options(home=tmp_path / "other"))
    index = session.results_index(anywhere=True)
    assert index.counts()["trainings"]["todo"] == index.counts()["evaluations"]["todo"] == 0
    assert {cell.outcome for cell in merge([Store(folder / "store")], into).cells} == {"there"}


def test_a_longer_training_goes_on_from_a_shorter_one(folder: Path) -> None:
    short = {"steps": 20, "keep_state": True}
    computed(session_of(folder, training=short, evaluation={"at_steps": None}))
    session = session_of(folder, training={"steps": 60}, evaluation={"at_steps": None})
    index = session.results_index(anywhere=True)
    assert trainings_in_short(index) == ["4 trainings will continue shorter ones, from step 20."]
    assert (
        explain_cell(session, session.plan.trainings[0].key)["begins"] == "it continues a shorter training from step 20"
    )
    computed(session)
    assert {record.facts["continued"] for record in records_of(session).trainings} == {20}
    other = Store(folder / "merged")
    merge([Store(folder / "store")], other)
    course = session.plan.trainings[0].course_key
    assert other.folder("course", course).checkpoints.steps() == [20]
    unused = find_unused(Store(folder / "store"), [(session.plan, session.registry)])
    assert "course" not in {cell.section for cell in unused.cells}
    never = session_of(folder, training={"steps": 60, "keep_state": False}, evaluation={"at_steps": None})
    unused = find_unused(Store(folder / "store"), [(never.plan, never.registry)])
    assert "course" in {cell.section for cell in unused.cells}


def test_a_plan_promises_no_more_than_a_training_can_go_on_from(tmp_path: Path) -> None:
    few = {"paths": ["linear"], "seeds": [0], "keep_state": True}
    session = session_of(tmp_path, training={**few, "steps": [10, 20]}, evaluation={"at_steps": None})
    short = session.plan.trainings[0]
    computed(session)
    at_steps = {step: {"at_steps": [step, "end"]} for step in (5, 10, 15, 20, 25)}
    sessions = {
        step: session_of(tmp_path, training={**few, "steps": 30}, evaluation=own) for step, own in at_steps.items()
    }
    begins = {
        step: Continuations(each.results_index(anywhere=True)).step(each.plan.trainings[0])
        for step, each in sessions.items()
    }
    assert begins == {5: 0, 10: 10, 15: 10, 20: 20, 25: 20}
    shop = context(tmp_path, session.registry)
    assert {step: course_of(each.plan.trainings[0], shop).first for step, each in sessions.items()} == begins
    shop.store.folder("training", short.key).discard()
    shop.store.folder("course", short.course_key).discard()
    shop.store.folder("training", short.key).fail("failed", "it does not work")
    both = session_of(tmp_path, training={**few, "steps": [10, 30]}, evaluation={"at_steps": None})
    assert trainings_in_short(both.results_index(anywhere=True)) == []


def test_of_several_lengths_the_shorter_go_first(tmp_path: Path) -> None:
    session = session_of(tmp_path, training={"steps": [30, 10, 20]}, evaluation={"at_steps": [10, "end"]})
    plan = session.plan
    assert {cell.settings["steps"]: cell.kept.state for cell in plan.trainings} == {10: True, 20: True, 30: "auto"}
    shorter = shorter_trainings(plan.trainings)
    by_key = {cell.key: cell.settings["steps"] for cell in plan.trainings}
    assert {(by_key[key], by_key[other]) for key, other in shorter.items()} == {(20, 10), (30, 20)}
    computed(session)
    records = records_of(session)
    assert not records.failed
    assert {r.cell.settings["steps"]: r.facts["continued"] for r in records.trainings} == {10: 0, 20: 10, 30: 20}
    assert {(c.training.settings["steps"], c.at_step) for c in plan.evaluations} == {
        (10, None),
        (20, 10),
        (20, None),
        (30, 10),
        (30, None),
    }
    rows = records.frame().groupby(["path", "seed", "nfe_budget", "at_step"])["sliced_wasserstein"]
    assert (rows.nunique()[:, :, :, 10] == 1).all()  # step 10 of all is the end of the shortest
    assert math.isfinite(rows.mean().iloc[0])


def test_a_training_that_fails_when_it_is_trained_again_keeps_what_it_had(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations of its last weights are computed; those of weights on the way say what is lacking, until retry."""
    before = training_files(folder)
    few = {"paths": ["linear"], "seeds": [0]}
    session = session_of(folder, training=few, evaluation={"at_steps": [30, "end"], "nfe": [8]})
    (cell,) = session.plan.trainings

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no more")

    said: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_steps", fails)
        Computer(context(folder, session.registry), said.append)(TrainTask((cell,)))
    assert said[-1].what == "failed"
    index = session.results_index(anywhere=True)
    assert not index.failed(cell)
    assert not index.trainings[cell.key].is_untrained
    assert training_files(folder) == before
    computed(session)
    found = {record.cell.at_step: (record.status, record.error) for record in records_of(session).evaluations}
    assert found[None] == ("ok", "")
    assert found[30][0] == "error"
    assert "the weights of step 30" in found[30][1]
    assert session.clear_failures() == 2
    computed(session)
    assert {record.status for record in records_of(session).evaluations} == {"ok"}
    assert training_files(folder) == before
