"""How many processes share a machine, and how many threads each of them has."""

from __future__ import annotations

from fmbench.errors import UserError
from fmbench.runtime.environment import cpu_count

MOST_JOBS = 1024


def jobs_and_threads(wanted: str, tasks: int, device: str) -> tuple[int, int]:
    """Return how many processes, and threads each, keep the machine busy. `wanted` is "auto" or a number.

    On a CPU small networks gain more from processes than from threads; a GPU is given to one process.
    """
    cores = cpu_count()
    if wanted == "auto":
        jobs = 1 if device != "cpu" else max(1, min(cores, tasks))
    elif wanted.isdecimal() and len(wanted) <= 4 and 1 <= int(wanted) <= MOST_JOBS:
        jobs = int(wanted)
    else:
        raise UserError(f"--jobs must be 'auto' or a number from 1 to {MOST_JOBS}; found {wanted!r}")
    return jobs, max(1, cores // jobs)
