"""Same machine, same plan, same threads: the same bits, whatever computes and however often it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import context, evaluation_cell, training_cell

import fmbench
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import EvaluateTask, Work
from fmbench.plugins.registry import Registry
from fmbench.runner.session import Options
from fmbench.store.store import Store
from fmbench.training.loop import train

SUITE = """
name: same
datasets: [{moons: {size: 500}}]
training:
  paths: [linear, cosine]
  networks: [{mlp: {width: 33, depth: 2}}]  # whose last bits depend on who trains together
  seeds: [0, 1, 2]
  steps: 100
  batch_size: 50
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, heun], nfe: [2, 4], samples: 700, metrics: [sliced_wasserstein, validation_loss]}
resources: {cpu: 1}
"""
DRIVER = """
import sys
from pathlib import Path
import fmbench
from fmbench.runner.session import Options

folder, home = map(Path, sys.argv[1:3])
options = Options(home=home, reports=home / "reports", jobs="1", tracking=False, checkpoint_seconds=0.0)
fmbench.run(folder / "same.yaml", options)
"""
PATIENCE = 300.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("same")
    (folder / "same.yaml").write_text(SUITE)
    (folder / "driver.py").write_text(DRIVER)
    return folder


def computed(folder: Path, home: str, jobs: str) -> dict[str, Any]:
    """Run the suite in a store, and return what it holds in the end."""
    options = Options(home=folder / home, reports=folder / home / "reports", jobs=jobs, tracking=False)
    assert not fmbench.run(folder / "same.yaml", options).records.failed
    return content(folder / home)


def content(home: Path) -> dict[str, Any]:
    """Return weights, losses, samples and values of metrics, by where they lie."""
    store, found = Store(home), {}
    for section, files in (
        ("training", ("weights.safetensors", "history.json")),
        ("evaluation", ("samples.safetensors",)),
    ):
        for key in store.keys(section):
            cell = store.folder(section, key)
            found |= {f"{section}/{key}/{name}": cell.read(name) for name in files}
            found |= {f"{section}/{key}/{entry['name']}": entry["values"] for entry in cell.metrics().values()}
    return found


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> dict[str, Any]:
    return computed(folder, "undisturbed", "1")


@pytest.mark.slow
def test_a_fresh_store_and_other_processes_give_the_same_bits(folder: Path, undisturbed: dict[str, Any]) -> None:
    assert len(undisturbed) == 6 * 3 + 24 * 2
    assert computed(folder, "fresh", "2") == undisturbed
    facts = [
        Store(folder / "fresh").folder("training", key).result() for key in Store(folder / "fresh").keys("training")
    ]
    assert all(each is not None and each["facts"]["fleet"] > 1 for each in facts)


@pytest.mark.slow
def test_a_run_that_was_killed_in_mid_training_ends_in_the_same_bits(folder: Path, undisturbed: dict[str, Any]) -> None:
    home = folder / "killed"
    driver = subprocess.Popen(
        [sys.executable, str(folder / "driver.py"), str(folder), str(home)], start_new_session=True, env=os.environ
    )
    until = time.monotonic() + PATIENCE
    while not (begun := list(home.glob("training/*/checkpoint-*.pt"))):
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not list(home.glob("training/*/result.json")), f"it had ended before it was killed, at {begun}"
    assert computed(folder, "killed", "2") == undisturbed
    assert not list(home.glob("training/*/checkpoint-*.pt"))


def test_the_order_of_evaluations_changes_nothing(tmp_path: Path, registry: Registry) -> None:
    """Evaluations of one training share the network's calls, whichever makes them first."""
    metric = registry.spec("metric", "sliced_wasserstein")
    cell = training_cell(registry, settings={"steps": 5})
    found = []
    for name, order in (("one", 1), ("other", -1)):
        shop = context(tmp_path / name, registry)
        train([cell], shop)
        cells = [
            evaluation_cell(registry, cell, solver, nfe, 700) for solver in ("euler", "heun", "ab2") for nfe in (2, 4)
        ]
        work = tuple(Work(each.key, each, (metric,)) for each in cells)[::order]
        Computer(shop, lambda event: None)(EvaluateTask(cell, (), work))
        found.append(content(shop.store.root))
    assert len(found[0]) == 2 + 6 * 2
    assert found[0] == found[1]
