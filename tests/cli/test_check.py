"""`fmbench check` from the command line: its exit codes, its files and what it says first."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers import TINY
from typer.testing import CliRunner, Result

from fmbench.cli import check
from fmbench.cli.app import app
from fmbench.errors import UserError
from fmbench.history import history_file, read
from fmbench.regression import read_baseline, write_baseline

PLUGIN = '''
import fmbench

FACTOR = 1.0

class Mine(fmbench.Solver):
    """Euler's method, and its result times a factor."""

    nfe_per_step = 1
    order = 1

    def integrate(self, velocity, x_0, times):
        x = x_0
        for t, t_next in zip(times[:-1], times[1:]):
            x = x + (t_next - t) * velocity(x, t.expand(len(x)))
        return FACTOR * x

@fmbench.hookimpl
def fmbench_solvers():
    return {"mine": Mine}
'''


class Place:
    """A folder with the suite, a solver of its own, a store and a baseline."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.baseline = folder / "reports" / "baselines" / "tiny.json"

    def write(self, suite: str = TINY, plugin: str = PLUGIN) -> None:
        (self.folder / "tiny.yaml").write_text(suite)
        (self.folder / "mine.py").write_text(plugin)

    def check(self, *arguments: str) -> Result:
        places = ["--plugins", str(self.folder / "mine.py"), "--home", str(self.folder / "store")]
        places += ["--reports", str(self.folder / "reports"), "--jobs", "1", "--no-tracking"]
        return CliRunner().invoke(app, ["check", str(self.folder / "tiny.yaml"), *places, *arguments])

    def data(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.check("--json", *arguments).stdout)
        return found


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny suite was run and accepted."""
    place = Place(tmp_path_factory.mktemp("check"))
    place.write()
    result = place.check("--accept")
    assert result.exit_code == 0, result.output
    assert "3 trainings and 12 evaluations" in result.stdout
    return place.folder


@pytest.fixture
def place(accepted: Path, tmp_path: Path) -> Place:
    shutil.copytree(accepted, tmp_path / "copy")
    return Place(tmp_path / "copy")


def test_nothing_changed_is_nothing_worse(place: Place) -> None:
    result = place.check("--no-run")
    assert result.exit_code == 0, result.output
    assert "Nothing got worse" in result.stdout
    data = place.data("--no-run")
    assert data["exit_code"] == 0
    assert {c["verdict"] for c in data["comparisons"]} == {"same"}


def test_a_solver_made_worse_is_computed_again_and_named_first(place: Place) -> None:
    place.write(plugin=PLUGIN.replace("FACTOR = 1.0", "FACTOR = 5.0"))
    report = place.folder / "junit.xml"
    result = place.check("--junit", str(report))
    assert result.exit_code == 1, result.output
    first = next(line for line in result.stdout.splitlines() if line.strip())
    assert first.startswith("WORSE: sliced_wasserstein of solver mine")
    failed = ElementTree.parse(report).findall(".//testcase[failure]")
    assert "solver mine" in {case.attrib["name"] for case in failed}


def first_line(result: Result) -> str:
    return next(line for line in result.stdout.splitlines() if line.strip())


def test_a_score_that_got_better_by_changed_code_is_said_first_and_strict_alarms(place: Place) -> None:
    place.write(plugin=PLUGIN.replace("FACTOR = 1.0", "FACTOR = 5.0"))
    assert place.check("--accept").exit_code == 0
    place.write()
    result = place.check()
    assert result.exit_code == 0, result.output
    assert first_line(result).startswith("BETTER: sliced_wasserstein of solver mine")
    said = " ".join(result.stdout.split())
    assert "the samples of solver mine came out differently, and no others" in said
    assert "code has changed: solver mine" in said
    assert "CHANGED: the code of solver mine: sliced_wasserstein" in said
    assert "but not all is as it was" in said
    report = place.folder / "junit.xml"
    strict = place.check("--no-run", "--strict", "--junit", str(report))
    assert strict.exit_code == 1, strict.output
    assert ElementTree.parse(report).findall(".//failure[@type='better']")


def test_changed_code_whose_scores_did_not_move_is_said_and_no_alarm(place: Place) -> None:
    place.write(plugin=PLUGIN.replace("x = x_0\n", "x = 1.0 * x_0\n"))
    result = place.check("--strict")
    assert result.exit_code == 0, result.output
    said = "CHANGED: the code of solver mine: its scores are the same to the last bit"
    assert first_line(result).startswith(said)
    before = read_baseline(place.baseline, "tiny")
    assert set(before.code["training code"]) >= {"fmbench.training.loop", "fmbench.training.optimizers"}
    write_baseline(dataclasses.replace(before, code={}), place.baseline)
    older = place.check("--no-run")
    assert older.exit_code == 0
    assert "which code the baseline was made with is not known" in older.stdout
    assert "CHANGED" not in older.stdout


def test_nothing_is_computed_where_it_is_asked_for_not_to_be(place: Place) -> None:
    place.write(suite=TINY.replace("nfe: [2, 4]", "nfe: [2, 4, 8]"), plugin=PLUGIN.replace("1.0", "0.9"))
    data = place.data("--no-run")
    assert data["exit_code"] == 1
    assert {event["what"] for event in data["events"]} == {"vanished", "not compared"}
    assert all("not computed" in event["reason"] for event in data["events"])
    assert all(("nfe", "8") in event["axes"].items() for event in data["events"] if event["what"] == "not compared")
    empty = place.check("--no-run", "--home", str(place.folder / "empty"))
    assert isinstance(empty.exception, UserError)
    assert "it holds nothing" in str(empty.exception)


def test_a_filtered_night_is_compared_as_far_as_it_goes(place: Place) -> None:
    data = place.data("--no-run", "--filter", "solver=euler")
    assert data["exit_code"] == 0
    assert data["counts"]["not compared"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "nowhere.json"], "there is no baseline nowhere.json"),
        (["--effect", "5"], "--effect must be between 0 and 1"),
        (["--slower", "0.9"], "--slower is a ratio above 1"),
        (["--slower", "inf"], "--slower is a ratio above 1"),
        (["--junit", "."], "--junit names a file"),
        (["--junit", ""], "--junit names a file"),
        (["--baseline", "."], "--baseline names a file"),
        (["--accept", "--baseline", ""], "--baseline names a file"),
        (["--junit", "/dev/null/j.xml"], "--junit /dev/null/j.xml: its folder cannot be written"),
        (["--accept", "--filter", "solver=euler"], "--accept takes the whole suite"),
    ],
)
def test_a_mistake_is_said_before_anything_runs(place: Place, arguments: list[str], message: str) -> None:
    error = place.check(*arguments).exception
    assert isinstance(error, UserError)
    assert message in str(error)


def test_other_settings_cannot_be_compared_and_exit_with_2(place: Place) -> None:
    before = read_baseline(place.baseline, "tiny")
    settings = {**before.settings, "training": {**before.settings["training"], "steps": 19}}
    write_baseline(dataclasses.replace(before, settings=settings), place.baseline)
    result = place.check("--no-run")
    assert result.exit_code == 2, result.output
    assert "training.steps is 19 in the baseline and 20 tonight" in result.stderr


def test_a_failed_cell_is_a_regression_and_accepted_only_loudly(place: Place) -> None:
    place.write(plugin=PLUGIN.replace("x = x_0\n", "raise ValueError('broken on purpose')\n"))
    result = place.check()
    assert result.exit_code == 1
    assert "failed: seeds 0, 1, 2 of moons" in result.stdout
    assert "broken on purpose" in result.stdout
    again = place.check("--accept")
    assert again.exit_code == 1
    assert "6 cells are not ok" in again.stderr
    assert place.data("--no-run")["counts"]["still failing"] == 2


def test_a_damaged_baseline_is_refused_before_the_run(place: Place) -> None:
    place.baseline.write_text(place.baseline.read_text().replace('"status": "ok"', '"status": "oom"', 1))
    error = place.check().exception
    assert isinstance(error, UserError)
    assert "does not have the checksum on record" in str(error)


def test_a_night_is_remembered_once_and_only_whole(place: Place) -> None:
    path = history_file(place.folder / "reports", "tiny")
    known = read(path, "tiny")
    assert len(known.nights) == 1
    data = json.loads(place.baseline.read_text())
    said = {v for c in data["evaluations"] for s in c["seeds"].values() for v in s["values"].values()}
    kept = known.of("sliced_wasserstein").frame
    assert set(kept["value"]) <= said
    assert len(kept) == 12
    assert "unchanged since its newest night" in place.check("--no-run").stderr
    assert "History" not in place.check("--no-run", "--filter", "solver=euler").stderr
    assert "History" not in place.check("--no-run", "--no-history").stderr
    place.write(suite=TINY.replace("nfe: [2, 4]", "nfe: [2, 4, 8]"))
    assert "no night is added" in place.check("--no-run").stderr
    assert len(read(path, "tiny").nights) == 1
    path.write_bytes(b"no parquet")
    place.write()
    result = place.check("--no-run")
    assert result.exit_code == 2, "the verdict was 0"
    assert "Nothing got worse" in result.stdout
    assert "is damaged, or no parquet file" in result.stderr
    assert path.read_bytes() == b"no parquet"


def test_a_verdict_outlives_files_that_cannot_be_written(place: Place) -> None:
    history = place.folder / "reports" / "history"
    shutil.rmtree(history)
    history.write_text("in the way")
    result = place.check("--no-run")
    assert result.exit_code == 2
    assert "Nothing got worse" in result.stdout
    assert "--no-history" in result.stderr
    place.write(plugin=PLUGIN.replace("FACTOR = 1.0", "FACTOR = 5.0"))
    worse = place.check()
    assert worse.exit_code == 1
    assert "WORSE" in worse.stdout


def test_a_metric_that_is_not_finite_is_accepted_loudly_and_never_passes(place: Place) -> None:
    before = read_baseline(place.baseline, "tiny")
    name = "sliced_wasserstein"
    rows = {p: dataclasses.replace(r, values={**r.values, name: math.nan}) for p, r in before.evaluations.items()}
    write_baseline(dataclasses.replace(before, evaluations=rows), place.baseline)
    result = place.check("--no-run")
    assert result.exit_code == 2
    assert f"No verdict against {place.baseline}. Not compared: {name}." in result.stdout
    assert f"{name}: not finite in the baseline" in result.stderr
    assert check._not_finite(read_baseline(place.baseline, "tiny")) == {name: 12}
