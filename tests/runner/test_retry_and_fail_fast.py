"""Failed cells wait for `retry`, all or those of a status; with --fail-fast a run ends at the first of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import fmbench

PLUGIN = '''
from pathlib import Path

from fmbench import Metric, Solver, hookimpl


class Bad(Solver):
    """Runs out of memory, unless a file `mended` lies beside it."""

    def integrate(self, velocity, x_0, times):
        if not (Path(__file__).parent / "mended").exists():
            raise MemoryError("no room")
        return velocity(x_0, x_0.new_zeros(len(x_0)))


class Nowhere(Solver):
    """Ends at what is no number."""

    def integrate(self, velocity, x_0, times):
        return float("nan") * velocity(x_0, x_0.new_zeros(len(x_0)))


class Broken(Metric):
    """Raises."""

    def compute(self, evidence):
        raise RuntimeError("no such number")


@hookimpl
def fmbench_solvers():
    return {"bad": Bad, "nowhere": Nowhere}


@hookimpl
def fmbench_metrics():
    return {"broken": Broken}
'''

SUITE: dict[str, Any] = {
    "name": "failing",
    "datasets": [{"moons": {"size": 200}}],
    "training": {
        "paths": ["linear"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "steps": 5,
        "batch_size": 16,
        "optimizer": {"adam": {"lr": 0.001}},
    },
    "evaluation": {
        "solvers": ["nowhere", "bad", "euler"],
        "nfe": [1],
        "samples": 20,
        "metrics": ["sliced_wasserstein"],
        "floor": False,
    },
}
OPTIONS = ("--plugins", "plugin.py", "--no-tracking", "--jobs", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite of which two of three evaluations have failed."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    assert fmbench("run", "suite.yaml", *OPTIONS, cwd=folder).returncode == 1
    return folder


@pytest.fixture
def folder(begun: Path, tmp_path: Path, undrawn: None) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "copy"))


def retried(folder: Path, *statuses: str) -> dict[str, Any]:
    chosen = [word for status in statuses for word in ("--status", status)]
    ended = fmbench("retry", "suite.yaml", *OPTIONS, *chosen, "--json", cwd=folder)
    result: dict[str, Any] = json.loads(ended.stdout)
    return {name: result[name] for name in ("computed", "tried_again", "left_failed")}


def test_only_what_failed_so_is_tried_again(folder: Path) -> None:
    assert retried(folder, "timeout") == {"computed": {}, "tried_again": {}, "left_failed": {"oom": 1, "diverged": 1}}
    once = {"computed": {"evaluation": 1}, "tried_again": {"diverged": 1}, "left_failed": {"oom": 1}}
    assert retried(folder, "diverged") == once
    (folder / "mended").touch()
    assert retried(folder, "oom") == {**once, "tried_again": {"oom": 1}, "left_failed": {"diverged": 1}}
    last = {"computed": {"evaluation": 1}, "tried_again": {"diverged": 1}, "left_failed": {}}
    assert retried(folder, "oom", "diverged") == last
    assert retried(folder) == last


def test_an_unknown_status_is_refused_with_the_choices_and_what_is_there(folder: Path) -> None:
    before = sorted(folder.rglob("failure.json"))
    ended = fmbench("retry", "suite.yaml", *OPTIONS, "--status", "ooom", cwd=folder)
    assert ended.returncode == 2
    words = (
        "--status is one of error, diverged, oom, timeout; found 'ooom'. Did you mean 'oom'? Failed: 1 diverged, 1 oom."
    )
    assert words in ended.stderr
    assert sorted(folder.rglob("failure.json")) == before
    assert fmbench("run", "suite.yaml", "--status", "oom", cwd=folder).returncode == 2


def test_a_run_ends_at_its_first_failure(begun: Path, tmp_path: Path, undrawn: None) -> None:
    options = (*OPTIONS, "--home", str(tmp_path), "--reports", str(tmp_path / "reports"))
    ended = fmbench("run", "suite.yaml", *options, "--fail-fast", cwd=begun)
    assert ended.returncode == 1, ended.stderr
    assert "Ended at the first failure (--fail-fast): evaluation" in ended.stdout
    assert ": 20 of 20 samples are not finite" in ended.stdout
    assert "fmbench run suite.yaml" in ended.stdout
    assert "Failed: 1 evaluation: diverged: 20 of 20 samples are not finite" in ended.stdout
    assert not [line for line in ended.stdout.splitlines() if line.startswith("Failed") and "missing" in line]

    again = fmbench("run", "suite.yaml", *options, "--json", cwd=begun)  # what finished is kept, and the rest follows
    assert again.returncode == 1, again.stderr
    result = json.loads(again.stdout)
    assert result["stopped"] is None
    assert "training" not in result["computed"]
    assert result["cells"]["evaluations"] == {"total": 3, "done": 1, "failed": 2, "todo": 0}


def test_a_metric_that_fails_is_a_failure_and_check_gives_no_verdict(
    begun: Path, tmp_path: Path, undrawn: None
) -> None:
    options = (*OPTIONS, "--home", str(tmp_path), "--reports", str(tmp_path / "reports"), "--fail-fast")
    chosen = ("--set", "evaluation.solvers=[euler, heun]", "--set", "evaluation.metrics=[broken]")
    nfe = ("--set", "evaluation.nfe=[2, 4]")
    ended = fmbench("check", "suite.yaml", "--accept", *options, *chosen, *nfe, cwd=begun)
    assert ended.returncode == 1
    assert "metric broken: RuntimeError: no such number" in ended.stdout
    assert not (tmp_path / "reports" / "baselines").exists()
