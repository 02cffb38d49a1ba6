"""Units that another process is at, has finished, has failed at, or has died of: a worker waits for none of them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import context, evaluation_cell, training_cell

from fmbench.cells.cells import TrainingCell
from fmbench.executors.messages import ELSEWHERE, Event
from fmbench.executors.quiet_machine import QuietMachine
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import EvaluateFleetTask, EvaluateTask, Task, TrainTask, Work
from fmbench.io.file_lock import StoppedWaiting, never_wait
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry
from fmbench.store.holder import own_name
from fmbench.store.lease_files import DIED, LEASE, FolderLeaseFiles
from fmbench.store.leases import Leases
from fmbench.store.store import Store

SHORT = {"steps": 4, "batch_size": 16}


@pytest.fixture
def worker(tmp_path: Path, registry: Registry) -> WorkerContext:
    return context(tmp_path, registry)


@pytest.fixture
def others(worker: WorkerContext) -> Leases:
    """The leases of somebody else."""
    return Leases(FolderLeaseFiles(worker.store.root), 60.0)


def compute(worker: WorkerContext, task: Task) -> list[Event]:
    events: list[Event] = []
    Computer(worker, events.append)(task)
    return events


def what_of(events: Sequence[Event], cell: TrainingCell) -> list[str]:
    return [event.what for event in events if event.key == cell.key and event.what != "advanced"]


def place(cell: TrainingCell) -> str:
    return f"training/{cell.key}"


def test_a_fleet_waits_as_a_whole_where_one_member_is_held(
    worker: WorkerContext, others: Leases, registry: Registry
) -> None:
    """With other members it would not have the same weights to the bit."""
    cells = tuple(training_cell(registry, seed, settings=SHORT) for seed in range(3))
    with others.held(place(cells[1])):
        events = compute(worker, TrainTask(cells))
        assert [event.what for event in events] == ["held"] * 3
        assert not any(worker.store.folder("training", cell.key).cell() for cell in cells)
    events = compute(worker, TrainTask(cells))
    assert all(what_of(events, cell)[-1] == "finished" for cell in cells)


def test_a_fleet_is_said_to_be_trained_once_its_leases_are_free(worker: WorkerContext, registry: Registry) -> None:
    """By then a store by URL has the weights, too, which others read as soon as they hear of it."""
    cells = tuple(training_cell(registry, seed, settings=SHORT) for seed in range(2))
    held: list[int] = []

    def say(event: Event) -> None:
        if event.what == "finished":
            held.append(len(worker.store.leases.holder.held))

    Computer(worker, say)(TrainTask(cells))
    assert held == [0, 0]


def test_what_another_has_finished_or_failed_at_is_not_computed_again(
    worker: WorkerContext, registry: Registry
) -> None:
    done, failed, left = (training_cell(registry, seed, settings=SHORT) for seed in range(3))
    compute(worker, TrainTask((done,)))
    worker.store.folder("training", failed.key).fail("oom", "no memory is left")
    for task in (TrainTask((done, failed)), TrainTask((done,)), TrainTask((failed,)), TrainTask((done, failed, left))):
        events = compute(worker, task)
        for event in events:
            if event.key == done.key and event.what == "finished":
                assert event.status == ELSEWHERE
            if event.key == failed.key and event.what == "failed":
                assert (event.status, event.text) == ("oom", "no memory is left")
        ended = {event.key: event for event in events if event.what in {"finished", "failed"}}
        assert ended.keys() == {cell.key for cell in task.cells}
    assert ended[left.key].status == ""
    assert worker.store.folder("training", failed.key).result() is None


@pytest.mark.parametrize("times", [2, 3])
def test_a_unit_whose_process_died_three_times_is_a_row_until_it_is_tried_again(
    worker: WorkerContext, registry: Registry, times: int
) -> None:
    cell = training_cell(registry, settings=SHORT)
    folder, gone = worker.store.folder("training", cell.key), own_name()._replace(start=1)
    for number in range(times):
        folder.leases.files.create(folder.place, f"{LEASE}{gone}-{number}")
    events = compute(worker, TrainTask((cell,)))
    if times == 2:
        assert what_of(events, cell) == ["started", "finished"]
        assert not folder.leases.files.names(folder.place), "it got on"
        return
    assert what_of(events, cell) == ["started", "failed"]
    failure = folder.failure()
    assert failure is not None
    assert failure["error"].startswith(f"its process died 3 times without getting on (on {gone.host}, {gone.host}")
    with folder.lock():
        folder.clear_failures()
    assert what_of(compute(worker, TrainTask((cell,))), cell) == ["started", "finished"]


def test_a_training_that_gets_on_between_deaths_is_not_given_up(worker: WorkerContext, registry: Registry) -> None:
    cell = training_cell(registry, settings=SHORT)
    folder, gone = worker.store.folder("training", cell.key), own_name()._replace(start=1)
    for number in range(5):
        folder.leases.files.create(folder.place, f"{LEASE}{gone}-{number}")
        with folder.lock():
            folder.checkpoints.save(number, b"state")
    assert not folder.leases.files.names(folder.place)


def test_a_fleet_at_which_processes_died_trains_one_by_one(worker: WorkerContext, registry: Registry) -> None:
    cells = tuple(training_cell(registry, seed, settings=SHORT) for seed in range(2))
    gone = own_name()._replace(start=1)
    for number in range(2):
        for cell in cells:
            worker.store.leases.files.create(place(cell), f"{DIED}{gone}-{number}-fleet")
    events = compute(worker, TrainTask(cells))
    assert [event.fleet for event in events if event.what == "started"] == [(), ()]
    assert "slowed" in {event.what for event in events}
    assert Counter(event.what for event in events)["finished"] == 2


def test_what_was_lost_on_the_way_is_dropped_and_the_next_is_computed(
    worker: WorkerContext, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stood still while it trained, and another took the cell."""
    lost, following = (training_cell(registry, seed, settings=SHORT) for seed in range(2))
    leases = worker.store.leases
    from fmbench.training import loop

    train = loop.train

    def stands_still(cells: Sequence[TrainingCell], *rest: object, **options: object) -> None:
        if cells[0].key == lost.key:
            own = next(name for name in leases.files.names(place(lost)) if name.startswith(LEASE))
            leases.files.move(place(lost), own, DIED + own.removeprefix(LEASE))
            leases.holder.pauses += 1
        train(cells, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("fmbench.training.loop.train", stands_still)
    events = compute(worker, TrainTask((lost, following)).one_by_one()[0])
    events += compute(worker, TrainTask((following,)))
    assert what_of(events, lost) == ["started", "held"]
    assert worker.store.folder("training", lost.key).result() is None
    assert worker.store.folder("training", lost.key).failure() is None
    assert what_of(events, following) == ["started", "finished"]


def test_of_evaluations_that_are_drawn_together_those_of_others_are_left_out(
    worker: WorkerContext, others: Leases, registry: Registry
) -> None:
    cells = [training_cell(registry, seed, settings=SHORT) for seed in range(2)]
    for cell in cells:
        compute(worker, TrainTask((cell,)))
    metric = (registry.spec("metric", "sliced_wasserstein"),)
    works = [
        [Work(e.key, e, metric) for e in (evaluation_cell(registry, cell, nfe=nfe, samples=60) for nfe in (1, 2))]
        for cell in cells
    ]
    tasks = tuple(EvaluateTask(cell, (), tuple(work)) for cell, work in zip(cells, works, strict=True))
    held = works[0][1].key
    with others.held(f"evaluation/{held}"):
        events = compute(worker, EvaluateFleetTask(tasks))
    assert [event.key for event in events if event.what == "held"] == [held]
    assert all(held not in event.fleet for event in events)
    assert {event.key for event in events if event.what == "finished"} == {
        work.key for pieces in works for work in pieces
    } - {held}
    assert not [name for key in worker.store.keys("evaluation") for name in others.files.names(f"evaluation/{key}")]


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_a_timing_waits_until_others_compute_nothing_on_this_machine(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    """Or says who does; the machine is this one, and the process another."""
    monkeypatch.setattr("fmbench.executors.quiet_machine.PATIENCE", patience)
    files, other = worker.store.leases.files, own_name()._replace(machine="0123456789")
    place, said, looks = f"training/{'b' * 20}", [], []
    body = {"counter": 1, "seconds": 60.0, "host": other.host, "pid": other.pid, "job": "", "held": 1}
    files.beat(str(other), json.dumps({**body, "units": [[place, 3.0, None]]}).encode())
    files.create(place, f"{LEASE}{other}-1")

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            files.remove(place, f"{LEASE}{other}-1")

    monkeypatch.setattr("fmbench.executors.quiet_machine.time", SimpleNamespace(sleep=look, monotonic=time.monotonic))
    machine = QuietMachine(worker.store, said.append)
    with (
        machine.alone(),
        pytest.raises(StoppedWaiting),
        Store(worker.store.root).alone(f"timing-{own_name().host}", never_wait),
    ):
        pass
    assert len(looks) == (3 if patience else 0)
    assert len(said) == (0 if patience else 1)
    assert all(f"process {other.pid} computes {place} there" in text for text in said)
