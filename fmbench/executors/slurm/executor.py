"""The SLURM executor: each task is a job, many are an array; what they say comes back through files in the store."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from fmbench.errors import CellFailure, OutOfMemory, TimedOut, WorkerDied
from fmbench.executors.choose import ExecutorOptions
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.slurm.driver_job import DETACHED
from fmbench.executors.slurm.event_files import BEGUN, ENDED, LATE, PREEMPTED, EventTail, Line
from fmbench.executors.slurm.job import Job
from fmbench.executors.slurm.job_states import JobState
from fmbench.executors.slurm.parameters import SlurmParameters, slurm_parameters
from fmbench.executors.slurm.spool import Spool, remove_old_spools
from fmbench.executors.slurm.submission import make_queue
from fmbench.executors.slurm.time_limits import UNKNOWN_MINUTES, minutes_for, time_limit
from fmbench.executors.supervisor import Supervisor, WorkerGone
from fmbench.executors.tasks import Task
from fmbench.runtime.environment import cpu_count

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""So often the driver looks for new events."""
STATE_SECONDS = 5.0
"""So often it asks SLURM for the states of jobs."""
SETTLE_SECONDS = 10.0
"""A job that has ended without a last word is waited for so long: its file may be on its way."""
ENDING_SECONDS = 60.0
"""So long cancelled jobs are waited for."""
MOST_QUEUED = 1000
"""Elements of an array, and jobs in SLURM's queue at once; SLURM's own usual bound of both."""
LINES_SHOWN = 12
"""Last lines of what a job printed, in a message."""

_ADVICE = {
    "CANCELLED": "somebody cancelled it",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it took more memory than the job had; --slurm mem=16G, say, gives more",
    "TIMEOUT": "its time was up before a checkpoint was saved; --slurm time=... gives more",
    "GONE": "SLURM knows of it no more",
}
_LOST = {"NODE_FAIL", "BOOT_FAIL"}
_FAILURES: dict[str, type[CellFailure]] = {"OUT_OF_MEMORY": OutOfMemory, "TIMEOUT": TimedOut}


