"""A queue whose jobs are forked from a process in which torch is imported already, and so are their workers.

It stands for submitit and SLURM: a job has an id and a state, is asked to make room by a signal and begun again, is
cancelled, and dies.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from forked_workers import begin

from fmbench.executors import local, worker
from fmbench.executors.import_path import import_path
from fmbench.executors.slurm.job import Job
from fmbench.executors.slurm.job_states import JobState
from fmbench.executors.slurm.parameters import SlurmParameters
from fmbench.executors.slurm.spool import Spool
from fmbench.executors.start_worker import worker_environment

REQUEUED = 99
"""The exit code of a job that made room for another, and is to be begun again."""
ENDED_STATES = {0: "COMPLETED", -signal.SIGINT: "CANCELLED", -signal.SIGKILL: "NODE_FAIL"}


class ForkedQueue:
    """Runs a process a job."""

    def __init__(self, parameters: SlurmParameters, spool: Spool, name: str) -> None:
        begin()
        self.spool = spool
        self.jobs: dict[str, Job] = {}
        self.processes: dict[str, multiprocessing.process.BaseProcess] = {}
        self.runs: list[str] = []
        self.submitted: list[tuple[int, int, bool]] = []
        self.refuses_to_requeue = False

    def submit(self, jobs: Sequence[Job], at_once: int, *, alone: bool) -> list[str]:
        """Start the jobs; how many at a time, and with how many at once, is noted."""
        self.submitted.append((len(jobs), at_once, alone))
        ids = [str(len(self.jobs) + number) for number in range(len(jobs))]
        self.jobs |= dict(zip(ids, jobs, strict=True))
        for each in ids:
            self._begin(each)
        return ids

    def job_states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """Return what the processes are at; one that made room is begun again."""
        return {each: self._state(each) for each in ids}

    def cancel(self, ids: Collection[str]) -> None:
        """End jobs."""
        self.signal(ids, signal.SIGINT)

    def signal(self, ids: Collection[str], number: signal.Signals) -> None:
        """Send a signal to jobs that have not ended."""
        for each in ids:
            pid = self.processes[each].pid
            if self.processes[each].exitcode is None and pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def close(self) -> None:
        """Wait for the processes."""
        for process in self.processes.values():
            process.join(60)

    def _begin(self, job: str) -> None:
        self.runs.append(job)
        errors = self.spool.printed(job)
        arguments = (self.jobs[job], str(errors), str(Path.cwd()), import_path())
        context = multiprocessing.get_context("forkserver")
        self.processes[job] = context.Process(target=run, args=arguments)  # type: ignore[attr-defined]
        self.processes[job].start()

    def _state(self, job: str) -> JobState:
        code = self.processes[job].exitcode
        if code is None:
            return JobState("RUNNING", "here")
        if code == REQUEUED and not self.refuses_to_requeue:
            self._begin(job)
            return JobState("PENDING")
        return JobState(ENDED_STATES.get(code, "FAILED"), "here")


def run(job: Job, errors: str, folder: str, path: list[str]) -> None:
    """Be the process of a job, as submitit makes it: it calls the job, and asks it for a checkpoint on a signal."""
    log = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(folder)
    sys.path[:] = path
    local.start_worker = start_worker  # type: ignore[assignment]
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def make_room(number: int, frame: object) -> None:
        again = job.checkpoint() is not None
        raise SystemExit(REQUEUED if again else 1)

    signal.signal(signal.SIGUSR2, make_room)
    try:
        job()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


class Child:
    """What `subprocess.Popen` is for the executor: a process that was forked here."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                call()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """Look whether the process has ended."""
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0.0)
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """Kill it, with its group."""
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(self.pid, signal.SIGKILL)


def start_worker(threads: int, gpu: str = "") -> tuple[Child, Connection, int]:
    """Do what fmbench's own does."""
    here, there = Pipe()
    lifeline_end, lifeline = os.pipe()

    def work() -> None:
        os.setpgid(0, 0)
        here.close()
        os.close(lifeline)
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        environment = worker_environment(threads, import_path(), os.environ, gpu)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = [str(there.fileno()), str(lifeline_end)]
        worker.main()

    child = Child(work)
    there.close()
    os.close(lifeline_end)
    return child, here, lifeline
