"""A worker process on a node of a cluster, and who starts it there and passes on what it says."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fmbench.executors.local import LocalLink, wait_for
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.start_worker import start_worker
from fmbench.executors.supervisor import WorkerGone
from fmbench.executors.tasks import Task
from fmbench.runtime.environment import cpu_count

LOOK_SECONDS = 1.0
"""So often it is looked whether the process is still there."""
MARKER_SECONDS = 10.0
"""A network file system may take so long to show a new file."""
MOST_PRINTED = 2000
"""Characters of what a process printed last that are passed on."""


@dataclass(frozen=True)
class Gone:
    """That a worker process has ended, see `WorkerGone`."""

    why: str
    killed: bool


Said = list[Event | Gone | None]
"""What a worker said: events, None when its task has ended, and at the very end that it is gone."""


@dataclass(frozen=True)
class NodeSetup:
    """What a worker on a node is given besides its configuration.

    `folder` is where the driver stands, and where the worker stands if that is there. `marker` is a file of the store
    that holds `token`: who does not see it has another store; "" for a store by URL, which is the same everywhere.
    `sharing` workers share the node. `without` is a folder from which nothing is imported: that of the library that
    runs the cluster.
    """

    folder: str
    marker: str
    token: str
    sharing: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    without: str = ""


class NodeWorker:
    """Starts a worker process on the node where it is made, and passes on what that says."""

    def __init__(self, config: WorkerConfig, setup: NodeSetup) -> None:
        self._refusal = refusal(setup)
        if self._refusal:
            return
        os.environ.update(setup.environment)
        with suppress(OSError):
            os.chdir(setup.folder)
        if setup.without:
            sys.path[:] = [entry for entry in sys.path if not Path(entry).is_relative_to(setup.without)]
        threads = cpu_count() if config.alone else config.threads
        self._config = replace(config, threads=threads, jobs=1 if config.alone else setup.sharing)
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._link = self._start()

    def serve(self, task: Task) -> Iterator[Said]:
        """Have the process compute a task; yield what it says, as soon as it does, until the task or it has ended."""
        if self._refusal:
            yield [Event("fatal", text=self._refusal)]
            return
        try:
            self._link.send(task)
            while True:
                said: Said = [*self._link.receive()] if wait_for([self._link], LOOK_SECONDS) else []
                if said:
                    yield said
                if None in said:
                    return
        except OSError:
            yield [Gone(f"its process had ended before it was given work{self._last_words()}", killed=True)]
        except WorkerGone as gone:
            yield [Gone(f"{gone}{self._last_words()}", gone.killed)]

    def stop(self) -> None:
        """Kill the process and all that it started."""
        if not self._refusal:
            self._link.close()

    def _start(self) -> LocalLink:
        """Start the process; what it prints goes into a file."""
        errors = os.dup(2)
        try:
            os.dup2(self._printed.fileno(), 2)
            link = LocalLink(*start_worker(self._config.threads))
        finally:
            os.dup2(errors, 2)
            os.close(errors)
        link.send(self._config)
        return link

    def _last_words(self) -> str:
        """Return what the process printed last, as a half-sentence; "" where it printed nothing."""
        size = os.fstat(self._printed.fileno()).st_size
        printed = os.pread(self._printed.fileno(), MOST_PRINTED, max(0, size - MOST_PRINTED))
        lines = [line.strip() for line in printed.decode(errors="replace").splitlines() if line.strip()]
        return f"; it printed last: {lines[-1]}" if lines else ""


def refusal(setup: NodeSetup) -> str:
    """Say why a node cannot work: it does not see the driver's store. "" where it does."""
    if not setup.marker:
        return ""
    marker, until = Path(setup.marker), time.monotonic() + MARKER_SECONDS
    while True:
        with suppress(OSError):
            if marker.read_text() == setup.token:
                return ""
        if time.monotonic() > until:
            return (
                f"the node {os.uname().nodename} does not see the store {marker.parent}: all nodes of a cluster must "
                "share it, under one path. Give --home a folder on a disk that they share."
            )
        time.sleep(LOOK_SECONDS)
