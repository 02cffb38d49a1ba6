"""The local executor: worker processes on this machine, each with its own threads, that survive one another's death."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fmbench.errors import CellFailure, TimedOut, UserError, WorkerDied
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.start_worker import start_worker
from fmbench.executors.tasks import LINE_LOST, EvaluateFleetTask, PrepareTask, Task, TrainTask, Unit
from fmbench.store.store import Store

_POLL_SECONDS = 0.5
_DYING_SECONDS = 10.0
"""A process whose connection has ended is given so long to end by itself."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    lifeline: int
    task: Task | None = None
    units: set[Unit] = field(default_factory=set)
    allowed: int = 1
    since: float = 0.0
    ended: set[Unit] = field(default_factory=set)


class LocalExecutor:
    """Runs tasks in up to `jobs` processes. A unit that takes longer than `timeout` seconds is ended and recorded."""

    def __init__(self, config: WorkerConfig, timeout: float | None = None) -> None:
        self._config = config
        self._timeout = timeout
        self._queue: deque[Task] = deque()
        self._workers: list[_Worker] = []
        self._deaths: Counter[Unit] = Counter()

    def warm_up(self, tasks: int) -> None:
        """Start the workers that so many tasks need now, so that they import their libraries at the same time."""
        while len(self._workers) < min(tasks, self._config.jobs):
            self._workers.append(self._start())

    def reconfigure(self, config: WorkerConfig) -> None:
        """Go on under another configuration, with at most its number of workers. Call it when no task is queued."""
        self._config = config
        for worker in self._workers[config.jobs :]:
            self._drop(worker)
        for worker in list(self._workers):
            self._send(worker, config)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def events(self) -> Iterator[Event]:
        """Yield what happens until the queue is empty and every worker is idle."""
        while True:
            self._assign()
            busy = [w for w in self._workers if w.task is not None]
            if not busy:
                return
            # before the look for messages, so that none that it still sent is overlooked
            dead = [w for w in busy if w.process.poll() is not None]
            ready = wait([w.connection for w in busy], timeout=0 if dead else _POLL_SECONDS)
            for worker in [w for w in busy if w.connection in ready]:
                yield from self._receive(worker)
            for worker in [w for w in dead if w.connection not in ready]:  # a child of it holds the connection open
                yield from self._end(worker, WorkerDied(_cause_of_death(worker.process)))
            for worker in [w for w in self._workers if self._is_late(w)]:
                yield from self._end(worker, TimedOut(f"took longer than {self._timeout:g} s"))

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._workers):
            self._drop(worker)

    def _assign(self) -> None:
        while self._queue:
            idle = next((w for w in self._workers if w.task is None), None)
            if idle is None and len(self._workers) < self._config.jobs:
                idle = self._start()
                self._workers.append(idle)
            if idle is None:
                return
            if self._send(idle, self._queue[0]):
                idle.task, idle.units, idle.ended = self._queue.popleft(), set(), set()

    def _send(self, worker: _Worker, message: Task | WorkerConfig) -> bool:
        """Send a message to an idle worker; one that has died meanwhile is dropped, and another takes its place."""
        try:
            worker.connection.send(message)
        except OSError:
            self._drop(worker)
            return False
        return True

    def _start(self) -> _Worker:
        worker = _Worker(*start_worker(self._config.threads))
        worker.connection.send(self._config)
        return worker

    def _receive(self, worker: _Worker) -> Iterator[Event]:
        try:
            event: Event | None = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            yield from self._end(worker, WorkerDied(_cause_of_death(worker.process)))
            return
        if event is None:
            worker.task = None
        elif event.what == "fatal":
            raise UserError(event.text)
        elif event.what == "spoilt":
            yield from self._replace(worker, event.text)
        else:
            if event.what == "started":
                worker.units = {(event.section, key) for key in event.fleet or (event.key,)}
                worker.since, worker.allowed = time.monotonic(), len(worker.units)
            elif event.what in {"finished", "failed"}:
                worker.ended.add((event.section, event.key))
                worker.units.discard((event.section, event.key))
            yield event

    def _is_late(self, worker: _Worker) -> bool:
        allowed = math.inf if self._timeout is None else self._timeout * worker.allowed
        return bool(worker.units) and time.monotonic() - worker.since > allowed

    def _end(self, worker: _Worker, failure: CellFailure) -> Iterator[Event]:
        """End a worker, record the unit that it was at as failed, and queue the rest of its task again.

        A fleet that fails so is no member's fault until each has been tried alone.
        """
        self._drop(worker)
        if isinstance(worker.task, PrepareTask) and (worker.units or worker.ended):
            title = next((title for _, title in worker.units), "a component")  # none, between two of them
            raise UserError(f"{title} cannot be used: preparing it {_in_preparing(failure)}")
        if not worker.units and not worker.ended and not self._was_killed_once(worker):
            raise UserError(f"a worker could not begin: {failure}; what it printed stands above")
        again = self._deserves_another_try(worker, failure)
        split = worker.allowed > 1 and bool(worker.units) and not again
        for section, key in sorted(worker.units):
            if again or split:
                yield Event("again", section, key, text=str(failure))
                continue
            if section != "probe":  # which has no row: its cells train alone
                Store(Path(self._config.store)).folder(section, key).fail(failure.status, str(failure))
            yield Event("failed", section, key, status=failure.status, text=str(failure))
            worker.ended.add((section, key))
        self._queue_rest(worker, split)

    def _replace(self, worker: _Worker, why: str) -> Iterator[Event]:
        """End a worker whose process a component changed: another does what its task lacks, a fleet one by one."""
        self._drop(worker)
        if worker.allowed > 1:
            yield from (Event("again", section, key, text=why) for section, key in sorted(worker.units))
        self._queue_rest(worker, worker.allowed > 1 and bool(worker.units))

    def _queue_rest(self, worker: _Worker, split: bool) -> None:
        """Queue what is left of the task of a worker that has ended, before all others."""
        if worker.task is None:
            return
        rest = worker.task.without(worker.ended)
        if split and isinstance(rest, TrainTask | EvaluateFleetTask):
            for unit in worker.units:
                self._deaths.pop(unit, None)
            self._queue.extendleft(reversed(rest.one_by_one()))
        elif rest.units:
            self._queue.appendleft(rest)

    def _was_killed_once(self, worker: _Worker) -> bool:
        """Whether an idle worker was killed with a task on its way to it, for the first time with that task."""
        if worker.task is None or not worker.task.units or (worker.process.returncode or 0) >= 0:
            return False
        idle = ("idle", worker.task.units[0][1])
        self._deaths[idle] += 1
        return self._deaths[idle] == 1

    def _deserves_another_try(self, worker: _Worker, failure: CellFailure) -> bool:
        """A unit whose worker was killed goes on from its checkpoint once; killed again, the unit is to blame."""
        if not worker.units or not isinstance(failure, WorkerDied) or (worker.process.returncode or 0) >= 0:
            return False
        self._deaths.update(worker.units)
        return all(section != "probe" and self._deaths[section, key] == 1 for section, key in worker.units)

    def _drop(self, worker: _Worker) -> None:
        self._kill(worker)
        self._workers.remove(worker)

    def _kill(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.wait()
        worker.connection.close()
        os.close(worker.lifeline)


def _in_preparing(failure: CellFailure) -> str:
    if isinstance(failure, TimedOut):
        return f"{failure}, the --timeout; give it more, or mend what hangs"
    return f"ended the process that did so: {failure}"


def _signal_name(number: int) -> str:
    """Return a signal's number and, where it has one, its name."""
    name = signal.strsignal(number)
    return f"signal {number} ({name})" if name else f"signal {number}"


def _cause_of_death(process: subprocess.Popen[bytes]) -> str:
    lost = "it closed the connection to fmbench: a component closes file descriptors that are not its own"
    try:
        code = process.wait(_DYING_SECONDS)
    except subprocess.TimeoutExpired:
        code = LINE_LOST
    if code == LINE_LOST:
        return lost
    if code == -signal.SIGKILL:
        return "its process was killed (signal 9); the usual cause is that the machine ran out of memory"
    return f"its process was ended by {_signal_name(-code)}" if code < 0 else f"its process ended with exit code {code}"
