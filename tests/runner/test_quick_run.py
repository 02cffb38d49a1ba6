"""`--quick` cuts a suite's budget: other keys, another name, folder and experiment, and every place says so."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from command_line import fmbench
from helpers import SMOKE

import fmbench as public
from fmbench.runner.session import Options, Session, open_session

SUITE = SMOKE.replace("steps: 20", "steps: 2000\n  seeds: [0, 1]").replace("samples: 50", "samples: 5000")
ODD = SUITE.replace("steps: 2000", "steps: [100, 2000]\n  schedule: [{cosine: {warmup: 60}}, constant]")
ODD = ODD.replace("nfe: [1, 2]", "nfe: [1, 2], at_steps: [70, end], noise_draws: 2")
PLACES = ("--no-tracking", "--jobs", "1")


def opened(folder: Path, suite: str, **options: object) -> Session:
    (folder / "tiny.yaml").write_text(suite)
    return open_session(folder / "tiny.yaml", Options(home=folder / "store", **options))  # type: ignore[arg-type]


def test_no_cell_of_it_is_one_of_the_suite(tmp_path: Path) -> None:
    whole, quick = opened(tmp_path, SUITE), opened(tmp_path, SUITE, quick=True)
    assert {cell.key for cell in whole.plan.trainings}.isdisjoint(cell.key for cell in quick.plan.trainings)
    assert set(whole.plan.evaluations.keys()).isdisjoint(quick.plan.evaluations.keys())
    (training,) = quick.plan.trainings
    assert (training.seed, training.settings["steps"]) == (0, 50)
    assert {cell.settings["samples"] for cell in quick.plan.evaluations} == {200}
    assert quick.report_folder != whole.report_folder
    assert quick.variant == "--quick"


def test_what_is_there_of_schedules_and_steps_is_cut_too(tmp_path: Path) -> None:
    quick = opened(tmp_path, ODD, quick=True)
    assert {cell.settings["steps"] for cell in quick.plan.trainings} == {50}
    assert {cell.settings["schedule"]["name"] for cell in quick.plan.trainings} == {"cosine", "constant"}
    assert all(cell.at_step is None for cell in quick.plan.evaluations)


def test_a_smaller_budget_stays(tmp_path: Path) -> None:
    quick = opened(tmp_path, SMOKE, quick=True)
    assert (quick.suite.training.steps, quick.suite.evaluation.samples) == ((20,), 50)


@pytest.mark.parametrize("verb", ["run", "retry", "plan", "status", "why", "report", "sync"])
def test_commands_that_are_suggested_repeat_it(tmp_path: Path, verb: str) -> None:
    assert "--quick" in shlex.split(opened(tmp_path, SUITE, quick=True).again(verb))
    assert "--quick" in fmbench(verb, "-h", cwd=tmp_path).stdout


def test_every_place_says_that_it_is_not_comparable(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    done = fmbench("run", "tiny.yaml", "--quick", *PLACES, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = "Quick run, not comparable: 50 steps, 200 samples, one seed"
    assert said in done.stdout
    folder = tmp_path / "reports" / "tiny-quick"
    assert not (tmp_path / "reports" / "tiny").exists()
    for name in ("index.html", "table.md", "records.csv"):
        assert said in (folder / name).read_text(), name
    again = json.loads(fmbench("run", "tiny.yaml", "--quick", "--json", *PLACES, cwd=tmp_path).stdout)
    assert (again["computed"], again["not_comparable"], again["suite"]) == ({}, said, "tiny-quick")
    read = public.load_results(folder)
    assert read.not_comparable == said
    assert said in read._repr_html_()
    assert read.metrics == ["sliced_wasserstein"]
    plan = json.loads(fmbench("plan", "tiny.yaml", "--json", cwd=tmp_path).stdout)
    assert plan["counts"]["trainings"]["done"] == 0, "nothing of it counts for the suite"
