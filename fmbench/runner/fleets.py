"""Hands out the cells that are to be trained, in the fleets that are on record for the plan; composes what is not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmbench.cells.cells import TrainingCell
from fmbench.cells.keys import canonical, digest
from fmbench.executors.jobs import machine_processes
from fmbench.executors.messages import WorkerConfig
from fmbench.executors.tasks import ProbeTask, TrainTask
from fmbench.plan.fleet_composition import compose, may_join, shorter_trainings
from fmbench.runtime.autotune import FLEET_SIZE, read_cached
from fmbench.runtime.device import device_type
from fmbench.runtime.environment import measured_on
from fmbench.store.fleet_records import record_fleets, recorded_fleets


class Fleets:
    """Hands out a plan's cells that are to be trained, as tasks, when their teachers have ended.

    Fleets are composed from the plan, once, and kept in the store of the configuration: whoever goes on with the plan
    trains the same cells together, with whatever jobs and executor. `store` is where sizes are kept. `failed` are the
    statuses of cells that failed, by key.
    """

    def __init__(
        self,
        store: Path,
        config: WorkerConfig,
        planned: Sequence[TrainingCell],
        untrained: Collection[str] | None = None,
        failed: Mapping[str, str] | None = None,
    ) -> None:
        self._store, self._config, self._failed = store, config, failed or {}
        self._cells = {cell.key: cell for cell in planned}
        self._open = set(self._cells if untrained is None else untrained)
        self._shorter = shorter_trainings(planned)
        self._alike: dict[str, list[TrainingCell]] = {}
        for cell in planned:
            self._alike.setdefault(cell.fleet_key, []).append(cell)
        self._waiting: list[TrainTask] | None = None

    def probes(self) -> Iterator[ProbeTask]:
        """Yield what must be found first: where several cells could train as one, and nobody knows whether to."""
        for cells in self._alike.values():
            if may_join(cells) and self._outside(cells, self._recorded(cells)) and not self._found(cells[0]):
                yield ProbeTask(cells[0], str(self._file(cells[0])))

    def ready(self) -> Iterator[TrainTask]:
        """Yield the fleets that can begin, each once. Students wait until the teachers of all their fleet have ended,
        and cells until shorter trainings have from which they can go on.
        """
        if self._waiting is None:
            self._waiting = [task for cells in self._alike.values() for task in self._tasks(cells)]
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            if any(map(self._waits, task.cells)):
                self._waiting.append(task)
            else:
                yield task

    def ended(self, key: str) -> None:
        """Note that a cell was trained, or failed: the rows of its students say so, when they are tried."""
        self._open.discard(key)

    def _waits(self, cell: TrainingCell) -> bool:
        """Whether a training has not ended that must be first."""
        teacher = "" if cell.teacher is None else cell.teacher.key
        return teacher in self._open or self._shorter.get(cell.key, "") in self._open

    def _tasks(self, cells: Sequence[TrainingCell]) -> Iterator[TrainTask]:
        """Yield what is to be trained of the cells of one `fleet_key`."""
        fleets = self._fleets(cells)
        largest = max(map(len, fleets), default=1)
        together = {cell.key for fleet in fleets for cell in fleet}
        for fleet in (*fleets, *((cell,) for cell in cells if cell.key not in together)):
            left = [cell for cell in fleet if cell.key in self._open]
            ghosts = [cell for cell in fleet if self._failed.get(cell.key) == "diverged" and cell not in left]
            if len(left) + len(ghosts) == len(fleet) and not self._is_split_up(fleet):
                size = largest if len(fleet) > 1 else 1
                yield from [TrainTask(tuple(left), size, tuple(ghosts))] if left else []
            elif len(fleet) > len(left):  # what others have ended is no fleet's any more: these say so
                yield from [TrainTask(tuple(left), len(left))] if left else []
            else:
                yield from (TrainTask((cell,)) for cell in left)

    def _is_split_up(self, fleet: Sequence[TrainingCell]) -> bool:
        """Whether a fleet failed as a whole, so that its cells train one by one."""
        store = self._config.opened_store()
        return len(fleet) > 1 and any(store.folder("training", cell.key).has_left_fleet() for cell in fleet)

    def _fleets(self, cells: Sequence[TrainingCell]) -> list[tuple[TrainingCell, ...]]:
        """Return the fleets of cells of one `fleet_key`, those on record first; those that are to be composed are noted
        in the store. Where no size was found, for the probe failed, cells are in none, and nothing is noted.
        """
        if not may_join(cells):
            return []
        recorded = self._recorded(cells)
        if (left := self._outside(cells, recorded)) and (found := self._found(cells[0])):
            size = int(found["size"])
            starts = {key: int(self._cells[shorter].settings["steps"]) for key, shorter in self._shorter.items()}
            processes = machine_processes(self._config.device, len(self._config.gpus))
            composed = [[cell.key for cell in fleet] for fleet in compose(left, size, processes, starts)]
            root, agree_on = Path(self._config.store), self._config.opened_store().agree_on
            recorded = record_fleets(root, _name(cells), composed, agree_on)
        return [tuple(self._cells[key] for key in keys) for keys in recorded]

    def _recorded(self, cells: Sequence[TrainingCell]) -> list[tuple[str, ...]]:
        """Return the fleets on record of the cells of one `fleet_key`, by the keys of their members."""
        return recorded_fleets(Path(self._config.store), _name(cells))

    def _outside(self, cells: Sequence[TrainingCell], fleets: Sequence[Sequence[str]]) -> list[TrainingCell]:
        """Return those of some cells that are to be trained and are in none of the fleets, of keys."""
        known = {key for keys in fleets for key in keys}
        return [cell for cell in cells if cell.key in self._open and cell.key not in known]

    def _found(self, cell: TrainingCell) -> dict[str, Any]:
        """Return the size that fleets of cells like this one should have; nothing where it is not known."""
        return read_cached(self._file(cell), FLEET_SIZE) or {}

    def _file(self, cell: TrainingCell) -> Path:
        return fleet_size_file(self._store, cell, self._config)


def _name(cells: Sequence[TrainingCell]) -> str:
    """Return the name under which fleets are on record: that of the plan's cells of one `fleet_key`."""
    return digest("fleets", *sorted(cell.key for cell in cells))


def fleet_size_file(store: Path, cell: TrainingCell, config: WorkerConfig) -> Path:
    """Return the sealed file of the size that fleets of cells like this one should have on this machine."""
    names = ("batch_size", "accumulate", "precision", "class_conditional")
    settings = {name: cell.settings.values.get(name) for name in names}
    about = (cell.dataset.digest, cell.network.digest, canonical(settings), cell.code)
    key = digest("counted fleet size", *about, device_type(config.device), *measured_on(config.device).values())
    return store / "cache" / f"fleet-{key}.json"
