"""What becomes of tasks whose worker dies, or whose cells another driver holds; their workers are made up."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import evaluation_cell, training_cell

from fmbench.errors import CellFailure, TimedOut, UserError, WorkerDied
from fmbench.executors.messages import ELSEWHERE, Event, WorkerConfig
from fmbench.executors.supervisor import FIRST_PAUSE, MOST_LOST, MOST_LOST_AT_WORK, Supervisor, Worker
from fmbench.executors.tasks import EvaluateFleetTask, EvaluateTask, PrepareTask, ProbeTask, Task, TrainTask, Work
from fmbench.plugins.registry import Registry
from fmbench.store.holder import own_name
from fmbench.store.lease_files import FolderLeaseFiles
from fmbench.store.leases import Leases
from fmbench.store.store import Store


class Script:
    """The line to a worker that says, of each task, what the script has next."""

    def __init__(self, script: deque[list[Event | None]]) -> None:
        self.script = script
        self.given: list[Task | WorkerConfig] = []

    def send(self, message: Task | WorkerConfig) -> None:
        """Note what it was given."""
        self.given.append(message)

    def receive(self) -> list[Event | None]:
        """Say what comes next."""
        return self.script.popleft()

    def close(self) -> None:
        """Do nothing."""


class Scripted(Supervisor[Script]):
    """An executor of one worker that keeps to a script."""

    def __init__(self, store: Path, script: Sequence[list[Event | None]] = ()) -> None:
        super().__init__(WorkerConfig((), "", str(store), "cpu", 1, 1))
        self.link = Script(deque(script))

    def _room(self) -> int:
        return 1

    def _start(self) -> Script:
        return self.link

    def _ready(self, links: Sequence[Script], seconds: float) -> Sequence[Script]:
        return links


class Ended:
    """Stands in for the line to a worker that was killed."""

    def close(self) -> None:
        """Do nothing."""


def dead_worker(task: TrainTask | EvaluateFleetTask, done: int = 0) -> Worker[Any]:
    """Return a worker that was killed while it was at the fleet of a task, of which some cells had ended."""
    worker: Worker[Any] = Worker(Ended(), task)
    worker.units, worker.allowed = set(task.units[done:]), len(task.units)
    worker.ended.update(task.units[:done])
    return worker


def test_a_fleet_that_is_killed_twice_is_tried_cell_by_cell(tmp_path: Path, registry: Registry) -> None:
    cells = tuple(training_cell(registry, seed) for seed in range(4))
    executor = Scripted(tmp_path)
    task = TrainTask(cells)

    def end(worker: Worker[Any], failure: CellFailure) -> list[str]:
        executor._workers.append(worker)
        killed = isinstance(failure, WorkerDied)
        return [event.what for event in executor._end(worker, failure, killed=killed)]

    assert end(dead_worker(task), WorkerDied("signal 9")) == ["again"] * 4
    assert list(executor._queue) == [task]
    executor._queue.clear()
    assert end(dead_worker(task, done=1), WorkerDied("signal 9")) == ["again"] * 3
    assert list(executor._queue) == [TrainTask((cell,)) for cell in cells[1:]]
    executor._queue.clear()
    assert end(dead_worker(TrainTask(cells[1:])), TimedOut("too long")) == ["again"] * 3
    assert list(executor._queue) == [TrainTask((cell,)) for cell in cells[1:]]
    alone = TrainTask(cells[1:2])
    assert [end(dead_worker(alone), WorkerDied("signal 9")) for _ in range(2)] == [["again"], ["failed"]]
    folders = {cell: Store(tmp_path).folder("training", cell.key) for cell in cells}
    assert [cell for cell, folder in folders.items() if folder.failure()] == [cells[1]]
    assert [cell for cell, folder in folders.items() if folder.has_left_fleet()] == list(cells[1:])


def test_a_probe_that_is_killed_is_made_once_more(tmp_path: Path, registry: Registry) -> None:
    """Else its cells would train alone, and give other bits than those of a run that nobody has disturbed."""
    executor, task = Scripted(tmp_path), ProbeTask(training_cell(registry), str(tmp_path / "size.json"))
    for expected, left in (("again", [task]), ("failed", [])):
        executor._queue.clear()
        worker: Worker[Any] = Worker(Ended(), task)
        worker.units = set(task.units)
        executor._workers.append(worker)
        said = list(executor._end(worker, WorkerDied("signal 9"), killed=True))
        assert [event.what for event in said] == [expected]
        assert list(executor._queue) == left


def test_cells_whose_joint_evaluation_is_killed_twice_are_evaluated_one_by_one(
    tmp_path: Path, registry: Registry
) -> None:
    cells = [evaluation_cell(registry, training_cell(registry, seed)) for seed in range(3)]
    tasks = tuple(EvaluateTask(cell.training, (), (Work(cell.key, cell, ()),)) for cell in cells)
    fleet = EvaluateFleetTask(tasks)
    executor = Scripted(tmp_path)
    for queued in ([fleet], list(tasks)):
        executor._queue.clear()
        executor._workers.append(worker := dead_worker(fleet))
        assert [event.what for event in executor._end(worker, WorkerDied("signal 9"), killed=True)] == ["again"] * 3
        assert list(executor._queue) == queued


@pytest.mark.parametrize("ended", [{("preparing", "metric nfe"): 1}, {}])
def test_a_worker_that_is_killed_while_it_prepares_is_replaced_once_and_then_it_is_said(
    ended: dict[tuple[str, str], int], tmp_path: Path
) -> None:
    executor, task = Scripted(tmp_path), PrepareTask(())
    link: Any = SimpleNamespace(close=lambda: None)

    def died() -> list[str]:
        executor._workers.append(worker := Worker(link, task, ended=Counter(ended)))
        return [event.what for event in executor._end(worker, WorkerDied("signal 9"), killed=True)]

    assert died() == ["again"]
    assert executor._queue.popleft() is task
    with pytest.raises(
        UserError, match="a component cannot be used: preparing it ended" if ended else "could not begin"
    ):
        died()


def test_what_a_worker_finished_and_did_not_say_was_not_computed_by_others(tmp_path: Path, registry: Registry) -> None:
    first, second = (training_cell(registry, seed) for seed in range(2))
    executor = Scripted(tmp_path)
    executor._workers.append(worker := dead_worker(TrainTask((first, second))))
    for cell in (first, second):
        worker.note(Event("started", "training", cell.key))
    list(executor._end(worker, WorkerDied("signal 9"), killed=True))
    executor._queue.clear()
    said = [Event("finished", "training", key, status=ELSEWHERE) for key in (first.key, "of somebody else")]
    other = Scripted(tmp_path, [[*said, None]])
    other._unsaid = executor._unsaid
    other.submit(TrainTask((first,)))
    assert [(event.key, event.status) for event in other.events()] == [(first.key, ""), ("of somebody else", ELSEWHERE)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that goes on when somebody sleeps."""
    found = SimpleNamespace(now=0.0, slept=0, at=lambda: None)

    def sleep(seconds: float) -> None:
        found.now += seconds
        found.slept += 1
        found.at()

    stand_in = SimpleNamespace(monotonic=lambda: found.now, sleep=sleep)
    monkeypatch.setattr("fmbench.executors.supervisor.time", stand_in)
    return found


