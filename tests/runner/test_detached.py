"""Runs without a terminal: started, found, killed, and ended by whoever comes next, with the same table."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from command_line import fmbench
from helpers import SMOKE

from fmbench.runner.detached import DetachedRun, detached_runs

pytestmark = pytest.mark.slow
PATIENCE = 300.0


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def the_run(folder: Path) -> DetachedRun:
    (run,) = detached_runs(folder / ".fmbench")
    return run


def test_a_detached_run_that_is_killed_once_is_ended_by_the_next_with_the_same_table(tmp_path: Path) -> None:
    folder, apart = tmp_path / "detached", tmp_path / "undisturbed"
    for each in (folder, apart):
        each.mkdir()
        (each / "tiny.yaml").write_text(SMOKE.replace("steps: 20", "steps: 3000"))
    arguments = ("run", "tiny.yaml", "--no-tracking", "--jobs", "1")
    assert fmbench(*arguments, cwd=apart).returncode == 0

    told = fmbench(*arguments, "--detach", cwd=folder)
    assert told.returncode == 0, told.stderr
    run = the_run(folder)
    assert f"Detached, as process {run.process} on" in told.stdout
    assert "`fmbench status" in told.stdout
    assert psutil.Process(run.process).terminal() is None
    again = fmbench(*arguments, "--detach", cwd=folder)
    assert again.returncode == 0
    assert "This is at work already" in again.stdout
    until(lambda: any((folder / ".fmbench/training").glob("*/cell.json")) or the_run(folder).ended is not None)
    os.kill(run.process, signal.SIGKILL)
    until(lambda: not the_run(folder).is_at_work)

    shared = json.loads(fmbench(*arguments, "--detach", "--json", cwd=folder).stdout)["detached"]
    assert shared["started_now"]
    until(lambda: any(each.ended == 0 for each in detached_runs(folder / ".fmbench")))
    tables = [(each / "reports/tiny/records.csv").read_text() for each in (folder, apart)]
    assert tables[0] == tables[1]


def test_a_mistake_is_told_before_anything_is_detached(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE.replace("euler", "oiler"))
    (tmp_path / "good.yaml").write_text(SMOKE)
    for arguments in (("tiny.yaml",), ("good.yaml", "--jobs", "none"), ("good.yaml", "--slurm", "partition=a")):
        told = fmbench("run", *arguments, "--no-tracking", "--detach", cwd=tmp_path)
        assert told.returncode == 2, told.stdout
        assert "error: " in told.stderr
    assert not detached_runs(tmp_path / ".fmbench")
