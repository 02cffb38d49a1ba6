"""The local executor: worker processes on this machine, each with its own threads, that survive one another's death."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.preemption import EXIT_CODE
from fmbench.executors.start_worker import start_worker
from fmbench.executors.supervisor import Supervisor, WorkerGone
from fmbench.executors.tasks import LINE_LOST, Task

_DYING_SECONDS = 10.0
"""A process whose connection has ended is given so long to end by itself."""
_PARTING_SECONDS = 1.0
"""A process is given so long to end by itself when its lifeline has."""


@dataclass(eq=False)
class LocalLink:
    """The pipe to a worker process. The process ends, too, when the other end of its `lifeline` does.

    `gpu` is the one that it sees, where workers are shared out to several.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    lifeline: int
    gpu: str = ""

    def send(self, message: Task | WorkerConfig) -> None:
        """Send a message down the pipe."""
        self.connection.send(message)

    def receive(self) -> list[Event | None]:
        """Return what lies in the pipe. Raises WorkerGone where the process has ended and nothing does.

        The end of a process is looked at first: a child of it may hold the pipe open, and none of its words is lost.
        """
        ended = self.process.poll() is not None
        said: list[Event | None] = []
        try:
            while self.connection.poll():
                said.append(self.connection.recv())
        except (EOFError, ConnectionResetError):
            ended = True
        if ended and not said:
            raise self._gone()
        return said

    def close(self) -> None:
        """End the process and all that it started. It is given a moment to give its leases back."""
        os.close(self.lifeline)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PARTING_SECONDS)
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def _gone(self) -> WorkerGone:
        try:
            code = self.process.wait(_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            code = LINE_LOST
        return WorkerGone(_cause_of_death(code), killed=code < 0 or code == EXIT_CODE)


class LocalExecutor(Supervisor[LocalLink]):
    """Runs tasks in up to `config.jobs` processes of this machine."""

    def reconfigure(self, config: WorkerConfig) -> None:
        """Go on under another configuration; what is timed, is on the first GPU."""
        if config.alone and config.gpus:
            for worker in [worker for worker in self._workers if worker.link.gpu != config.gpus[0]]:
                self._drop(worker)
        super().reconfigure(config)

    def _room(self) -> int:
        return self._config.jobs

    def _start(self) -> LocalLink:
        # the one with the fewest: where a worker has ended, the next takes its place
        taken = Counter(worker.link.gpu for worker in self._workers)
        gpu = min(self._config.gpus, key=lambda gpu: taken[gpu], default="")
        link = LocalLink(*start_worker(self._config.threads, gpu), gpu)
        link.send(self._config)
        return link

    def make_room(self, seconds: float) -> None:
        """Ask all workers to save what they train and to end, and wait for so many seconds at most until they have.

        It may be called by a signal's handler, whatever the executor is at: it only looks at processes.
        """
        processes = [worker.link.process.pid for worker in self._workers]
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
        deadline = time.monotonic() + seconds
        while any(map(_is_running, processes)) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _ready(self, links: Sequence[LocalLink], seconds: float) -> list[LocalLink]:
        return wait_for(links, seconds)


def wait_for(links: Sequence[LocalLink], seconds: float) -> list[LocalLink]:
    """Wait for so many seconds at most; return those links whose process has said something, or ended."""
    dead = [link for link in links if link.process.poll() is not None]
    ready = wait([link.connection for link in links], timeout=0 if dead else seconds)
    return [link for link in links if link in dead or link.connection in ready]


def _is_running(pid: int) -> bool:
    """Whether a child process has not ended; how it ended is left to be asked for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _signal_name(number: int) -> str:
    """Return a signal's number and, where it has one, its name."""
    name = signal.strsignal(number)
    return f"signal {number} ({name})" if name else f"signal {number}"


def _cause_of_death(code: int) -> str:
    """Say how a process ended, by its exit code; one below zero is a signal's."""
    if code == LINE_LOST:
        return "it closed the connection to fmbench: a component closes file descriptors that are not its own"
    if code == -signal.SIGKILL:
        return "its process was killed (signal 9); the usual cause is that the machine ran out of memory"
    if code == EXIT_CODE:
        return "its process was asked to end, and has saved what it could"
    return f"its process was ended by {_signal_name(-code)}" if code < 0 else f"its process ended with exit code {code}"
