"""A worker process: takes tasks from a pipe, computes them into the store, says what happens.

Run as `python -m fmbench.executors.worker CONNECTION LIFELINE` with two inherited file descriptors. The lifeline is a
pipe whose other end only the driver holds: when it closes, however the driver ended, the worker ends too.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from fmbench.errors import UserError
from fmbench.executors.tasks import Event, Task, WorkerConfig
from fmbench.hardware import give_memory_back, keep_freed_memory

Say = Callable[[Event], None]


def main() -> None:
    """Serve the driver, which sends a WorkerConfig and then tasks, until it says goodbye with None or is gone."""
    connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=_end_with_driver, args=(lifeline,), daemon=True).start()
    try:
        serve: Callable[[Task], None] | None = None
        while (message := connection.recv()) is not None:
            if isinstance(message, WorkerConfig):
                serve = prepare(message, connection.send)
                if message.trains and not connection.poll():
                    _make_ready()
            elif serve is not None:
                serve(message)
                connection.send(None)
                give_memory_back()
    except UserError as error:
        connection.send(Event("fatal", text=str(error)))
    except (EOFError, BrokenPipeError):
        sys.exit(1)


def _make_ready() -> None:
    """Import what the first training would wait for."""
    from fmbench.optimizers import import_ahead

    import_ahead()


def _end_with_driver(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def prepare(config: WorkerConfig, say: Say) -> Callable[[Task], None]:
    """Rebuild the registry, refuse when its code differs from the driver's, and return what computes a task."""
    import torch

    from fmbench.assembly import Workshop
    from fmbench.executors.compute import Computer
    from fmbench.registry import load_registry
    from fmbench.store import Store

    keep_freed_memory()
    torch.set_num_threads(config.threads)
    registry = load_registry(config.plugins)
    if registry.fingerprints() != config.fingerprints:
        raise UserError("the code of a plugin changed after the run had begun; run again")
    workshop = Workshop(
        registry=registry,
        store=Store(Path(config.store)),
        device=config.device,
        threads=config.threads,
        jobs=config.jobs,
        checkpoint_seconds=config.checkpoint_seconds,
        evaluation_batch=config.evaluation_batch,
        keep_samples=config.keep_samples,
    )
    computer = Computer(workshop, say)
    warnings.showwarning = computer.warned
    return computer


if __name__ == "__main__":
    main()
