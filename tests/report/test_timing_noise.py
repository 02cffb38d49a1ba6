"""Times of a busy machine are no facts: measured once more, and if still unsteady neither drawn nor judged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_report import MS, Factory, small, written

from fmbench.report.analysis.curves import make_curves
from fmbench.report.analysis.pareto_front import find_fronts
from fmbench.report.analysis.timing_noise import FALLS, WIDE, steadiness
from fmbench.report.result_table import SOLVER_AXIS, make_result_tables
from fmbench.results.cell_state import unsteady
from fmbench.results.records import EvaluationRecord
from fmbench.store.cell_folder import CellFolder
from fmbench.store.sampler_timings import Measured, falling

IQR = dataclasses.replace(MS, name="sample_ms_iqr", better="")


def timed(folder: Path, **times: tuple[float, float]) -> Factory:
    """Return the factory of a report in which "SOLVER_NFE" took so many milliseconds, with such a spread."""

    def change(record: EvaluationRecord) -> EvaluationRecord:
        usual = (0.05 * (record.cell.nfe or 1), 0.0)
        time, spread = times.get(f"{record.cell.solver}_{record.cell.nfe}", usual)
        return dataclasses.replace(record, metrics={**record.metrics, "sample_ms": time, "sample_ms_iqr": spread})

    factory = small(folder, paths=("linear",), nfe=(1, 2, 4, 8), solvers=("euler", "heun"), change=change)
    return dataclasses.replace(factory, metrics=(*factory.metrics, IQR))


@pytest.mark.parametrize(
    ("times", "contradict"),
    [
        ({1: (1.0, 0.1), 2: (2.0, 0.1), 4: (4.0, 0.1)}, set()),
        ({1: (1.0, 0.1), 2: (0.97, 0.1), 4: (4.0, 0.1)}, set()),
        ({1: (0.38, 0), 2: (0.13, 0), 4: (1.34, 0), 8: (0.30, 0)}, {1, 4}),
        ({1: (9.0, 0.1), 2: (2.0, 0.1), 4: (4.0, 0.1), 8: (8.0, 0.1)}, {1}),
        ({1: (1.0, 0.1), 2: (2.0, 0.1), 4: (0.5, 0.1), 8: (8.0, 0.1)}, {4}),
    ],
)
def test_the_fewest_times_that_contradict_the_others_are_named(
    times: dict[int, tuple[float, float]], contradict: set[int]
) -> None:
    assert falling({nfe: Measured(*found) for nfe, found in times.items()}) == contradict


def test_an_unsteady_time_is_left_out_and_the_others_count(tmp_path: Path) -> None:
    (result_table,) = make_result_tables(timed(tmp_path, euler_1=(0.05, 0.02)).records())
    found = steadiness(result_table, MS)
    assert {(row[SOLVER_AXIS], nfe): why for (row, nfe), why in found.unsteady.items()} == {("euler", 1): WIDE}
    assert not found.hidden
    curves, _ = make_curves(result_table, result_table.metrics[0])
    assert curves.clock == MS
    times = {(row[SOLVER_AXIS], point.nfe): point.time for row, points in curves.rows.items() for point in points}
    assert times["euler", 1] is None
    assert times["euler", 2] == pytest.approx(0.1)
    assert times["heun", 2] == pytest.approx(0.1)
    fronts = find_fronts(result_table)
    assert fronts is not None
    assert all(place[0].budget != 1 for place in fronts.by_time.places)
    assert any(place[0].budget == 1 for place in fronts.by_nfe.places)


def test_where_many_are_unsteady_no_time_is_drawn_or_judged_and_the_report_says_why(tmp_path: Path) -> None:
    factory = timed(tmp_path, euler_1=(0.38, 0.05), euler_2=(0.13, 0.02), euler_4=(1.34, 2.2), euler_8=(0.3, 0.05))
    (result_table,) = make_result_tables(factory.records())
    assert set(steadiness(result_table, MS).unsteady.values()) == {WIDE, FALLS}
    assert steadiness(result_table, MS).hidden
    fronts = find_fronts(result_table)
    assert fronts is not None
    assert fronts.clock is None
    assert make_curves(result_table, result_table.metrics[0])[0].clock is None, "of which figures are made"
    folder = written(factory, tmp_path)
    table = (folder / "table.md").read_text()
    assert "no figure shows times, and nothing is judged by them" in table
    assert "1.340 ± 1.100" in table, "the times themselves stand in their table, with their spread"
    assert "no figure shows times" in (folder / "index.html").read_text()


def test_times_that_are_steady_need_no_word(tmp_path: Path) -> None:
    assert "nsteady" not in (written(timed(tmp_path), tmp_path) / "table.md").read_text()


def test_what_is_measured_once_more_is_what_reports_would_leave_out(tmp_path: Path) -> None:
    factory = timed(tmp_path, euler_1=(0.38, 0.05), euler_2=(0.13, 0.02), euler_4=(1.34, 2.2), heun_2=(9.0, 0.1))
    (result_table,) = make_result_tables(factory.records())
    expected = {("euler", 1), ("euler", 4), ("heun", 2)}
    assert {(row[SOLVER_AXIS], nfe) for row, nfe in steadiness(result_table, MS).unsteady} == expected
    stored = []
    for record in (records[0] for records in result_table.cells.values()):
        folder = CellFolder(tmp_path / "sampler" / record.cell.key)
        entry = {"name": "sample_ms", "values": record.metrics, "identity": {}, "seconds": 0.0}
        folder.add_metrics({"sample_ms": entry})
        stored.append((record.cell, folder))
    assert {(str(cell.solver), cell.nfe) for cell in unsteady(stored)} == expected
