"""What SLURM says of jobs: by squeue, which knows what runs and what ended lately, and by sacct where that is set up.

`submitit` asks sacct alone, which knows nothing on a cluster without an accounting database. A job that neither knows
has ended: SLURM forgets it some minutes after its end.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from typing import NamedTuple

GONE = "GONE"
"""The state of a job of which SLURM knows nothing any more."""
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT", GONE),
}
"""The states from which a job does not come back."""
WAITING = {"PENDING", "REQUEUED", "CONFIGURING", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
SECONDS = 60.0
"""So long a command of SLURM's may take."""


class JobState(NamedTuple):
    """A job's state, the nodes that it has or had, and why it waits."""

    state: str
    nodes: str = ""
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the job does not come back."""
        return self.state in ENDED

    def __str__(self) -> str:
        return f"{self.state} on {self.nodes}" if self.nodes else self.state


def states_in_slurm(ids: Collection[str]) -> Mapping[str, JobState]:
    """Return the states of jobs, "12" or "12_3" for an array's; nothing where the controller does not answer."""
    if not ids:
        return {}
    known = _queued(ids)
    if known is None:
        return {}
    missing = [each for each in ids if each not in known]
    if missing:
        known |= _accounted(missing)
    return {each: known.get(each, JobState(GONE)) for each in ids}


def _queued(ids: Collection[str]) -> dict[str, JobState] | None:
    """Return what squeue knows; None where it cannot say."""
    command = ["squeue", "--noheader", "--states=all", "--array", "--format=%i|%T|%N|%r", f"--jobs={_main(ids)}"]
    done = _run(command)
    if done is None:
        return None
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None
    rows = (line.strip().split("|") for line in done.stdout.splitlines() if line.strip())
    return {row[0]: JobState(row[1], row[2], row[3]) for row in rows if len(row) == 4}


def _accounted(ids: Collection[str]) -> dict[str, JobState]:
    """Return what sacct knows; nothing where there is no accounting."""
    done = _run(
        ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,NodeList", "-j", _main(ids)]
    )
    if done is None or done.returncode:
        return {}
    rows = (line.strip().split("|") for line in done.stdout.splitlines() if line.strip())
    return {row[0]: JobState(row[1].split()[0], row[2]) for row in rows if len(row) == 3 and row[1]}


def cancel(ids: Collection[str]) -> None:
    """Have jobs ended; those that have ended already are no error."""
    if ids:
        _run(["scancel", "--quiet", *sorted(ids)])


def _main(ids: Collection[str]) -> str:
    return ",".join(sorted({each.partition("_")[0] for each in ids}, key=int))


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