class JobLink:
    """The line to one job, which computes one task."""

    def __init__(self, owner: SlurmExecutor, number: int, config: WorkerConfig) -> None:
        self._owner, self.number, self.config = owner, number, config
        self.task: Task | None = None
        self.job = ""
        self.state = JobState("PENDING")
        self.has_ended = False
        self._tail = EventTail(owner.spool.events, number)
        self._said: list[Event | None] = []
        self._gone: WorkerGone | None = None
        self._last = ""
        self._silent_since: float | None = None

    def send(self, message: Task | WorkerConfig) -> None:
        """Take the task, which is submitted with all others that there are now, or another configuration."""
        if isinstance(message, WorkerConfig):
            self.config = message
        else:
            self.task = message

    def look(self) -> bool:
        """Read what is new; return whether `receive` has something to say."""
        for line in self._tail.read():
            self._take(line)
        if not self.state.has_ended:  # or not any more: it is begun again
            self._silent_since = None
        elif not self.has_ended and self._gone is None:
            self._note_silence()
        return bool(self._said) or self._gone is not None

    def receive(self) -> list[Event | None]:
        """Return what the job said. Raises WorkerGone where it has ended without a last word."""
        said, self._said = self._said, []
        if not said and self._gone is not None:
            raise self._gone
        return said

    def close(self) -> None:
        """End the job, if it has not ended."""
        self._owner.end([self])

    def submitted(self, job: str) -> None:
        """Note the job's id."""
        self.job, self.state, self._silent_since, self._last = job, JobState("PENDING"), None, ""

    def _take(self, line: Line) -> None:
        if isinstance(line, Event):
            self._said.append(line)
            return
        before, self._last = self._last, line["job"]
        if self._last == ENDED:
            self.has_ended = True
            self._said.append(None)
        elif self._last == PREEMPTED:
            self._said.append(Event("preempted", text=f"job {self.job} makes room, and goes on later"))
        elif self._last == LATE:
            limit = time_limit(self._owner.minutes(self))
            why = f"its job {self.job} reached its time limit, {limit}, before anything ended or was saved"
            self._gone = WorkerGone(f"{why}; --slurm time=... gives more", killed=False, failure=TimedOut)
        elif before == BEGUN:
            why = f"its job {self.job} was lost, and SLURM began it again"
            self._gone = WorkerGone(why, killed=True, lost=True)

    def _note_silence(self) -> None:
        """Judge a job that has ended: what it has to say may still be on its way."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            self._owner.spool.refresh()
        elif now - self._silent_since > SETTLE_SECONDS:
            if self._last == PREEMPTED and self.state.state != "CANCELLED":
                self.job = ""  # it made room, and the cluster does not begin it again: it is submitted anew
            else:
                failure = _FAILURES.get(self.state.state, WorkerDied)
                lost = self.state.state in _LOST
                self._gone = WorkerGone(self._cause(), killed=True, lost=lost, failure=failure)

    def _cause(self) -> str:
        why = _ADVICE.get(self.state.state, "")
        text = f"its SLURM job {self.job} ended in the state {self.state}{f': {why}' if why else ''}"
        printed = self._owner.last_lines(self.job)
        if printed is None and not self._last:
            spool = self._owner.spool.root
            return (
                f"{text}. It left nothing in {spool}: the store must be on a file system that all nodes share, under "
                "the same path; choose one with --home or FMBENCH_HOME"
            )
        return f"{text}. The last that it printed:\n{printed}" if printed and self.state.state == "FAILED" else text


class SlurmExecutor(Supervisor[JobLink]):
    """Runs tasks as jobs of SLURM. The store must be on a file system that all nodes share.

    A detached driver leaves its jobs alone when it ends before them: they go on, and the next driver finds what they
    have done.
    """

    chains = True
    one_task_each = True

    def __init__(self, config: WorkerConfig, options: ExecutorOptions) -> None:
        # the worker process on the node is under the timeout; here a job may wait for its node for days
        super().__init__(config, timeout=None)
        self.parameters: SlurmParameters = slurm_parameters(options.slurm)
        self._unit_timeout = options.timeout
        self._at_once = int(options.jobs) if options.jobs.isdecimal() else None
        self._detached = DETACHED in os.environ
        self.spool = Spool(Path(config.store), self.parameters.cluster)
        self.printed = f"what jobs printed lies in {self.spool.jobs}"
        self._jobs = make_queue(self.parameters, self.spool, job_name(self.spool))
        self._numbers = iter(range(10**9))
        self._asked = 0.0
        self._lost = False

    def warm_up(self, tasks: int) -> None:
        """Do nothing: a job begins when it has a task."""

    def minutes(self, link: JobLink) -> int:
        """Return the time limit of a link's job."""
        if self.parameters.minutes is not None:
            return self.parameters.minutes
        return UNKNOWN_MINUTES if link.task is None else minutes_for(self.expected_seconds(link.task))

    def last_lines(self, job: str) -> str | None:
        """Return the last lines of what a job printed, None where there is no file of it."""
        try:
            text = self.spool.printed(job).read_text(errors="replace")
        except OSError:
            return None
        return "\n".join(text.strip().splitlines()[-LINES_SHOWN:])

    def _room(self) -> int:
        if self.parameters.cluster == "local":
            return self._at_once or cpu_count()
        return MOST_QUEUED

    def _start(self) -> JobLink:
        return JobLink(self, next(self._numbers), self._config)

    def _given_out(self) -> None:
        """Submit what has no job yet: as one array, and what is timed as another, a node each."""
        waiting = [worker.link for worker in self._workers if worker.link.task is not None and not worker.link.job]
        if not waiting:
            return
        if not self.spool.root.exists():
            remove_old_spools(self.spool.root.parent.parent)
            self.spool.make()
        for alone, links in groupby(sorted(waiting, key=_is_alone), key=_is_alone):
            together = list(links)
            # samplers are timed one after the other
            at_once = 1 if alone else min(self._at_once or len(together), len(together))
            jobs = self._jobs.submit([self._job(link) for link in together], at_once, alone=alone)
            for link, job in zip(together, jobs, strict=True):
                link.submitted(job)

    def _job(self, link: JobLink) -> Job:
        assert link.task is not None
        config = replace(link.config, threads=self.parameters.cores(link.config.threads))
        return Job(
            config,
            link.task,
            str(self.spool.events),
            link.number,
            self._unit_timeout,
            self.minutes(link),
            self.parameters.signal_delay,
        )

    def _ready(self, links: Sequence[JobLink], seconds: float) -> list[JobLink]:
        deadline = time.monotonic() + seconds
        while True:
            self._ask_for_states(links)
            ready = [link for link in links if link.job and link.look()]
            if ready or time.monotonic() >= deadline or not all(link.job for link in links):
                return ready
            time.sleep(POLL_SECONDS)

    def _ask_for_states(self, links: Iterable[JobLink]) -> None:
        """Ask for the states of jobs, now and then."""
        if time.monotonic() - self._asked < STATE_SECONDS:
            return
        open_links = {link.job: link for link in links if link.job and not link.has_ended}
        for job, state in self._jobs.job_states(list(open_links)).items():
            open_links[job].state = state
        self._asked = time.monotonic()

    def end(self, links: Sequence[JobLink]) -> None:
        """Cancel the jobs that have not ended, and wait until they have."""
        left = {link.job: link for link in links if link.job and not link.has_ended and not link.state.has_ended}
        self._lost |= any(link.state.has_ended and not link.has_ended for link in links)
        if not left:
            return
        self._lost = True
        self._jobs.cancel(list(left))
        deadline = time.monotonic() + ENDING_SECONDS
        while left and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            for job, state in self._jobs.job_states(list(left)).items():
                if state.has_ended:
                    del left[job]
        if left:
            log.warning("these SLURM jobs were cancelled and have not ended yet: %s", ", ".join(sorted(left)))

    def close(self) -> None:
        """Cancel all jobs, unless this driver is detached; the spool goes, unless somebody may want to look into it."""
        links = [worker.link for worker in self._workers]
        at_work = [link.job for link in links if link.job and not link.has_ended]
        if at_work and self._detached:
            log.warning("%d SLURM jobs go on without their driver", len(at_work))
            return
        if at_work:
            log.warning("%d SLURM jobs are cancelled; what they have saved is kept", len(at_work))
        self.end(links)
        self._jobs.close()
        self._workers.clear()
        if not self._lost:
            self.spool.remove()


def job_name(spool: Spool) -> str:
    """Return the name of a run's jobs, by which scancel finds them: that of a detached run, where it is one."""
    detached = os.environ.get(DETACHED)
    return f"fmbench-{Path(detached).stem if detached else spool.root.name.rpartition('-')[2]}"


def _is_alone(link: JobLink) -> bool:
    return link.config.alone
