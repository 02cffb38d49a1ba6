"""Suites on SLURM itself, of a controller and two nodes on this machine: `pytest -m slurm`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import cluster, lacking

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(lacking()), reason=lacking())]

SUITE = """
name: tiny
datasets: [moons]
training:
  paths: [linear]
  networks: [{mlp: {width: 32, depth: 2}}, {mlp: {width: 48, depth: 2}}]
  steps: 8000
  batch_size: 32
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, heun], nfe: [2, 4], samples: 200, metrics: [sliced_wasserstein]}
"""
"""Two trainings of some seconds, which are no fleet: an array of two tasks."""
PATIENCE = 600.0
"""Seconds after which a test gives up: it waits for what happens, and not for a time."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster; the environment in which its commands find it."""
    with cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield {**os.environ, **environment, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table that the suite gives with the local executor."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "tiny.yaml").write_text(SUITE)
    ended = fmbench("run", "tiny.yaml", "--no-tracking", "--jobs", "2", cwd=folder)
    assert ended.wait(PATIENCE) == 0, (folder / "log").read_text()
    return table(folder)


def fmbench(*arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the command line in a folder; what it prints goes to the file `log` there."""
    command = [sys.executable, "-c", "from fmbench.cli import main; main()", *arguments]
    with (cwd / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)


def table(folder: Path) -> str:
    return (folder / "reports/tiny/records.csv").read_text()


def on_slurm(folder: Path, slurm: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    (folder / "tiny.yaml").write_text(SUITE)
    arguments = ("--no-tracking", "--executor", "slurm", "--slurm", "partition=debug", *more)
    return fmbench("run", "tiny.yaml", *arguments, cwd=folder, environment=slurm)


def until(holds: Callable[[], bool], driver: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert driver.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)


def said(folder: Path) -> list[list[dict[str, object]]]:
    """Return what the jobs have said, a list for each time that one began."""
    files = sorted((folder / ".fmbench/spool").glob("*/events/*.jsonl"))
    texts = [file.read_text().splitlines(keepends=True) for file in files]
    return [[json.loads(line) for line in lines if line.endswith("\n")] for lines in texts]


def count(folder: Path, job: str) -> int:
    """Return how often jobs said this of themselves."""
    return sum(line.get("job") == job for lines in said(folder) for line in lines)


def training_jobs(folder: Path) -> list[str]:
    """Return the ids of the jobs whose training has taken its first steps, in the order of the array."""
    trains = [lines for lines in said(folder) if sum(line.get("what") == "advanced" for line in lines) > 3]
    return [str(lines[0]["id"]) for lines in trains]


def call(slurm: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=slurm, check=True, capture_output=True, text=True).stdout


def test_an_array_of_which_one_element_is_requeued_and_one_cancelled_gives_the_same_table(
    slurm: dict[str, str], undisturbed: str, tmp_path: Path
) -> None:
    driver = on_slurm(tmp_path, slurm)
    until(lambda: len(training_jobs(tmp_path)) == 2, driver, tmp_path)
    requeued, cancelled = training_jobs(tmp_path)
    call(slurm, "scontrol", "requeue", requeued)
    call(slurm, "scancel", cancelled)
    assert driver.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert table(tmp_path) == undisturbed
    assert count(tmp_path, "preempted") == 2, "both saved a checkpoint"
    assert count(tmp_path, "ended") >= 2
    states = call(slurm, "squeue", "--states=all", "--noheader", "--array", "--format=%i %T").splitlines()
    assert f"{cancelled} CANCELLED" in states
    assert f"{requeued} COMPLETED" in states


def test_a_detached_driver_that_is_begun_again_ends_with_the_same_table(
    slurm: dict[str, str], undisturbed: str, tmp_path: Path
) -> None:
    told = on_slurm(tmp_path, slurm, "--detach", "--json")
    assert told.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    run = json.loads((tmp_path / "log").read_text())["detached"]
    deadline = time.monotonic() + PATIENCE
    while not training_jobs(tmp_path):
        assert time.monotonic() < deadline, Path(run["log"]).read_text()
        time.sleep(0.1)
    call(slurm, "scontrol", "requeue", run["job"])
    while json.loads(Path(run["file"]).read_text())["body"]["ended"] is None:
        assert time.monotonic() < deadline, Path(run["log"]).read_text()
        time.sleep(0.1)
    assert table(tmp_path) == undisturbed


def test_what_slurm_refuses_is_told_with_what_it_says(slurm: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    arguments = ("--no-tracking", "--executor", "slurm", "--slurm", "partition=nowhere")
    driver = fmbench("run", "tiny.yaml", *arguments, cwd=tmp_path, environment=slurm)
    assert driver.wait(PATIENCE) == 2
    assert "invalid partition specified: nowhere" in (tmp_path / "log").read_text()
