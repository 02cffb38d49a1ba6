"""Starting the process of a worker, so that it imports what the driver does and nothing from where it stands."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, Pipe

from fmbench.executors.import_path import import_path


class WorkerProcess(subprocess.Popen[bytes]):
    """A process that leads a group of its own, with which it is killed: what its components started ends with it."""

    def kill(self) -> None:
        """Kill the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        super().kill()


def start_worker(threads: int, gpu: str = "") -> tuple[WorkerProcess, Connection, int]:
    """Start a worker of so many threads; return its process, the connection to it, and this end of its lifeline.

    With `gpu`, it sees that one alone.
    """
    here, there = Pipe()
    lifeline_end, lifeline = os.pipe()
    process = WorkerProcess(
        [sys.executable, "-P", "-m", "fmbench.executors.worker", str(there.fileno()), str(lifeline_end)],
        pass_fds=(there.fileno(), lifeline_end),
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a plugin prints must not end up in --json
        env=worker_environment(threads, import_path(), os.environ, gpu),
        process_group=0,  # Ctrl-C is for the driver, which ends its workers itself
    )
    there.close()
    os.close(lifeline_end)
    return process, here, lifeline


def worker_environment(threads: int, folders: Sequence[str], given: Mapping[str, str], gpu: str = "") -> dict[str, str]:
    """Return the environment of a worker of so many threads that imports from these folders, made from the driver's."""
    own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    own |= {"PYTHONPATH": os.pathsep.join(folders), "PYTHONSAFEPATH": "1"}
    own |= {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
    return {**given, **own}
