"""The driver as a job of its own: small, long, and begun again when it has to make room."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fmbench.errors import UserError
from fmbench.executors.slurm.parameters import SlurmParameters
from fmbench.executors.slurm.time_limits import minutes_of, time_limit

DETACHED = "FMBENCH_DETACHED"
"""The environment variable of a detached run: its file in the store."""
DRIVER_JOB = "FMBENCH_DRIVER_JOB"
"""The one of a run whose driver is a SLURM job of its own."""
LONGEST_MINUTES = 7 * 24 * 60
"""The time limit of a driver where the partition allows so much: it is begun again when that is over."""
SIGNAL_SECONDS = 120
_TAKEN = ("account", "partition", "qos", "reservation", "constraint")
"""What of --slurm is for the driver, too; cores, memory and GPUs are for those that compute."""


def submit_driver(
    command: Sequence[str], environment: Mapping[str, str], log: Path, name: str, parameters: SlurmParameters
) -> str:
    """Submit a command as a job of one core, with these environment variables besides the present ones; return its id.

    Raises UserError where SLURM refuses it.
    """
    asked = {**parameters.given, **parameters.more}
    taken = {key: str(asked[key]) for key in _TAKEN if key in asked}
    options = {
        "job-name": name,
        "output": str(log),
        "open-mode": "append",
        "cpus-per-task": "1",
        "time": time_limit(_minutes(taken.get("partition"))),
        "signal": f"B:USR2@{SIGNAL_SECONDS}",
        **taken,
    }
    # the shell is replaced, so that the signal reaches fmbench
    script = f"#!/bin/bash\nexec env {shlex.join([f'{n}={v}' for n, v in environment.items()])} {shlex.join(command)}\n"
    flags = [f"--{option}={value}" for option, value in options.items()]
    done = subprocess.run(
        ["sbatch", "--parsable", "--requeue", *flags], input=script, capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = " ".join(done.stderr.split())
        raise UserError(f"SLURM does not take the driver's job: {why}. Change what --slurm says.")
    return done.stdout.strip().partition(";")[0]


class Requeued(SystemExit):
    """The driver ends, and is begun again."""


def requeue_on_signal() -> None:
    """Have this process's job begun again when it is asked to make room."""

    def end(number: int, frame: object) -> None:
        subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
        raise Requeued(0)

    signal.signal(signal.SIGUSR2, end)


def is_requeued() -> bool:
    """Whether SLURM begins this process's job again: by `scontrol requeue`, or for jobs that go first.

    It counts how often a job was begun again before it ends the job's processes.
    """
    command = ["scontrol", "--oneliner", "show", "job", os.environ["SLURM_JOB_ID"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    restarts = re.search(r"\bRestarts=(\d+)", done.stdout)
    return restarts is not None and int(restarts[1]) > int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _minutes(partition: str | None) -> int:
    """Return the time limit of a driver: what the partition allows, up to LONGEST_MINUTES."""
    done = subprocess.run(["sinfo", "--noheader", "--format=%P %l"], capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines()]
    limits = {row[0]: row[1] for row in rows if len(row) == 2}
    usual = next((limit for name, limit in limits.items() if name.endswith("*")), "")
    # "infinite" is no number
    allowed = minutes_of(limits.get(f"{partition}*", limits.get(partition, "")) if partition else usual)
    return min(LONGEST_MINUTES, allowed or LONGEST_MINUTES)