def test_what_another_driver_holds_is_asked_for_again_after_other_work(
    tmp_path: Path, registry: Registry, clock: SimpleNamespace
) -> None:
    first, second, other = (training_cell(registry, seed) for seed in range(3))

    def ended(cell: Any) -> list[Event | None]:
        return [Event("started", "training", cell.key), Event("finished", "training", cell.key)]

    held = [Event("held", "training", first.key), *ended(second), None]
    executor = Scripted(tmp_path, [held, [*ended(other), None], [Event("held", "training", first.key), None]])
    executor.link.script.append([*ended(first), None])
    executor.submit(TrainTask((first, second)))
    executor.submit(TrainTask((other,)))
    said = [(event.what, event.key) for event in executor.events() if event.what != "started"]
    assert said == [
        ("held", first.key),
        ("finished", second.key),
        ("finished", other.key),
        ("held", first.key),
        ("finished", first.key),
    ]
    alone = TrainTask((first,))
    assert executor.link.given == [TrainTask((first, second)), TrainTask((other,)), alone, alone]
    assert clock.now == pytest.approx(2 * FIRST_PAUSE)
    assert clock.slept == 2


def test_what_is_held_is_not_asked_for_while_it_is_and_it_is_said_where(
    tmp_path: Path, registry: Registry, clock: SimpleNamespace
) -> None:
    cell = training_cell(registry)
    others, place = Leases(FolderLeaseFiles(tmp_path), 60.0), f"training/{cell.key}"
    executor = Scripted(tmp_path, [[Event("held", "training", cell.key), None]])
    executor.submit(TrainTask((cell,)))
    events = executor.events()
    with ExitStack() as lease:
        lease.enter_context(others.held(place))
        assert [next(events).what for _ in range(2)] == ["held", "waiting"]
        clock.at = lambda: lease.close() if clock.now > 100.0 else None  # next, whoever is at it ends
        executor.link.script.append([Event("finished", "training", cell.key), None])
        assert [(event.what, event.key) for event in events] == [("finished", cell.key)]
    assert len(executor.link.given) == 2
    assert 100.0 < clock.now < 102.0
    assert clock.slept < 250, "it looks twice a second, at most"


