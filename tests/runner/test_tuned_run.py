"""A suite with settings as axes and choices on validation data, from YAML to the report, and again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fmbench.history import make_night
from fmbench.regression import check, read_baseline, snapshot, write_baseline
from fmbench.results.records import COLUMNS, COMPONENT_AXES
from fmbench.runner.progress import Silent
from fmbench.runner.run import RunResult, run_session
from fmbench.runner.session import Options, Session, open_session
from fmbench.runner.why import explain_cell
from fmbench.tracking.run_names import training_name, varying_axes

SUITE = """
name: rates
datasets: [{moons: {size: 400}}]
training:
  paths: [linear, cosine]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1]
  steps: [8, 16]
  batch_size: 16
  optimizer: [{adamw: {lr: 1e-3}}, {adamw: {lr: 1e-2}}]
evaluation: {solvers: [euler, heun], nfe: [2], samples: 40, metrics: [sliced_wasserstein, validation_loss]}
tune: {axes: [optimizer], at: {solver: euler}}
baseline: {path: linear, optimizer: {adamw: {lr: 0.01}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rates")
    (folder / "rates.yaml").write_text(SUITE)
    return folder


def session_of(folder: Path, *overrides: str) -> Session:
    options = Options(home=folder / "store", reports=folder / "reports", jobs="1", tracking=False, overrides=overrides)
    return open_session(folder / "rates.yaml", options)


@pytest.fixture(scope="module")
def result(folder: Path) -> RunResult:
    return run_session(session_of(folder), Silent())


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def test_the_scores_that_choose_stand_apart(result: RunResult, folder: Path) -> None:
    assert not result.records.failed
    assert result.computed["training"] == 16
    assert result.computed["evaluation"] == 16 * 3
    report = result.report.parent
    assert len(rows_of(report / "records.csv")) == 32
    chosen = rows_of(report / "validation.csv")
    assert len(chosen) == 16
    assert sum(row["chosen"] == "True" for row in chosen) == 8, "two seeds of each path with each number of steps"
    assert not {row["key"] for row in chosen} & {row["key"] for row in rows_of(report / "records.csv")}
    assert "Each at its own best" in dict(result.in_short)
    groups = {(row["path"], row["steps"]) for row in chosen if row["chosen"] == "True"}
    assert len(groups) == 4


def test_settings_with_several_values_have_columns_and_others_none(result: RunResult) -> None:
    columns = list(result.records.frame().columns)
    assert columns[: len(COMPONENT_AXES) + 3] == [*COMPONENT_AXES, "optimizer", "steps", "seed"]
    assert [name for name in columns if name in COLUMNS] == list(COLUMNS)
    assert not {"schedule", "batch_size", "ema"} & set(columns)


def test_again_nothing_is_computed(result: RunResult, folder: Path) -> None:
    again = run_session(session_of(folder), Silent())
    assert not again.computed
    assert not again.fresh_report


def test_another_metric_chooses_without_training(result: RunResult, folder: Path) -> None:
    other = run_session(session_of(folder, "tune.metric=validation_loss"), Silent())
    assert other.computed == {"evaluation": 16}
    assert all(record.metrics.keys() == {"validation_loss"} for record in other.records.validation)
    said = dict(other.in_short)["Each at its own best"]
    assert "by sliced_wasserstein" in said or "its sliced_wasserstein" in said, "losses of two paths are not compared"


def test_tuning_a_suite_keeps_what_was_computed(result: RunResult, folder: Path) -> None:
    plain = session_of(folder, "tune=null")
    counts = plain.results_index().counts()
    assert counts["trainings"]["todo"] == counts["evaluations"]["todo"] == 0
    assert counts["evaluations"]["total"] == 32


def test_why_knows_the_cells(result: RunResult, folder: Path) -> None:
    session = session_of(folder)
    (first, *_) = result.records.validation
    found = explain_cell(session, first.cell.key)
    assert found["verdict"].startswith("computed")
    assert "optimizer=adamw(lr=0.001) steps=8" in found["cell"]
    assert found["cell"].endswith("split=validation")


def test_baselines_and_histories_name_settings(result: RunResult, folder: Path) -> None:
    night = snapshot(result.records)
    assert len(night.evaluations) == 32
    write_baseline(night, folder / "baseline.json")
    read = read_baseline(folder / "baseline.json", "rates")
    assert read.evaluations.keys() == night.evaluations.keys()
    assert check(read, night).exit_code == 0
    axes = {label for (group, _), _ in night.trainings.items() for label in group}
    assert {"adamw(lr=0.001)", "adamw(lr=0.01)", "8", "16"} <= axes
    assert night.components["optimizer"]["adamw(lr=0.01)"]["lr"] == 0.01
    groups = {value.group for value in make_night(result.records).values}
    assert {group[6] for group in groups} == {"adamw(lr=0.001)", "adamw(lr=0.01)"}


def test_mlflow_runs_are_named_by_settings(result: RunResult, folder: Path) -> None:
    axes = varying_axes(session_of(folder).suite.settings())
    assert axes is not None
    assert {"path", "optimizer", "steps"} <= axes
    cell = result.records.trainings[0].cell
    assert training_name(cell, axes) == "linear optimizer=adamw(lr=0.001) steps=8 seed=0"
