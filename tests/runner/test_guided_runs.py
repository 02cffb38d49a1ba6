"""A suite under guidance of every form is run, reported, compared and logged; numbers stand in tables as they did."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import pytest

from fmbench.cells.component_spec import ComponentSpec
from fmbench.history.night import make_night
from fmbench.history.selection import _choice
from fmbench.plan.selection import choice_test
from fmbench.report.result_table import make_result_tables
from fmbench.results.snapshot import snapshot
from fmbench.runner.run import RunResult, run
from fmbench.runner.session import Options, open_session
from fmbench.runner.why import explain_cell
from fmbench.store.store import Store
from fmbench.tracking.run_names import evaluation_name
from fmbench.tracking.run_params import evaluation_params

pytestmark = pytest.mark.slow

SUITE = """
name: guided
datasets: [gaussian_mixture]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  steps: 30
  class_conditional: true
evaluation:
  solvers: [euler]
  guidance:
    - 1
    - 3
    - interval: {weight: 3, start: 0.2, end: 0.4}
    - autoguidance: {weight: 2, model: {steps: 10}}
  nfe: [4]
  samples: 100
  metrics: [sliced_wasserstein]
baseline: {guidance: {interval: {weight: 3}}}
"""
LABELS = ["1.0", "3.0", "interval(weight=3, end=0.4)", "autoguidance(weight=2, steps=10)"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guided")


@pytest.fixture(scope="module")
def result(folder: Path) -> RunResult:
    (folder / "suite.yaml").write_text(SUITE)
    with contextlib.chdir(folder):
        return run("suite.yaml", Options(tracking=False))


def test_the_weaker_model_is_trained_and_everything_is_evaluated_once(folder: Path, result: RunResult) -> None:
    assert result.computed == {"training": 2, "evaluation": 4, "floor": 1, "oracle": 1}
    assert not result.records.failed
    with contextlib.chdir(folder):
        assert run("suite.yaml", Options(tracking=False)).computed == {}


def test_tables_show_numbers_as_ever_and_components_by_their_labels(folder: Path, result: RunResult) -> None:
    rows = list(csv.DictReader((folder / "reports/guided/records.csv").read_text().splitlines()))
    assert [row["guidance"] for row in rows] == LABELS
    assert {row["nfe"] for row in rows} == {"4.0"}
    (table,) = make_result_tables(result.records)
    assert [row[-1] for row in table.rows()] == ["1", "3", *LABELS[2:]]
    assert len(table.trainings) == 1
    assert len(next(iter(table.trainings.values()))) == 1, "the weaker model is no seed of the same training"


def test_the_model_that_is_guided_is_what_a_night_compares(result: RunResult) -> None:
    found = snapshot(result.records)
    assert len(found.trainings) == 1
    assert found.settings["training"]["steps"] == 30
    assert {group[-2] for group, _ in found.evaluations} == {"1", "3", *LABELS[2:]}
    assert found.components["guidance"][LABELS[2]] == {"weight": 3.0, "start": 0.2, "end": 0.4}
    night = make_night(result.records)
    assert choice_test("interval", "guidance")(_choice("guidance", LABELS[2], night.components["guidance"]))
    assert choice_test("3", "guidance")(_choice("guidance", "3", night.components["guidance"]))
    assert not choice_test("interval", "guidance")(_choice("guidance", "3", night.components["guidance"]))


def test_parameters_of_guidance_are_logged_flat(result: RunResult) -> None:
    number, _, interval, guided = (record.cell for record in result.records.evaluations)
    assert {k: v for k, v in evaluation_params(number).items() if "guidance" in k} == {"guidance": "1.0"}
    assert {k: v for k, v in evaluation_params(interval).items() if "guidance" in k} == {
        "guidance": "interval",
        "guidance.weight": "3.0",
        "guidance.start": "0.2",
        "guidance.end": "0.4",
    }
    assert evaluation_params(guided)["guidance.model.steps"] == "10"
    assert evaluation_name(interval, frozenset()).startswith(f"euler guidance={LABELS[2]}")
    assert isinstance(guided.guidance, ComponentSpec)


def test_a_failed_weaker_model_fails_the_evaluations_that_ask_it(folder: Path, result: RunResult) -> None:
    store, guided = Store(folder / ".fmbench"), result.records.evaluations[3].cell
    assert guided.weaker is not None
    with contextlib.chdir(folder):
        for section, key in (("training", guided.weaker.key), ("evaluation", guided.key)):
            store.folder(section, key).remove()
        store.folder("training", guided.weaker.key).fail("diverged", "the loss is nan")
        again = run("suite.yaml", Options(tracking=False))
        assert {record.cell.key for record in again.records.failed} == {guided.weaker.key, guided.key}
        assert "its weaker model" in again.records.evaluations[3].error
        assert "the loss is nan" in again.records.evaluations[3].error
        told = explain_cell(open_session("suite.yaml"), guided.key)
        assert "its weaker model" in told["failures"][0]["error"]
        assert run("suite.yaml", Options(tracking=False, overrides=("name=again",))).computed == {}
