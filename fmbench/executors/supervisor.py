"""Which worker is given which task, and what happens when one dies or hangs: the same wherever the workers are."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from fmbench.errors import CellFailure, TimedOut, UserError, WorkerDied
from fmbench.executors.messages import ELSEWHERE, Event, WorkerConfig
from fmbench.executors.tasks import EvaluateFleetTask, PrepareTask, Task, TrainAndEvaluateTask, TrainTask, Unit
from fmbench.store.store import Store

POLL_SECONDS = 0.5
"""So often the supervisor looks at the clock, and for workers that have died in silence."""
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between two looks at units that other processes hold; they grow."""
MOST_NAMED = 3
"""Units that are named where others are waited for."""
MOST_LOST = 8
"""Workers that may be lost with their machines before they begin, one after the other."""
MOST_LOST_AT_WORK = 3
"""Machines that may be lost while they are at a unit; one more, and the unit is to blame."""


class WorkerGone(Exception):
    """A worker has ended without a word. With `killed`, somebody else ended it: its unit deserves another try.

    With `lost`, its machine is gone: if it was idle, nobody is to blame, however often that happens. `failure` is what
    its unit's row says, where it gets none.
    """

    def __init__(self, why: str, *, killed: bool, lost: bool = False, failure: type[CellFailure] = WorkerDied) -> None:
        super().__init__(why)
        self.killed, self.lost, self.failure = killed, lost, failure


class Link(Protocol):
    """The line to one worker, which computes one task at a time."""

    def send(self, message: Task | WorkerConfig) -> None:
        """Give an idle worker a task, or another configuration. Raises OSError where it has ended."""

    def receive(self) -> Sequence[Event | None]:
        """Return what it said since the last time, in order; None says that its task has ended.

        Raises WorkerGone where it has ended and all that it said has been returned.
        """

    def close(self) -> None:
        """End the worker, for certain, and return when it computes no more."""


L = TypeVar("L", bound=Link)


@dataclass(eq=False)
class Worker(Generic[L]):
    """A worker, its task, and how far that is.

    `units` are those that it is at, which may take `allowed` times the timeout `since` a moment, and `ended` says how
    often each unit of the task has ended; `begun` are all that it was at, `held` those that another driver is at.
    """

    link: L
    task: Task | None = None
    units: set[Unit] = field(default_factory=set)
    allowed: int = 1
    since: float = 0.0
    ended: Counter[Unit] = field(default_factory=Counter)
    begun: set[Unit] = field(default_factory=set)
    held: set[Unit] = field(default_factory=set)

    def begin(self, task: Task) -> None:
        """Note the task that it was given."""
        self.task, self.units, self.ended, self.begun, self.held = task, set(), Counter(), set(), set()

    def note(self, event: Event) -> None:
        """Note what it says of a unit."""
        unit = (event.section, event.key)
        if event.what == "started":
            self.units = {(event.section, key) for key in event.fleet or (event.key,)}
            self.begun |= self.units
            self.since, self.allowed = time.monotonic(), len(self.units)
        elif event.what in {"finished", "failed"}:
            self.ended[unit] += 1
            self.units.discard(unit)
        elif event.what == "preempted":
            self.units = set()
        elif event.what == "held":
            self.held.add(unit)
            self.units.discard(unit)


@dataclass
class Postponed:
    """A task, of which other processes hold some units; they are looked at again when it is `due`."""

    task: Task
    held: list[Unit]
    due: float
    pause: float = FIRST_PAUSE


