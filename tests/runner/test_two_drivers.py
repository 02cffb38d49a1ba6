"""Drivers that share a store compute every unit once, and go on with what one that was killed has left."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PLUGIN = '''
import os
from pathlib import Path
from fmbench import Metric, Objective, hookimpl


def note(what):
    with Path(os.environ["FMBENCH_TEST_NOTES"]).open("a") as notes:
        notes.write(what + "\\n")


class Noted(Objective):
    """Notes each step.

    Args:
        seconds: how long a step takes.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def loss(self, output, sample):
        import time

        note("step")
        time.sleep(self.seconds)
        return ((output - sample.dx_t) ** 2).flatten(1).mean(1)

    def velocity(self, output, x, t, path):
        return output


class Samples(Metric):
    """Notes each evaluation."""

    version = 1

    def compute(self, evidence):
        note("evaluation")
        return {"first": float(evidence.samples.flatten()[0])}


@hookimpl
def fmbench_objectives():
    return {"noted": Noted}


@hookimpl
def fmbench_metrics():
    return {"first": Samples}
'''
RUN = "from fmbench.cli.app import run_app; run_app()"
SUITE = """
name: shared
datasets: [moons]
training:
  paths: [linear]
  objectives: [{noted: {seconds: SECONDS}}]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: SEEDS
  steps: STEPS
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, heun], nfe: [2, 4], samples: 50, metrics: [first]}
"""


class Drivers:
    """Runs drivers on one store; `notes` counts what was computed."""

    def __init__(self, folder: Path, seeds: int, steps: int, seconds: float) -> None:
        self.folder, self.seeds, self.steps = folder, seeds, steps
        (folder / "noted.py").write_text(PLUGIN)
        changed = SUITE.replace("SEEDS", str(list(range(seeds)))).replace("STEPS", str(steps))
        (folder / "suite.yaml").write_text(changed.replace("SECONDS", str(seconds)))
        self._begun = ExitStack()

    def begin(self, reports: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUN, "run", "suite.yaml", "--plugins", "noted.py"]
        command += ["--jobs", "1", "--reports", reports, "--home", "store", "--json", *(more or ("--no-tracking",))]
        environment = {**os.environ, "FMBENCH_TEST_NOTES": str(self.folder / "notes"), "FMBENCH_LEASE_SECONDS": "5"}
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        self._begun.enter_context(process)
        self._begun.callback(process.kill)
        return process

    def end(self) -> None:
        self._begun.close()

    def count(self, what: str) -> int:
        notes = self.folder / "notes"
        return notes.read_text().split().count(what) if notes.exists() else 0

    def wait_for(self, what: str, times: int, *processes: subprocess.Popen[str]) -> None:
        while self.count(what) < times:
            ended = [process for process in processes if process.poll() is not None]
            assert not ended, ended[0].communicate()
            time.sleep(0.02)


@contextmanager
def drivers(folder: Path, seeds: int = 6, steps: int = 20, seconds: float = 0.0) -> Iterator[Drivers]:
    begun = Drivers(folder, seeds, steps, seconds)
    try:
        yield begun
    finally:
        begun.end()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def rows(report: Path) -> list[str]:
    """Return the rows of a report's records, without what tells one computing from another."""
    import pandas

    frame = pandas.read_csv(report.parent / "records.csv")
    assert (frame["status"] == "ok").all()
    return sorted(f"{row.key} {row.first}" for row in frame.itertuples())


def test_two_drivers_compute_every_unit_once_and_both_have_all_of_it(tmp_path: Path) -> None:
    with drivers(tmp_path) as shared:
        tracking = ("--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}")
        begun = [shared.begin("one", *tracking), shared.begin("two", *tracking)]
        results = [said(process) for process in begun]
        assert shared.count("step") == 6 * 20
        assert shared.count("evaluation") == 6 * 4
    for name, total in (("training", 6), ("evaluation", 6 * 4)):
        here = [result["computed"].get(name, 0) for result in results]
        elsewhere = [result["computed_elsewhere"].get(name, 0) for result in results]
        assert sum(here) == total
        assert all(min(here) <= own <= total for own in here)
        assert [own + others for own, others in zip(here, elsewhere, strict=True)] == [total, total]
    one, two = (rows(tmp_path / result["report"]) for result in results)
    assert one == two
    assert len(one) == 6 * 4
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        logged = [row[0] for row in database.execute("SELECT value FROM tags WHERE key = 'fmbench.cell'")]
    assert len(logged) == len(set(logged)) >= 6, "no run twice"
    assert [result["runs_not_logged"] for result in results] == [0, 0]
    left = [path.name for path in (tmp_path / "store").rglob(".*") if path.name.startswith((".lease", ".died"))]
    assert not left


@pytest.mark.parametrize("victim", ["driver", "driver and worker", "worker"])
def test_what_is_killed_is_ended_by_the_other(tmp_path: Path, victim: str) -> None:
    with drivers(tmp_path, seeds=4, steps=30, seconds=0.02) as shared:
        one, two = shared.begin("one"), shared.begin("two")
        shared.wait_for("step", 10, one, two)
        children = _children(one.pid)
        assert children
        for pid in {"driver": [one.pid], "worker": children}.get(victim, [one.pid, *children]):
            os.kill(pid, signal.SIGKILL)
        result = said(two)
        assert result["cells"]["evaluations"]["done"] == 4 * 4
        steps = shared.count("step")
        if victim == "worker":
            assert said(one)["cells"]["evaluations"]["done"] == 4 * 4
        assert 4 * 30 <= steps <= 4 * 30 + 30, "what was killed began anew, and nothing else"
        assert len(rows(tmp_path / result["report"])) == 4 * 4


def test_a_worker_that_stood_still_drops_what_another_took_over(tmp_path: Path) -> None:
    with drivers(tmp_path, seeds=3, steps=40, seconds=0.02) as shared:
        one = shared.begin("one")
        shared.wait_for("step", 5, one)
        stopped = _children(one.pid)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        result = said(shared.begin("two"))
        assert result["computed"]["training"] == 3
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert said(one)["computed_elsewhere"] == {"training": 3, "evaluation": 3 * 4}
    assert len(rows(tmp_path / result["report"])) == 3 * 4


def _children(pid: int) -> list[int]:
    """Return the numbers of the processes that a process started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found
