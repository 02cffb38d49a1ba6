"""Making room: a worker that is asked to saves what it trains and ends; the training goes on from there to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import context, training_cell

from fmbench.cells.cells import TrainingCell
from fmbench.executors.messages import Event
from fmbench.executors.preemption import SIGNALS, Preempted
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import Task, TrainTask
from fmbench.plugins.registry import Registry


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back what this process did on a signal."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def cells(registry: Registry, number: int) -> tuple[TrainingCell, ...]:
    return tuple(training_cell(registry, seed, settings={"steps": 200}) for seed in range(number))


def weights(folder: Path, cell: TrainingCell) -> bytes:
    return context(folder).store.folder("training", cell.key).read("weights.safetensors")


def computed(folder: Path, task: Task, asked_at: int | None = None) -> list[Event]:
    """Compute a task; after so many optimizer steps the process is asked to make room."""
    said: list[Event] = []

    def say(event: Event) -> None:
        said.append(event)
        if asked_at is not None and sum(each.amount for each in said) >= asked_at:
            os.kill(os.getpid(), signal.SIGUSR2)

    computer = Computer(context(folder, checkpoint_seconds=1e9), say)
    computer.preemption.listen()
    computer(task)
    return said


@pytest.mark.parametrize("members", [1, 3])
def test_a_training_that_makes_room_goes_on_to_the_same_weights(
    registry: Registry, tmp_path: Path, members: int
) -> None:
    task, apart = TrainTask(cells(registry, members)), tmp_path / "undisturbed"
    computed(apart, task)
    wanted = {cell.key: weights(apart, cell) for cell in task.cells}

    with pytest.raises(Preempted):
        computed(tmp_path, task, asked_at=50)
    for cell in task.cells:
        folder = context(tmp_path).store.folder("training", cell.key)
        assert folder.result() is None
        assert folder.failure() is None
        assert 0 < folder.checkpoints.newest()[0] < 200
        with folder.lock(wait=False):
            pass  # nobody holds it any more
    steps = sum(event.amount for event in computed(tmp_path, task) if event.what == "advanced")
    assert steps == 200 * members, "those of the checkpoint are said at once"
    for cell in task.cells:
        assert weights(tmp_path, cell) == wanted[cell.key]


def test_the_unit_that_comes_next_is_not_begun(registry: Registry, tmp_path: Path) -> None:
    first, second = cells(registry, 2)
    computer = Computer(context(tmp_path), lambda event: None)
    computer.preemption.listen()
    computer(TrainTask((first,)))
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Preempted):
        computer(TrainTask((second,)))
    assert not context(tmp_path).store.folder("training", second.key).is_there()


def test_a_process_that_was_forked_ends_on_the_signal_as_ever(tmp_path: Path) -> None:
    script = """
import os, signal, time
from fmbench.executors.preemption import Preemption
Preemption(None).listen()
ready, begun = os.pipe()
child = os.fork()
if not child:
    os.write(begun, b".")
    time.sleep(60)
    os._exit(0)
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGTERM)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
