"""A worker process: takes tasks from a pipe, computes them into the store, says what happens.

Run as `python -P -m fmbench.executors.worker CONNECTION LIFELINE` with two inherited file descriptors. The lifeline is
a pipe whose other end only the driver holds: when it closes, however the driver ended, the worker ends too. So it does
when a component has closed the connection: then nobody would hear of what it computes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from fmbench.errors import UserError
from fmbench.executors.messages import Event, Say, WorkerConfig
from fmbench.executors.preemption import EXIT_CODE, Preempted
from fmbench.executors.tasks import LINE_LOST, Task
from fmbench.io.patient_stream import Patient
from fmbench.isolation.process_state import Setting, guard
from fmbench.plugins.source import core_fingerprint
from fmbench.runtime.environment import make_current
from fmbench.runtime.memory import give_memory_back, keep_freed_memory, set_sharing
from fmbench.store.leases import release_all


class DriverConnection:
    """The connection to the driver, used only in the process that was given it, while its descriptor is what it was."""

    def __init__(self, descriptor: int) -> None:
        self._process = os.getpid()
        self._connection = Connection(descriptor)
        self._descriptor = descriptor
        self._is = self.identity()

    def send(self, event: Event | None) -> None:
        """Tell the driver. Ends the process where that cannot be: somebody closed the descriptor, or uses it."""
        self._check()
        self._connection.send(event)

    def receive(self) -> WorkerConfig | Task | None:
        """Wait for the driver's next message. Raises EOFError where it is gone."""
        self._check()
        message: WorkerConfig | Task | None = self._connection.recv()
        return message

    def is_empty(self) -> bool:
        """Whether no message waits."""
        return not self._connection.poll()

    def _check(self) -> None:
        if self.identity() != self._is:
            os._exit(LINE_LOST)

    def identity(self) -> str:
        """Return what the descriptor is. Ends the process where a component forked it: it would work on as a twin."""
        if os.getpid() != self._process:
            os._exit(LINE_LOST)
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return "closed"
        return f"{found.st_dev}/{found.st_ino}"


def main() -> None:
    """Serve the driver, which sends a WorkerConfig and then tasks, until it says goodbye with None or is gone."""
    sys.stdout, sys.stderr = Patient(sys.stdout), Patient(sys.stderr)  # the driver's terminal may go away
    line, lifeline = DriverConnection(int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=_end_with_driver, args=(lifeline,), daemon=True).start()
    guard(Setting("the connection to fmbench", line.identity))  # before a result is kept, not only when it is said
    try:
        serve: Callable[[Task], str] | None = None
        while (message := line.receive()) is not None:
            if isinstance(message, WorkerConfig):
                serve = prepare(message, line.send)
                if message.trains and line.is_empty():
                    from fmbench.training.optimizers import import_ahead  # what the first training would wait for

                    import_ahead()
            elif serve is not None:
                if why := serve(message):
                    line.send(Event("spoilt", text=why))
                    return
                line.send(None)
                give_memory_back()
    except Preempted:
        sys.exit(EXIT_CODE)
    except UserError as error:
        line.send(Event("fatal", text=str(error)))
    except (EOFError, BrokenPipeError):
        sys.exit(1)


def _end_with_driver(lifeline: int) -> None:
    os.read(lifeline, 1)
    try:
        release_all()
    finally:
        if os.getpgrp() == os.getpid():  # with all that components have started
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)


def prepare(config: WorkerConfig, say: Say) -> Callable[[Task], str]:
    """Rebuild the registry, refuse when its code differs from the driver's, and return what computes a task.

    That returns why the process must compute nothing more, where a component changed it.
    """
    if core_fingerprint() != config.core:
        raise UserError(
            f"the code of fmbench itself, in {Path(__file__).parents[1]}, is not that with which the run began: it was "
            "edited, or another one lies on the path of imports (PYTHONPATH); run again"
        )
    import torch

    from fmbench.executors.process_health import SpoiltProcess
    from fmbench.executors.run_task import Computer
    from fmbench.isolation.process_state import guard_attributes
    from fmbench.model.context import WorkerContext
    from fmbench.plugins.registry import load_registry

    keep_freed_memory()
    set_sharing(config.sharing if config.gpus else None)
    torch.set_num_threads(config.threads)
    make_current(config.device)
    sys.path += [folder for folder in config.late_path if folder not in sys.path]
    registry = load_registry(config.plugins)
    if registry.fingerprints(config.components) != config.fingerprints:
        changed = "the code of a plugin changed after the run had begun; run again"
        raise UserError("; ".join(map(str, registry.failures)) or changed)
    context = WorkerContext(
        registry=registry,
        store=config.opened_store(),
        device=config.device,
        threads=config.threads,
        jobs=config.jobs,
        checkpoint_seconds=config.checkpoint_seconds,
        evaluation_batch=config.evaluation_batch,
        keep_samples=config.keep_samples,
    )
    guard_attributes()
    compute = Computer(context, say)
    warnings.showwarning = compute.warnings.take
    if config.preemptible:
        compute.preemption.listen()

    def serve(task: Task) -> str:
        context.store.look_anew()
        try:
            compute(task)
        except SpoiltProcess as error:
            return str(error)
        return ""

    return serve


if __name__ == "__main__":
    main()
