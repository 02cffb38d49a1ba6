"""Runs of configurations, and the views that show them: means over seeds, one dataset a view, all runs or said so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_tracking import Place, component, evaluated, suite, suite_of, trained

from fmbench.results.records import Records
from fmbench.stats.paired_seeds import interval
from fmbench.tracking import Tracker
from fmbench.tracking.run_content import RunContent
from fmbench.tracking.view_state import LOADED, PREFIX
from fmbench.tracking.views import MOST_VIEWS, views


def contents(records: Records) -> list[RunContent]:
    """Return the runs of a suite, as they would be written."""
    tracker = Tracker("sqlite:///none.db", records.suite, Path("none"), settings=records.settings)
    return tracker._runs(records)


def configurations(records: Records) -> list[RunContent]:
    return [content for content in contents(records) if content.kind == "configuration"]


def points(content: RunContent) -> dict[tuple[str, int], float]:
    return {(v.name, v.step): v.value for part in content.parts.values() for v in part.points}


def test_a_configuration_has_the_mean_of_its_seeds_with_its_interval_at_each_nfe() -> None:
    trainings = [trained(seed) for seed in range(3)]
    records = suite_of(trainings, [evaluated(t, "euler", nfe) for t in trainings for nfe in (2, 4)])
    (euler,) = configurations(records)
    for nfe in (2, 4):
        known = interval([10 / nfe + seed for seed in range(3)])
        found = points(euler)
        assert found["fid", nfe] == pytest.approx(known.mean)
        assert (found["fid_low", nfe], found["fid_high", nfe]) == pytest.approx((known.low, known.high))
        assert found["fid_n", nfe] == 3
    tables = {v.table for part in euler.parts.values() for v in part.values if v.table}
    assert tables == {
        "fid_nfe2",
        "fid_nfe4",
        "validation_loss",
    }  # what tables compare
    assert euler.params["solver"] == "euler"
    assert "seed" not in euler.params
    assert euler.tags["fmbench.seeds"] == "0, 1, 2"
    assert euler.name == "euler"


def test_a_lost_seed_and_what_is_no_number_do_not_count() -> None:
    trainings = [trained(seed) for seed in range(3)]
    cells = [evaluated(t, "euler", 4) for t in trainings]
    cells[1] = dataclasses.replace(cells[1], metrics={"fid": float("nan")})
    cells[2] = dataclasses.replace(cells[2], status="oom", error="no memory", metrics={})
    (euler,) = configurations(suite_of(trainings, cells))
    assert points(euler)["fid", 4] == 2.5
    assert points(euler)["fid_n", 4] == 1
    assert ("fid_low", 4) not in points(euler)  # one seed has no interval
    (nothing,) = configurations(suite_of(trainings[:1], [dataclasses.replace(cells[2], cell=cells[0].cell)]))
    assert [part.status for part in nothing.parts.values() if part.nfe == 4] == ["oom"]


def test_whatever_is_new_makes_another_run_of_the_same_configuration() -> None:
    def of(seeds: Sequence[int], nfes: Sequence[int], variant: str = "") -> RunContent:
        trainings = [trained(seed) for seed in seeds]
        records = suite_of(trainings, [evaluated(t, "euler", nfe) for t in trainings for nfe in nfes])
        (found,) = configurations(dataclasses.replace(records, variant=variant))
        return found

    first, again = of((0, 1), (2,)), of((0, 1), (2,))
    assert first.cell == again.cell
    changed = [of((0, 1, 2), (2,)), of((0, 1), (2, 4)), of((0,), (2,))]
    assert len({first.cell, *(each.cell for each in changed)}) == 4
    identity = "fmbench.configuration"
    assert {each.tags[identity] for each in changed} == {first.tags[identity]}
    assert of((0, 1), (2,), "--filter nfe=2").tags[identity] != first.tags[identity]  # leaves the suite's own alone


def of_solvers(count: int, datasets: Sequence[str] = ("digits",), paths: Sequence[str] = ("linear",)) -> Records:
    """Return a suite of so many configurations a dataset and path, with one seed."""
    trainings = []
    for dataset in datasets:
        for path in paths:
            record = trained(0, component("path", path))
            cell = dataclasses.replace(record.cell, dataset=component("dataset", dataset))
            trainings.append(dataclasses.replace(record, cell=cell))
    return suite_of(trainings, [evaluated(t, f"solver{i}", 4) for t in trainings for i in range(count)])


def test_each_dataset_has_views_of_its_own_and_no_chart_averages_two() -> None:
    records = of_solvers(2, ("digits", "rings's"), ("linear", "cosine"))
    found = views(records, contents(records))
    assert [view.name for view in found[:3]] == [
        "digits: fid against NFE, by solver",
        "digits: table of scores",
        "digits: fid against NFE, by path",
    ]
    for view in found:
        assert ("'digits'" in view.search) != ("LIKE 'rings_s'" in view.search)
        assert "`fmbench.superseded` = 'no'" in view.search
        assert len(view.text(0)) < 5000
    assert len({view.key for view in found}) == len(found) <= MOST_VIEWS


def test_more_runs_than_the_page_draws_are_split_into_views_or_the_view_says_what_it_leaves_out() -> None:
    solvers = LOADED * 3 // 4
    records = of_solvers(solvers, paths=("linear", "cosine"))
    by_solver = [view for view in views(records, contents(records)) if view.group == "solver"]
    assert [view.name for view in by_solver] == [
        "fid against NFE, by solver (path linear)",
        "fid against NFE, by solver (path cosine)",
    ]
    for view, path in zip(by_solver, ("linear", "cosine"), strict=True):
        assert f"params.`path` = '{path}'" in view.search
    table = next(view for view in views(records, contents(records)) if not view.as_charts)
    assert table.name == f"table of scores (the best {LOADED} of {2 * solvers}; the page loads more)"

    many = of_solvers(LOADED + 1)
    assert views(many, contents(many))[0].name == f"fid against NFE, by solver (the best {LOADED} of {LOADED + 1})"


def test_a_view_says_over_what_its_lines_are_means_if_only_one_of_them_is() -> None:
    trainings = [trained(0, component("path", path)) for path in ("linear", "cosine")]
    cells = [evaluated(trainings[0], solver, 4) for solver in ("euler", "heun")] + [evaluated(trainings[1], "euler", 4)]
    records = suite_of(trainings, cells)
    by_solver = next(view for view in views(records, contents(records)) if view.group == "solver")
    assert by_solver.title == "Mean over seed, path"


def test_what_the_suite_has_no_more_leaves_the_views_and_comes_back(place: Place) -> None:
    def current() -> set[str]:
        return {
            run.data.params["solver"]
            for run in place.runs("configuration")
            if run.data.tags["fmbench.superseded"] == "no"
        }

    whole = suite()
    fewer = dataclasses.replace(whole, evaluations=[r for r in whole.evaluations if str(r.cell.solver) == "euler"])
    for records, solvers in ((whole, {"euler", "heun"}), (fewer, {"euler"}), (whole, {"euler", "heun"})):
        assert "not logged" not in place.log(records)
        assert current() == solvers
    place.log(dataclasses.replace(fewer, variant="--filter solver=euler"))
    assert current() == {"euler", "heun"}
    assert len(place.runs("evaluation")) == 4


def test_views_and_notes_that_somebody_changed_stay_and_stale_ones_go(place: Place) -> None:
    place.log(suite())
    client, name = place.client, "suite"
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    number = experiment.experiment_id
    ours = sorted(key for key in experiment.tags if key.startswith(f"{PREFIX}fmbench-"))
    client.set_experiment_tag(number, f"{PREFIX}own", json.dumps({"name": "mine", "createdAt": 1, "state": "{}"}))
    client.set_experiment_tag(number, "mlflow.note.content", "my note")
    client.set_experiment_tag(number, ours[0], "changed")
    place.log(suite((2, 4, 8)))
    tags = client.get_experiment(number).tags
    assert (tags["mlflow.note.content"], tags[ours[0]]) == ("my note", "changed")
    assert f"{PREFIX}own" in tags
    several = dataclasses.replace(of_solvers(2, paths=("linear", "cosine")), suite=name)
    place.log(several)
    place.log(suite())
    tags = client.get_experiment(number).tags
    left = {json.loads(text)["name"] for key, text in tags.items() if PREFIX in key and text != "changed"}
    assert "fid against NFE, by path" not in left
    assert "mine" in left


def test_a_run_says_how_it_was_made_and_leads_to_the_report_and_its_seeds(place: Place) -> None:
    records = suite()
    about = {"command": "fmbench run s.yaml", "report": "reports/s/index.html", "data": {"digits": "8x8"}}
    tracker = place.tracker(records, **about)
    tracker.start()
    assert tracker.finish(records, place.report).pending == 0
    experiment = place.client.get_experiment_by_name("suite")
    assert experiment is not None
    for run in place.runs("evaluation"):
        note = run.data.tags["mlflow.note.content"]
        keys = {r.cell.key for r in records.evaluations if r.cell.key in note}
        assert len(keys) == 2
        assert "\nfmbench run s.yaml\n" in note
        assert "Report: reports/s/index.html" in note
        assert f"#/experiments/{experiment.experiment_id}/runs?searchFilter=" in note
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.name == "digits"
        assert json.loads(used.dataset.source)["reads"] == "8x8"
    for run in place.runs("configuration"):
        seeds = place.client.search_runs(
            [experiment.experiment_id],
            f"tags.`fmbench.seeds_of` = '{run.data.tags['fmbench.seeds_of']}' AND tags.`fmbench.kind` = 'evaluation'",
        )
        assert {seed.data.params["seed"] for seed in seeds} == {"0", "1"}
    assert tracker.links().runs.keys() >= {r.cell.key for r in records.evaluations}