class Supervisor(ABC, Generic[L]):
    """An executor that lacks only its workers. A unit that takes longer than `timeout` seconds is ended and recorded.

    A subclass says how many workers there may be (`_room`), starts one (`_start`), and waits for news (`_ready`).
    Where workers are begun together, or end with their task, see `_given_out` and `one_task_each`.
    """

    chains = False
    one_task_each = False
    """Whether a worker ends when its task has: the next task gets a new one."""
    printed = "what it printed stands above"
    """Where a user finds what a worker printed."""

    def __init__(self, config: WorkerConfig, timeout: float | None = None) -> None:
        self._config = config
        self._timeout = timeout
        self.expected_seconds: Callable[[Task], float | None] = lambda task: None
        self._queue: deque[Task] = deque()
        self._postponed: list[Postponed] = []
        self._waits_for = ""
        self._workers: list[Worker[L]] = []
        self._deaths: Counter[Unit] = Counter()
        self._unsaid: set[Unit] = set()
        self._losses: Counter[Unit] = Counter()
        self._lost_in_a_row = 0

    @abstractmethod
    def _room(self) -> int:
        """Return how many workers there may be at this moment."""

    @abstractmethod
    def _start(self) -> L:
        """Start a worker under the configuration `self._config`, and return the line to it without waiting."""

    @abstractmethod
    def _ready(self, links: Sequence[L], seconds: float) -> Sequence[L]:
        """Wait for so many seconds at most; return those of some links whose worker has said something, or ended."""

    def _given_out(self) -> None:
        """Do what is to be done when all tasks for which there is room have been given out: nothing, mostly."""

    def warm_up(self, tasks: int) -> None:
        """Start the workers that so many tasks need now, so that they import their libraries at the same time."""
        while len(self._workers) < min(tasks, self._room()):
            self._workers.append(Worker(self._start()))

    def reconfigure(self, config: WorkerConfig) -> None:
        """Go on under another configuration, with at most its number of workers. Call it when no task is queued."""
        self._config = config
        for worker in self._workers[self._room() :]:
            self._drop(worker)
        for worker in list(self._workers):
            self._send(worker, config)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def events(self) -> Iterator[Event]:
        """Yield what happens until the queue is empty and every worker is idle."""
        while True:
            self._queue_due()
            self._assign()
            self._given_out()
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                if not self._queue and not self._postponed:
                    return
                yield from self._wait()
                continue
            ready = self._ready([worker.link for worker in busy], POLL_SECONDS)
            for worker in [worker for worker in busy if worker.link in ready]:
                yield from self._receive(worker)
            for worker in [worker for worker in self._workers if self._is_late(worker)]:
                yield from self._end(worker, TimedOut(f"took longer than {self._timeout:g} s"))

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._workers):
            self._drop(worker)

    def _queue_due(self) -> None:
        """Queue what was postponed, when nobody else is at it any more."""
        now, still = time.monotonic(), []
        for postponed in self._postponed:
            if postponed.due <= now:
                postponed.held = [unit for unit in postponed.held if self._holders(unit)]
                postponed.pause = min(LAST_PAUSE, 1.5 * postponed.pause)
                postponed.due = now + postponed.pause
            if postponed.held:
                still.append(postponed)
            else:
                self._queue.append(postponed.task)
        self._postponed = still

    def _holders(self, unit: Unit) -> list[str]:
        """Return who else is at a unit, and alive."""
        folder = self._store.folder(*unit)
        return folder.leases.holders(folder.place)

    def _wait(self) -> Iterator[Event]:
        """Wait a moment, since nothing is left but what others are at, and say once what that is."""
        units = [unit for postponed in self._postponed for unit in postponed.held]
        named = [f"{' '.join(unit)} ({holder})" for unit in units[:MOST_NAMED] for holder in self._holders(unit)[:1]]
        text = ", ".join(named) + (f" and {len(units) - MOST_NAMED} more" if len(units) > MOST_NAMED else "")
        if named and text != self._waits_for:
            self._waits_for = text
            yield Event("waiting", amount=len(units), text=text)
        next_due = min((postponed.due for postponed in self._postponed), default=math.inf)
        time.sleep(max(0.0, min(POLL_SECONDS, next_due - time.monotonic())))

    @property
    def _store(self) -> Store:
        return self._config.opened_store()

    def _assign(self) -> None:
        while self._queue:
            idle = next((worker for worker in self._workers if worker.task is None), None)
            if idle is None and len(self._workers) < self._room():
                idle = Worker(self._start())
                self._workers.append(idle)
            if idle is None:
                return
            if self._send(idle, self._queue[0]):
                idle.begin(self._queue.popleft())

    def _send(self, worker: Worker[L], message: Task | WorkerConfig) -> bool:
        """Send a message to an idle worker; one that has died meanwhile is dropped, and another takes its place."""
        try:
            worker.link.send(message)
        except OSError:
            self._drop(worker)
            return False
        return True

    def _receive(self, worker: Worker[L]) -> Iterator[Event]:
        try:
            said = worker.link.receive()
        except WorkerGone as gone:
            yield from self._end(worker, gone.failure(str(gone)), killed=gone.killed, lost=gone.lost)
            return
        self._lost_in_a_row = 0
        for event in said:
            if event is None:
                self._task_ended(worker)
            elif event.what == "fatal":
                raise UserError(event.text)
            elif event.what == "spoilt":
                yield from self._replace(worker, event.text)
            else:
                if event.status == ELSEWHERE and (event.section, event.key) in self._unsaid:
                    event = replace(event, status="")
                worker.note(event)
                yield event

    def _task_ended(self, worker: Worker[L]) -> None:
        """Note that a worker is idle; what of its task other processes hold is asked for again when they do not."""
        if worker.task is not None and worker.held and (rest := worker.task.without(worker.ended)).units:
            self._postponed.append(Postponed(rest, sorted(worker.held), time.monotonic() + FIRST_PAUSE))
        worker.task = None
        if self.one_task_each:
            self._drop(worker)

    def _is_late(self, worker: Worker[L]) -> bool:
        allowed = math.inf if self._timeout is None else self._timeout * worker.allowed
        return bool(worker.task and worker.units) and time.monotonic() - worker.since > allowed

    def _end(
        self, worker: Worker[L], failure: CellFailure, *, killed: bool = False, lost: bool = False
    ) -> Iterator[Event]:
        """End a worker, record the unit that it was at as failed, and queue the rest of its task again.

        A fleet that fails so is no member's fault until each has been tried alone.
        """
        self._drop(worker)
        began, prepares = bool(worker.units or worker.ended), isinstance(worker.task, PrepareTask)
        if (prepares or not began) and not self._is_excused(worker, killed=killed, lost=lost):
            if not began:
                raise UserError(f"a worker could not begin: {failure}; {self.printed}")
            raise UserError(f"{_prepared(worker)} cannot be used: preparing it {_in_preparing(failure)}")
        if prepares and worker.task is not None:
            yield Event("again", "preparing", _prepared(worker), text=str(failure))
            self._queue.appendleft(worker.task)
            return
        again = killed and self._deserves_another_try(worker, lost=lost)
        split = worker.allowed > 1 and bool(worker.units) and not again
        for section, key in sorted(worker.units):
            if again or split:
                yield Event("again", section, key, text=str(failure))
                continue
            if section != "probe":  # which has no row: its cells train alone
                self._store.folder(section, key).fail(failure.status, str(failure))
            yield Event("failed", section, key, status=failure.status, text=str(failure))
            worker.ended[section, key] += 1
        self._queue_rest(worker, split)

    def _replace(self, worker: Worker[L], why: str) -> Iterator[Event]:
        """End a worker whose process a component changed: another does what its task lacks, a fleet one by one."""
        self._drop(worker)
        if worker.allowed > 1:
            yield from (Event("again", section, key, text=why) for section, key in sorted(worker.units))
        self._queue_rest(worker, worker.allowed > 1 and bool(worker.units))

    def _queue_rest(self, worker: Worker[L], split: bool) -> None:
        """Queue what is left of the task of a worker that has ended, before all others."""
        if worker.task is None:
            return
        self._unsaid |= worker.begun - worker.ended.keys()  # it may have finished them, and died before it said so
        rest = worker.task.without(worker.ended)
        if split and isinstance(rest, TrainTask | EvaluateFleetTask | TrainAndEvaluateTask):
            for section, key in worker.units:
                self._deaths.pop((section, key), None)
                if section == "training":
                    self._store.folder(section, key).leave_fleet()
            self._queue.extendleft(reversed(rest.one_by_one()))
        elif rest.units:
            self._queue.appendleft(rest)

    def _is_excused(self, worker: Worker[L], *, killed: bool, lost: bool) -> bool:
        """Whether a worker that was idle, or prepared, was killed for the first time with its task.

        So is one that was lost with its machine, unless none of many has begun since the last that did.
        """
        if lost:
            self._lost_in_a_row += 1
            return self._lost_in_a_row <= MOST_LOST
        if not killed or worker.task is None:
            return False
        idle = ("idle", worker.task.units[0][1] if worker.task.units else "")
        self._deaths[idle] += 1
        return self._deaths[idle] == 1

    def _deserves_another_try(self, worker: Worker[L], *, lost: bool) -> bool:
        """Whether a unit whose worker was killed goes on from its checkpoint: once, for killed again, it is to blame.

        Whose machine was lost goes on MOST_LOST_AT_WORK times: machines are mostly lost for reasons of their own.
        """
        units, deaths, most = worker.units, self._deaths, 1
        if lost:
            deaths, most = self._losses, MOST_LOST_AT_WORK
        deaths.update(units)
        return bool(units) and all(deaths[unit] <= most for unit in units)

    def _drop(self, worker: Worker[L]) -> None:
        worker.link.close()
        self._workers.remove(worker)


def _prepared(worker: Worker[Any]) -> str:
    """Return the component that a worker prepares; it may be between two of them."""
    return next((title for _, title in worker.units), "a component")


def _in_preparing(failure: CellFailure) -> str:
    if isinstance(failure, TimedOut):
        return f"{failure}, the --timeout; give it more, or mend what hangs"
    return f"ended the process that did so: {failure}"
