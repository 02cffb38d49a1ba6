"""Runs that are killed at any moment: the store holds whole cells, and the next run goes on to the same table."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmbench.store.store import SECTIONS, Store

SUITE = """
name: killed
datasets: [{moons: {size: 500}}]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1, 2, 3]
  steps: 1
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, ddim, ab2], nfe: [1, 2, 3, 4, 5, 6, 7, 8], samples: 8, metrics: [sliced_wasserstein]}
"""
CELLS = 4 * 25
KILLS = 4


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run of the suite in a folder, as a group of processes of its own."""
    (folder / "killed.yaml").write_text(SUITE)
    command = [sys.executable, "-c", "from fmbench.cli import main; main()", "run", "killed.yaml", "--no-tracking"]
    environment = {name: value for name, value in os.environ.items() if name != "FMBENCH_HOME"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )


def finished(store: Store) -> set[str]:
    """Return the cells that are done; all that is there must be whole."""
    done = set()
    for section in SECTIONS:
        for key in store.keys(section):
            folder = store.folder(section, key)
            folder.check()
            done |= {folder.place} if folder.result(thorough=True) is not None else set()
    return done


def scores(folder: Path) -> list[str]:
    """Return the rows of the report's table, without what is measured of time."""
    lines = (folder / "reports" / "killed" / "records.csv").read_text().splitlines()
    columns = lines[0].split(",")
    wanted = [number for number, name in enumerate(columns) if name in ("key", "status", "sliced_wasserstein")]
    assert len(wanted) == 3
    return [",".join(line.split(",")[number] for number in wanted) for line in lines]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_in_the_undisturbed_table(tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
    assert start(undisturbed).wait(300) == 0
    store, draws, before = Store(disturbed / ".fmbench"), random.Random(0), set()
    for kill in range(1, KILLS + 1):
        process = start(disturbed)
        # some cells later than those that an earlier run finished, at a moment that nobody has chosen
        while process.poll() is None and len(store.keys("evaluation")) < kill * CELLS // (KILLS + 2):
            time.sleep(0.01 * draws.random())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = finished(store)
        assert before <= done  # nothing is lost that was there
        before = done
    assert start(disturbed).wait(300) == 0
    assert scores(disturbed) == scores(undisturbed)
