"""Results in Python and notebooks: a frame, a selection by axes, tables, figures; from a run, a store or a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers import SMOKE

import fmbench
from fmbench.results.records import TrainingRecord

SUITE = SMOKE.replace("[linear]", "[linear, cosine]").replace("steps: 20", "steps: 20\n  seeds: [0, 1]")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> fmbench.Options:
    folder = tmp_path_factory.mktemp("results")
    (folder / "tiny.yaml").write_text(SUITE)
    return fmbench.Options(home=folder / "store", reports=folder / "reports", tracking=False, jobs="1")


@pytest.fixture(scope="module")
def result(options: fmbench.Options) -> fmbench.RunResult:
    return fmbench.run(options.reports.parent / "tiny.yaml", options)


@pytest.fixture(scope="module")
def of_store(result: fmbench.RunResult, options: fmbench.Options) -> fmbench.Results:
    return fmbench.load_results(options.reports.parent / "tiny.yaml", options)


@pytest.fixture(scope="module")
def of_report(result: fmbench.RunResult) -> fmbench.Results:
    return fmbench.load_results(result.report.parent)


def test_a_run_a_store_and_a_report_give_the_same_frame(
    result: fmbench.RunResult, of_store: fmbench.Results, of_report: fmbench.Results
) -> None:
    frame = result.to_frame()
    assert len(frame) == 12
    for other in (of_store.to_frame(), of_report.to_frame()):
        assert list(other.columns) == list(frame.columns)
        assert (other["key"] == frame["key"]).all()
        assert (other["sliced_wasserstein"] == frame["sliced_wasserstein"]).all()
    assert {each.name for each in (result, of_store, of_report)} == {"tiny"}
    assert str(result) == str(of_report) == "tiny: 12 of 12 evaluations, metrics sliced_wasserstein"


@pytest.mark.parametrize("source", ["of_store", "of_report"])
def test_axes_select(source: str, request: pytest.FixtureRequest) -> None:
    results: fmbench.Results = request.getfixturevalue(source)
    some = results.select(path="cosine", nfe=2, seed=[0, 1]).to_frame()
    assert {*some["path"]} == {"cosine"}
    assert {*some["nfe_budget"]} == {2}
    assert len(some) == 4
    assert len(results.select(network="mlp").to_frame()) == 12, "a name means all its parameters"
    assert len(results.select(solver=["euler", "heun"]).to_frame()) == 12
    with pytest.raises(fmbench.UserError, match=r"no axis 'pth'\. Did you mean 'path'\?"):
        results.select(pth="cosine")
    with pytest.raises(fmbench.UserError, match=r"no result has the nfe 3\. There are: 1, 2\."):
        results.select(nfe=[2, 3])


def test_a_table_shows_the_best_first_and_is_html_in_a_notebook(of_store: fmbench.Results) -> None:
    (table,) = of_store.tables()
    assert table.columns == ("NFE 1", "NFE 2")
    assert any(entry.best for entry in table.lines[0].entries)
    html = of_store._repr_html_()
    assert html.count("<tr>") == 1 + len(table.lines)
    assert "<strong>" in html
    (narrow,) = of_store.select(path="cosine", nfe=2).tables()
    assert narrow.columns == ("NFE 2",)
    assert {line.labels[0] for line in narrow.lines} - {"euler", "heun"} <= {"real data", "real data (n = 50)"}


def test_of_a_report_that_says_nothing_of_comparing_nothing_is_best(
    of_report: fmbench.Results, of_store: fmbench.Results
) -> None:
    (table,), (whole,) = of_report.tables(), of_store.tables()
    assert not any(entry.best or entry.tied for line in table.lines for entry in line.entries)
    values = {line.labels: [(e.value, e.spread) for e in line.entries] for line in whole.lines}
    assert all(values[line.labels] == [(e.value, e.spread) for e in line.entries] for line in table.lines)


@pytest.mark.parametrize("source", ["of_store", "of_report"])
def test_a_figure_shows_means_and_intervals(source: str, request: pytest.FixtureRequest) -> None:
    results: fmbench.Results = request.getfixturevalue(source)
    figure = results.figure("sliced_wasserstein")
    (panel,) = figure.axes
    frame = results.to_frame()
    chosen = frame[(frame["path"] == "linear") & (frame["solver"] == "euler")]
    means = chosen.groupby("nfe_budget")["sliced_wasserstein"].mean()
    drawn = {each.get_label(): each for each in panel.containers}["linear, euler"][0].get_ydata()
    assert list(drawn) == pytest.approx(list(means))
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(fmbench.UserError, match=r"no result has the metric 'fid'\. .*There are: sliced_wasserstein\."):
        results.figure("fid")


def test_texts_of_suites_are_escaped(of_store: fmbench.Results) -> None:
    assert of_store.records is not None
    records = [_renamed(record, "<script>") for record in of_store.records.trainings]
    cells = {record.cell.key: record.cell for record in records}
    evaluations = [
        replace(each, cell=replace(each.cell, training=_renamed_cell(each.cell.training, "<script>")))
        for each in of_store.records.evaluations
    ]
    html = fmbench.Results(replace(of_store.records, trainings=records, evaluations=evaluations))._repr_html_()
    assert len(cells) == 4
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def _renamed(record: TrainingRecord, label: str) -> TrainingRecord:
    return replace(record, cell=_renamed_cell(record.cell, label))


def _renamed_cell(cell: object, label: str) -> object:
    return replace(cell, path=replace(cell.path, label=f"{label}{cell.path}"))  # type: ignore[attr-defined, type-var]


def test_a_place_without_results_is_said(tmp_path: Path) -> None:
    with pytest.raises(fmbench.UserError, match="holds no records\\.csv"):
        fmbench.load_results(tmp_path)
    (tmp_path / "records.csv").write_text("a,b\n1,2\n")
    with pytest.raises(fmbench.UserError, match="lacks the columns seed, nfe_budget, status, key"):
        fmbench.load_results(tmp_path)
    with pytest.raises(fmbench.UserError, match=r"nowhere\.yaml"):
        fmbench.load_results("nowhere.yaml")