def test_who_is_waited_for_is_named(tmp_path: Path, registry: Registry, clock: SimpleNamespace) -> None:
    cells = [training_cell(registry, seed) for seed in range(5)]
    others = Leases(FolderLeaseFiles(tmp_path), 60.0)
    executor = Scripted(tmp_path, [[*(Event("held", "training", cell.key) for cell in cells), None]])
    executor.submit(TrainTask(tuple(cells)))
    with ExitStack() as leases:
        for cell in cells:
            leases.enter_context(others.held(f"training/{cell.key}"))
        waiting = next(event for event in executor.events() if event.what == "waiting")
    assert waiting.amount == 5
    assert waiting.text.count(f"({own_name().host}, process {own_name().pid})") == 3
    assert waiting.text.endswith(" and 2 more")


def test_workers_that_are_lost_before_they_begin_are_replaced_but_not_for_ever(
    tmp_path: Path, registry: Registry
) -> None:
    task = TrainTask((training_cell(registry),))
    executor = Scripted(tmp_path)
    for _ in range(MOST_LOST):
        executor._queue.clear()
        executor._workers.append(worker := Worker(executor.link, task))
        assert not list(executor._end(worker, WorkerDied("the node is gone"), killed=True, lost=True))
        assert list(executor._queue) == [task]
    executor._workers.append(worker := Worker(executor.link, task))
    with pytest.raises(UserError, match="a worker could not begin: the node is gone"):
        list(executor._end(worker, WorkerDied("the node is gone"), killed=True, lost=True))


def test_a_unit_whose_machine_is_lost_is_tried_oftener_than_one_whose_worker_is_killed_but_not_for_ever(
    tmp_path: Path, registry: Registry
) -> None:
    executor, task = Scripted(tmp_path), TrainTask((training_cell(registry),))

    def end(*, lost: bool) -> list[str]:
        executor._queue.clear()
        executor._workers.append(worker := dead_worker(task))
        return [event.what for event in executor._end(worker, WorkerDied("gone"), killed=True, lost=lost)]

    assert [end(lost=True) for _ in range(MOST_LOST_AT_WORK)] == [["again"]] * MOST_LOST_AT_WORK
    assert end(lost=False) == ["again"], "what was lost is no death of the unit's"
    assert end(lost=True) == ["failed"]
    assert not executor._queue


@pytest.mark.parametrize(
    "event",
    [Event("finished"), Event("started", "training", "a", fleet=("a", "b")), Event("advanced", "training", "a", 3)],
)
def test_an_event_is_the_same_after_it_was_json(event: Event) -> None:
    written = json.dumps(event.as_dict())
    assert Event.from_dict(json.loads(written)) == event
    assert Event("finished").as_dict() == {"what": "finished"}
