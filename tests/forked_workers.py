"""Workers that are forked from a process in which torch is imported already, which is most of what starting one takes.

Everything else is as in the workers that fmbench itself starts: test_start_worker.py compares the two. Those start
where a test asks for `real_workers`, and in all tests that run the command line in a process of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import pytest

from fmbench.executors import worker
from fmbench.executors.import_path import import_path
from fmbench.executors.start_worker import worker_environment


class ForkedProcess:
    """What `subprocess.Popen` is for the executor."""

    def __init__(self, *arguments: object) -> None:
        begin()
        self._process = multiprocessing.get_context("forkserver").Process(target=work, args=arguments, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Look whether the process has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked worker", timeout or 0.0)
        return self.returncode

    def kill(self) -> None:
        """Kill the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()


@cache
def begin() -> None:
    """Start the process from which workers are forked; it imports from the same folders as this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(import_path()))
        patch.delenv("FMBENCH_PLUGINS", raising=False)
        multiprocessing.get_context("forkserver").set_forkserver_preload(["worker_imports"])
        forkserver.ensure_running()


def start_forked_worker(threads: int, gpu: str = "") -> tuple[ForkedProcess, Connection, int]:
    """Do what `start_worker` does."""
    here, there = Pipe()
    lifeline_end, lifeline = os.pipe()
    inherited = (there, Connection(lifeline_end, writable=False), Connection(os.dup(2), readable=False))
    environment = worker_environment(threads, import_path(), os.environ, gpu)
    process = ForkedProcess(*inherited, environment, import_path(), str(Path.cwd()))
    for each in inherited:
        each.close()
    return process, here, lifeline


def work(
    there: Connection,
    lifeline: Connection,
    errors: Connection,
    environment: dict[str, str],
    path: list[str],
    folder: str,
) -> None:
    """Be a worker, in a group of its own; what is printed goes where the driver's errors go."""
    os.setpgid(0, 0)
    for stream in (1, 2):
        os.dup2(errors.fileno(), stream)
    errors.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = path
    sys.argv[1:] = [str(there.fileno()), str(lifeline.fileno())]
    worker.main()
