"""What runs on the node: one task, computed by a worker process as the local executor has them, events into a file."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench.errors import UserError
from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.preemption import EXIT_CODE
from fmbench.executors.slurm.event_files import BEGUN, ENDED, LATE, PREEMPTED, EventFile, ended_units
from fmbench.executors.tasks import PrepareTask, Task
from fmbench.runtime.environment import cpu_count

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

MARGIN_SECONDS = 15.0
"""What is left of the time between the signal and the end for all that is not waiting for the worker."""


@dataclass
class Job:
    """A task and what it takes to compute it: submitit calls it on the node, and asks it for a checkpoint.

    `folder` is that of the events, `number` the task's, `timeout` the seconds a unit may take, `minutes` the job's time
    limit, and `signal_delay` the seconds before that at which it is asked to make room.
    """

    config: WorkerConfig
    task: Task
    folder: str
    number: int
    timeout: float | None
    minutes: int
    signal_delay: int

    def __post_init__(self) -> None:
        self._run: JobRun | None = None

    def __call__(self) -> None:
        """Compute the task, but for what earlier runs of this job have ended."""
        self._run = JobRun(self)
        signal.signal(signal.SIGTERM, self._terminated)  # submitit leaves it alone
        self._run.compute()

    def _terminated(self, number: int, frame: object) -> None:
        """Make room; whether the job is begun again is the scheduler's decision."""
        assert self._run is not None
        self._run.make_room(PREEMPTED)
        raise SystemExit(EXIT_CODE)

    def checkpoint(self) -> DelayedSubmission | None:
        """Make room, and return what is to be done when the job is begun again: the same.

        None is returned, and the job is not begun again, where it reached its time limit and had got nowhere.
        """
        from submitit.core.utils import DelayedSubmission

        run = self._run
        if run is None:  # it had not yet begun
            return DelayedSubmission(replace(self))
        run.make_room(how := LATE if run.is_at_limit and not run.has_advanced else PREEMPTED)
        return None if how == LATE else DelayedSubmission(replace(self))


class JobRun:
    """One run of a job, from its beginning on a node to its end there."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._rest = _rest(job)
        self._file = EventFile(Path(job.folder), job.number)
        threads = cpu_count() if job.config.alone else job.config.threads
        self._executor = LocalExecutor(replace(job.config, threads=threads, jobs=1, preemptible=True), job.timeout)
        self._began = time.monotonic()
        self._making_room = False
        self._news = 0
        self.has_advanced = False

    @property
    def is_at_limit(self) -> bool:
        """Whether it is the time limit for which the job is asked to make room."""
        return time.monotonic() - self._began > 60 * self.job.minutes - 2 * self.job.signal_delay

    def compute(self) -> None:
        """Compute what is left of the task."""
        self._file.write({"job": BEGUN, "host": socket.gethostname(), "process": os.getpid(), **_of_slurm()})
        try:
            if self._rest.units or isinstance(self._rest, PrepareTask):
                self._executor.submit(self._rest)
                for event in self._executor.events():
                    self._file.write(event)
                    self._note(event)
        except UserError as error:
            self._file.write(Event("fatal", text=str(error)))
        finally:
            self._executor.close()
        if not self._making_room:
            self._file.write({"job": ENDED})

    def make_room(self, how: str) -> None:
        """Have the worker save what it trains and end, and note how this run of the job ended; once."""
        if not self._making_room:
            self._making_room = True
            self._executor.make_room(max(1.0, self.job.signal_delay - MARGIN_SECONDS))
            self._file.write({"job": how})

    def _note(self, event: Event) -> None:
        """Note whether the job gets anywhere. The first steps that it tells of may be those of a checkpoint."""
        self._news += event.what == "advanced"
        self.has_advanced |= event.what in {"finished", "failed"} or self._news > 1


def _rest(job: Job) -> Task:
    return job.task.without(ended_units(Path(job.folder), job.number))


def _of_slurm() -> Mapping[str, Any]:
    """Return what SLURM says of this run of the job."""
    names = {"node": "SLURMD_NODENAME", "restarts": "SLURM_RESTART_COUNT", "id": "SLURM_JOB_ID"}
    found = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
    if "SLURM_ARRAY_JOB_ID" in os.environ:  # by this name scancel finds it
        found["id"] = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return found
