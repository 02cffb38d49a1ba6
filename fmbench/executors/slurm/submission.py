"""Submitting jobs through submitit: arrays to SLURM, or processes of this machine, to try it without a cluster."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from typing import Any, Protocol

import submitit
from submitit.core.core import Job as SubmittedJob
from submitit.core.utils import FailedJobError, FailedSubmissionError

from fmbench.errors import UserError
from fmbench.executors.import_path import import_path
from fmbench.executors.slurm.job import Job
from fmbench.executors.slurm.job_states import JobState, cancel, states_in_slurm
from fmbench.executors.slurm.parameters import SlurmParameters
from fmbench.executors.slurm.spool import Spool
from fmbench.executors.slurm.time_limits import time_limit

MOST_TIMEOUTS = 10_000
"""So often submitit may begin a job again whose time was up; fmbench ends one that gets nowhere."""
TRIES, PAUSE_SECONDS = 5, 5.0
ENDING_SECONDS = 10.0
_BUSY = ("timed out", "temporarily", "unable to contact", "connection refused", "try again")
"""Signs that the controller is busy, and takes a job later."""


_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
"""How the environment variables begin that describe the job in which a process runs: another job is not like it."""
_OF_SLURM = ("SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS")
"""Those that tell SLURM's commands where it is."""


class JobQueue(Protocol):
    """What takes jobs, and runs them some time."""

    def submit(self, jobs: Sequence[Job], at_once: int, *, alone: bool) -> list[str]:
        """Submit jobs, of which so many may run at once, `alone` on a node each; return their ids, in order."""

    def job_states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """Return the states of jobs; of those of which nothing can be said now, none."""

    def cancel(self, ids: Collection[str]) -> None:
        """Have jobs ended."""

    def close(self) -> None:
        """Wait until jobs that have said their last word are gone, where they are this process's own."""


def make_queue(parameters: SlurmParameters, spool: Spool, name: str) -> JobQueue:
    """Return the queue that the parameters name; `name` is that of its jobs."""
    return LocalQueue(parameters, spool) if parameters.cluster == "local" else SlurmQueue(parameters, spool, name)


class SlurmQueue:
    """SLURM."""

    def __init__(self, parameters: SlurmParameters, spool: Spool, name: str) -> None:
        self._parameters, self._spool, self._name = parameters, spool, name

    def submit(self, jobs: Sequence[Job], at_once: int, *, alone: bool) -> list[str]:
        """Submit jobs as an array, of which so many elements may run at once; see JobQueue."""
        minutes = max(job.minutes for job in jobs)
        python = f"{shlex.quote(sys.executable)} -P"
        executor = submitit.SlurmExecutor(self._spool.jobs, max_num_timeout=MOST_TIMEOUTS, python=python)
        executor.update_parameters(
            **{"job_name": self._name, "wckey": None, **self._given(jobs[0])},
            **({"exclusive": True, "cpus_per_task": None} if alone else {}),
            time=minutes,
            array_parallelism=at_once,
            additional_parameters={**self._parameters.more, "time": time_limit(minutes), "requeue": True},
            signal_delay_s=self._parameters.signal_delay,
        )
        return [str(job.job_id) for job in _submitted(executor.submit_array, jobs)]

    def _given(self, job: Job) -> Mapping[str, Any]:
        return self._parameters.with_resources(dict(job.config.resources), job.config.threads)

    def job_states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """See JobQueue."""
        return states_in_slurm(ids)

    def cancel(self, ids: Collection[str]) -> None:
        """See JobQueue."""
        cancel(ids)

    def close(self) -> None:
        """See JobQueue."""


class LocalQueue:
    """Processes of this machine, which end with the driver's cancelling them as jobs would."""

    def __init__(self, parameters: SlurmParameters, spool: Spool) -> None:
        self._parameters, self._spool = parameters, spool
        self._jobs: dict[str, Any] = {}

    def submit(self, jobs: Sequence[Job], at_once: int, *, alone: bool) -> list[str]:
        """Start a process a job; see JobQueue. Whoever calls it submits no more than may run at once."""
        executor = submitit.LocalExecutor(
            self._spool.jobs, max_num_timeout=MOST_TIMEOUTS, python=f"{shlex.quote(sys.executable)} -P"
        )
        executor.update_parameters(
            timeout_min=max(job.minutes for job in jobs), signal_delay_s=self._parameters.signal_delay
        )
        submitted = _submitted(executor.submit_array, jobs)
        self._jobs |= {str(job.job_id): job for job in submitted}
        return [str(job.job_id) for job in submitted]

    def job_states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """See JobQueue."""
        return {each: JobState(_LOCAL_STATES.get(self._jobs[each].state, "FAILED")) for each in ids}

    def cancel(self, ids: Collection[str]) -> None:
        """End the processes; what a job has started ends with it."""
        for each in ids:
            process = self._jobs[each]._process
            if process.poll() is None:
                process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """See JobQueue."""
        for job in self._jobs.values():
            with suppress(subprocess.TimeoutExpired):
                job._process.wait(ENDING_SECONDS)


_LOCAL_STATES = {"RUNNING": "RUNNING", "FINISHED": "COMPLETED", "INTERRUPTED": "CANCELLED"}


def _submitted(submit: Callable[[list[Job]], list[SubmittedJob[Any]]], jobs: Sequence[Job]) -> list[SubmittedJob[Any]]:
    """Submit jobs. Raises UserError where SLURM refuses them; a busy controller is asked again."""
    for trial in range(TRIES):
        try:
            with _environment(), redirect_stderr(StringIO()):  # submitit prints what it raises, too
                return submit(list(jobs))
        except (FailedJobError, FailedSubmissionError) as error:
            why = " ".join(str(error).split())
            if trial + 1 < TRIES and any(sign in why.lower() for sign in _BUSY):
                time.sleep(PAUSE_SECONDS)
                continue
            raise UserError(f"SLURM takes no job: {why}. Change what --slurm says, or ask those who run it.") from error
    raise AssertionError("the last trial returns or raises")


@contextmanager
def _environment() -> Iterator[None]:
    """Give jobs the driver's environment, with its path of imports, and nothing of a job in which it may run itself."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_OF_A_JOB) and name not in _OF_SLURM:
            del os.environ[name]
    os.environ |= {"PYTHONPATH": os.pathsep.join(import_path()), "PYTHONSAFEPATH": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
