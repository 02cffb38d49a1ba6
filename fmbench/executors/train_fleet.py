"""Trains a fleet, and says which cells have been trained meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack

from fmbench.cells.cells import TrainingCell
from fmbench.errors import CellFailure, DamagedFile, LeaseLost, OutOfMemory, ProcessChanged, StoreError
from fmbench.executors.messages import ELSEWHERE, Event, Say
from fmbench.executors.preemption import Preempted
from fmbench.executors.process_health import SpoiltProcess, lingering
from fmbench.executors.tasks import TrainTask
from fmbench.executors.unit_leases import is_to_be_split
from fmbench.model.context import WorkerContext
from fmbench.runtime.failures import describe_failure
from fmbench.store.fleet_records import complete_endings
from fmbench.store.snapshots import lacking_snapshots, snapshot_folder
from fmbench.training import loop


def train_fleet(task: TrainTask, context: WorkerContext, say: Say) -> list[TrainTask]:
    """Train cells as one; return what is left to train, where the fleet failed as a whole: its cells one by one, so
    that only those fail that must, and two fleets of half the size where the memory ran out.

    Raises StoppedWaiting where another process is at one of them: the others wait, since a fleet of other members would
    not give the same weights to the bit. Cells are said to be trained when a store by URL has them, too: who hears that
    reads their weights, on whatever machine.
    """
    trained: list[Event] = []
    try:
        left = _train(task, context, say, trained.append)
    except SpoiltProcess:
        _say_all(trained, say)
        raise
    _say_all(trained, say)
    return left


def _say_all(events: Iterable[Event], say: Say) -> None:
    for event in events:
        say(event)


def _train(task: TrainTask, context: WorkerContext, say: Say, note: Say) -> list[TrainTask]:
    """Train a fleet whose leases are free, see `train_fleet`; which cells were trained is not said, but noted."""
    with ExitStack() as leases:
        for cell in (*task.cells, *task.ghosts):
            leases.enter_context(context.store.folder("training", cell.key).lock(wait=False, shared=True))
        complete_endings(
            context.store.root, {cell.key: context.store.folder("training", cell.key) for cell in task.cells}
        )
        fleet = [cell for cell in task.cells if not has_ended(cell, context, say)]
        if not fleet:
            return []
        if is_to_be_split(context.store.folder("training", cell.key) for cell in fleet):
            why = f"processes died at a fleet of {len(fleet)}, so its cells train one by one"
            for cell in fleet:
                context.store.folder("training", cell.key).leave_fleet()
            say(Event("slowed", "training", fleet[0].key, text=why))
            return [TrainTask((cell,)) for cell in fleet]
        say(Event("started", "training", fleet[0].key, fleet=tuple(cell.key for cell in fleet)))
        ended: set[str] = set()
        folders = {cell.key: context.store.folder("training", cell.key) for cell in fleet}
        trained = {key for key, folder in folders.items() if folder.recorded() is not None}
        threads, halved = set(threading.enumerate()), False

        def advanced(steps: int) -> None:
            say(Event("advanced", "training", fleet[0].key, steps))

        def failed(cell: TrainingCell, failure: CellFailure) -> None:
            folder = context.store.folder("training", cell.key)
            folder.fail(failure.status, str(failure))
            ended.add(cell.key)
            say(Event("failed", "training", cell.key, status=failure.status, text=str(failure)))

        try:
            for cell in fleet:
                context.store.folder("training", cell.key).begin(cell.parts())
            with context.unchanged("a member of the fleet"):
                whole = len(fleet) == len(task.cells)
                loop.train(fleet, context, advanced, failed, task.size if whole else 1, task.ghosts if whole else ())
        except (StoreError, LeaseLost, Preempted):
            raise
        except ProcessChanged as error:
            for key in {cell.key for cell in fleet} - ended - trained:
                context.store.folder("training", key).discard()  # nobody knows what was computed before that
            raise SpoiltProcess(str(error)) from error
        except Exception as error:
            failure = describe_failure(error, context.components)
            halved = isinstance(failure, OutOfMemory) and len(fleet) > 2
            then = "train as two halves" if halved else "train one by one"
            why = f"a fleet of {len(fleet)} failed ({failure}), so its cells {then}"
            for folder in folders.values():
                folder.leave_fleet()
            say(Event("slowed", "training", fleet[0].key, text=why))
        except BaseException as error:
            raise SpoiltProcess(f"a member of the fleet raised {type(error).__name__}") from error
        left = [cell for cell in fleet if cell.key not in ended and not is_trained(cell, context, note)]
        if running := lingering(threads):
            raise SpoiltProcess(f"a fleet left threads running: {', '.join(running)}")
    if halved:
        middle = -(-len(left) // 2)
        return [TrainTask(half, len(half)) for half in (tuple(left[:middle]), tuple(left[middle:])) if half]
    return [TrainTask((cell,)) for cell in left]


def has_ended(cell: TrainingCell, context: WorkerContext, say: Say) -> bool:
    """Whether another process has trained a cell, or failed to, since it was given out; if so, that is said."""
    if is_trained(cell, context, say, ELSEWHERE):
        return True
    if (failure := context.store.folder("training", cell.key).failure()) is None:
        return False
    say(Event("failed", "training", cell.key, status=failure["status"], text=failure["error"]))
    return True


def is_trained(cell: TrainingCell, context: WorkerContext, say: Say, where: str = "") -> bool:
    """Whether a cell is done; if so, that is said, and `where`. What is damaged is said, too, and removed."""
    folder = context.store.folder("training", cell.key)
    try:
        folder.check()
    except DamagedFile as error:
        say(Event("damaged", "training", cell.key, text=str(error)))
        folder.discard()
    if folder.result() is None or lacks_snapshots(cell, context, say):
        return False
    say(Event("finished", "training", cell.key, status=where))
    return True


def lacks_snapshots(cell: TrainingCell, context: WorkerContext, say: Say) -> bool:
    """Whether weights that a training is to keep are not there. What is damaged of them is said, and goes."""
    for snapshot in cell.snapshots:
        folder = snapshot_folder(context.store, cell.key, snapshot)
        try:
            folder.check()
        except DamagedFile as error:
            say(Event("damaged", "snapshot", folder.path.name, text=str(error)))
            folder.discard()
    return bool(lacking_snapshots(context.store, cell))
