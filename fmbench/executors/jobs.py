"""How many workers there are, how many share a machine, their threads, and which cells are sampled as one."""

from __future__ import annotations

from fmbench.errors import UserError
from fmbench.runtime.device import device_type
from fmbench.runtime.environment import cpu_count

MOST_JOBS = 1024
TOGETHER = 4
"""Cells that are sampled by one program, at least."""


def jobs_and_threads(
    wanted: str, tasks: int, device: str, cpu: float | None = None, on_gpus: int = 1
) -> tuple[int, int]:
    """Return how many processes, and threads each, keep this machine busy. `wanted` is "auto" or a number.

    On a CPU small networks gain more from processes than from threads; GPUs have room for `on_gpus` processes, one each
    unless the user wants more. `cpu` are the cores of a worker, where a suite's `resources` say so.
    """
    cores = cpu_count()
    threads = None if cpu is None else _threads(cpu)
    jobs = _number(wanted)
    if jobs is None:
        most = cores // (threads or 1) if device == "cpu" else on_gpus
        jobs = max(1, min(most, tasks))
    return jobs, threads or max(1, cores // jobs)


def remote_jobs_and_threads(wanted: str, cpu: float | None = None) -> tuple[int, int]:
    """Return how many workers, at most, a cluster has at a time, and threads each: one where no suite says more."""
    return _number(wanted) or MOST_JOBS, _threads(cpu or 1)


def _number(wanted: str) -> int | None:
    """Return what `--jobs` says, None for "auto". Raises UserError."""
    if wanted == "auto":
        return None
    if wanted.isdecimal() and len(wanted) <= 4 and 1 <= int(wanted) <= MOST_JOBS:
        return int(wanted)
    raise UserError(f"--jobs must be 'auto' or a number from 1 to {MOST_JOBS}; found {wanted!r}")


def _threads(cpu: float) -> int:
    return max(1, int(cpu))


def machine_processes(device: str, gpus: int) -> int:
    """Return how many processes could keep this machine busy, whatever --jobs says: fleets are composed for so many.

    `gpus` are those that workers are shared out to, 0 where they all see the same.
    """
    return max(1, gpus) if device_type(device) == "cuda" else cpu_count()


def sampled_together(device: str, members: int) -> bool:
    """Whether so many cells of a fleet are sampled by one program: on a GPU, which small networks keep waiting.

    On a CPU it is never clearly faster: a call for 16 small networks takes 41 us each together and 37 one by one for
    MLPs of 2x16, and 1361 against 1254 for U-Nets of 8 channels (one thread of an AMD EPYC, 256 samples each).
    """
    return device_type(device) == "cuda" and members >= TOGETHER
