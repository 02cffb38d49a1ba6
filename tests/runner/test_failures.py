"""What fails is a row with its reason, takes nothing else away, and is tried again when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import fmbench
from fmbench.runner.run import RunResult
from fmbench.runner.session import Options, open_session

PLUGIN = '''
import os, signal
from pathlib import Path

import torch

from fmbench import Metric, Objective, Solver, hookimpl


class Twice(Solver):
    """Calls the network twice a step and says once."""

    def integrate(self, velocity, x_0, times):
        velocity(x_0, x_0.new_zeros(len(x_0)))
        return velocity(x_0, x_0.new_zeros(len(x_0)))


class Few(Solver):
    """Returns fewer samples than it was given."""

    def integrate(self, velocity, x_0, times):
        return x_0[:3] + 0 * velocity(x_0, x_0.new_zeros(len(x_0)))[:3]


class Broken(Metric):
    """Raises."""

    def compute(self, evidence):
        raise RuntimeError("no such number")


class Unnamed(Metric):
    """Names its value after something else."""

    def compute(self, evidence):
        return {"status": 1.0}


class Slow(Metric):
    """A cost that cannot be measured."""

    scope = "sampler"

    def compute(self, evidence):
        raise MemoryError("Cannot allocate memory")


class KilledOnce(Objective):
    """The velocity objective, whose process is killed the first time that `marker` is not there."""

    def __init__(self, *, marker: str) -> None:
        self.marker = Path(marker)

    def loss(self, output, sample):
        if not self.marker.exists():
            self.marker.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return (output - sample.dx_t).square().mean(1)

    def velocity(self, output, x, t, path):
        return output


@hookimpl
def fmbench_solvers():
    return {"twice": Twice, "few": Few}


@hookimpl
def fmbench_metrics():
    return {"broken": Broken, "unnamed": Unnamed, "slow": Slow}


@hookimpl
def fmbench_objectives():
    return {"killed_once": KilledOnce}
'''

SUITE = {
    "name": "failing",
    "datasets": [{"moons": {"size": 400}}],
    "training": {
        "paths": ["linear"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "steps": 20,
        "batch_size": 32,
        "optimizer": {"adamw": {"lr": 0.001}},
    },
    "evaluation": {"solvers": ["euler"], "nfe": [1], "samples": 100, "metrics": ["sliced_wasserstein"]},
}


def run(folder: Path, *overrides: str) -> RunResult:
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    return fmbench.run(folder / "suite.yaml", options(folder, *overrides))


def options(folder: Path, *overrides: str) -> Options:
    plugins = (str(folder / "plugin.py"),)
    return Options(overrides, (), plugins, home=folder / "store", reports=folder / "reports", tracking=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failures")


@pytest.fixture(scope="module")
def whole(folder: Path) -> RunResult:
    return run(folder)


METRICS = "evaluation.metrics=[sliced_wasserstein, broken, unnamed, slow]"


def test_a_metric_that_fails_takes_nothing_from_the_others(folder: Path, whole: RunResult) -> None:
    before = whole.records.frame()["sliced_wasserstein"]
    failing = run(folder, METRICS)
    row = failing.records.frame().iloc[0]
    assert row["status"] == "error"
    assert "metric broken: RuntimeError: no such number" in row["error"]
    assert "metric unnamed: it must return 'unnamed' first" in row["error"]
    assert row["sliced_wasserstein"] == before.iloc[0]
    assert failing.computed == {"evaluation": 1, "sampler": 1}
    assert len(failing.records.failed) == 1

    again = run(folder)
    assert again.records.frame().equals(whole.records.frame())
    assert again.records.failed == []


def test_a_cost_that_cannot_be_measured_is_a_failed_row(folder: Path, whole: RunResult, undrawn: None) -> None:
    result = run(folder, "evaluation.metrics=[sliced_wasserstein, slow]")
    assert [record.status for record in result.records.failed] == ["oom"]
    assert "metric slow" in result.records.failed[0].error


def test_failed_metrics_wait_for_retry(folder: Path, whole: RunResult, undrawn: None) -> None:
    run(folder, METRICS)
    assert run(folder, METRICS).computed == {}
    assert open_session(folder / "suite.yaml", options(folder, METRICS)).clear_failures() == 2
    assert run(folder, METRICS).computed == {"evaluation": 1, "sampler": 1}


def test_a_solver_that_breaks_its_word_is_a_failed_row(folder: Path, whole: RunResult) -> None:
    rows = run(folder, "evaluation.solvers=[euler, twice, few]").records.frame().set_index("solver")
    assert rows["status"].to_dict() == {"euler": "ok", "twice": "error", "few": "error"}
    assert "called the network 2 times a sample" in rows.loc["twice", "error"]
    assert "must return torch.float32 (100, 2); it returned torch.float32 (3, 2)" in rows.loc["few", "error"]


def test_a_cell_whose_worker_is_killed_is_tried_once_more(folder: Path, whole: RunResult, undrawn: None) -> None:
    marker = folder / "marker"
    override = f"training.objectives=[{{killed_once: {{marker: '{marker}'}}}}]"
    result = run(folder, override)
    assert marker.exists()
    assert set(result.records.frame()["status"]) == {"ok"}
