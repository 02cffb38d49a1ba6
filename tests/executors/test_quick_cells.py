"""What a quick cell costs: how often a worker waits for the disk, and how many files it writes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from helpers import context, evaluation_cell, training_cell

from fmbench.executors.messages import Event
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import EvaluateTask, TrainTask, Work
from fmbench.plugins.registry import Registry

NFE = tuple(range(1, 11))
SOLVERS = ("euler", "ddim")
CELLS = len(NFE) * len(SOLVERS)


@pytest.fixture
def evaluated(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Train a cell and evaluate it in many ways; return what was said, what was there then, and who flushed files."""
    shop, said, there, waited = context(tmp_path, registry), [], {}, []

    def say(event: Event) -> None:
        said.append(event)
        there[event.what, event.key] = shop.store.folder(event.section, event.key).recorded() is not None

    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (waited.append(threading.current_thread()), flush(number))[1])
    training = training_cell(registry, settings={"steps": 1})
    computer = Computer(shop, say)
    computer(TrainTask((training,)))
    assert threading.current_thread() in waited
    waited.clear()
    cells = [evaluation_cell(registry, training, solver, nfe, 8) for solver in SOLVERS for nfe in NFE]
    metrics = (registry.spec("metric", "nfe"),)
    computer(EvaluateTask(training, (), tuple(Work(cell.key, cell, metrics) for cell in cells)))
    return {"shop": shop, "said": said, "there": there, "waited": waited, "keys": [cell.key for cell in cells]}


def test_an_evaluation_is_said_to_be_finished_when_it_is_in_the_store(evaluated: dict) -> None:
    said = [event for event in evaluated["said"] if event.section == "evaluation"]
    assert [event.key for event in said if event.what == "finished"] == evaluated["keys"]
    assert [event.key for event in said if event.what == "started"] == evaluated["keys"]
    assert all(evaluated["there"]["finished", key] for key in evaluated["keys"])
    assert not any(evaluated["there"]["started", key] for key in evaluated["keys"])


def test_a_worker_computes_while_the_disk_is_waited_for(evaluated: dict) -> None:
    assert len(evaluated["waited"]) == 4 * CELLS
    assert threading.current_thread() not in evaluated["waited"]


def test_an_evaluation_is_four_files(evaluated: dict) -> None:
    store = evaluated["shop"].store
    found = {path.name for key in evaluated["keys"] for path in store.folder("evaluation", key).path.iterdir()}
    assert found - {".lock"} == {"cell.json", "metrics.json", "result.json", "samples.safetensors"}
