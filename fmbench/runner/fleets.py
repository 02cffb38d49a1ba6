"""Which untrained cells train together: fleets of the size that a probe found, shared out over the worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fmbench.cells.cells import TrainingCell
from fmbench.cells.keys import canonical, digest
from fmbench.executors.messages import WorkerConfig
from fmbench.executors.tasks import ProbeTask, TrainTask
from fmbench.runtime.autotune import FLEET_SIZE, machine, read_cached

WORTH_A_PROBE = 500
"""With fewer steps, added up over the cells, nothing is probed: they train alone."""


class Fleets:
    """Hands out the cells that are to be trained, as tasks, when their teachers have ended."""

    def __init__(self, store: Path, config: WorkerConfig, cells: Sequence[TrainingCell]) -> None:
        self._store, self._config = store, config
        self._open = {cell.key for cell in cells}
        self._shorter = shorter_trainings(cells)
        self._waiting: dict[str, list[TrainingCell]] = {}
        for cell in cells:
            self._waiting.setdefault(cell.fleet_key, []).append(cell)

    def probes(self) -> Iterator[ProbeTask]:
        """Yield what must be measured first: where several cells could train as one, and nobody knows whether to."""
        for cells in self._waiting.values():
            steps = len(cells) * cells[0].settings["steps"]
            if len(cells) > 1 and steps >= WORTH_A_PROBE and _may_join(cells) and not self._knows(cells):
                yield ProbeTask(cells[0], len(cells), str(self._file(cells[0])))

    def ready(self) -> Iterator[TrainTask]:
        """Yield the fleets that can begin, each once. Students wait until the teachers of all have ended, and cells
        until shorter trainings have from which they can go on.
        """
        for key, cells in list(self._waiting.items()):
            size = int(self._found(cells[0]).get("size", 1)) if len(cells) > 1 and _may_join(cells) else 1
            free = [cell for cell in cells if not self._waits(cell)]
            if size > 1 and len(free) < len(cells):
                continue
            taken = {cell.key for cell in free}
            self._waiting[key] = [cell for cell in cells if cell.key not in taken]
            if not self._waiting[key]:
                del self._waiting[key]
            fleets = split(free, size, self._config.jobs)
            largest = max(map(len, fleets), default=1)
            yield from (TrainTask(fleet, largest) for fleet in fleets)

    def _waits(self, cell: TrainingCell) -> bool:
        """Whether a training has not ended that must be first."""
        teacher = "" if cell.teacher is None else cell.teacher.key
        return teacher in self._open or self._shorter.get(cell.key, "") in self._open

    def ended(self, key: str) -> None:
        """Note that a cell was trained, or failed: the rows of its students say so, when they are tried."""
        self._open.discard(key)

    def _knows(self, cells: Sequence[TrainingCell]) -> bool:
        found = self._found(cells[0])
        return bool(found) and (found["final"] or found["asked"] >= len(cells))

    def _found(self, cell: TrainingCell) -> dict[str, Any]:
        """Return what a probe found for cells like this one; nothing where none was made."""
        return read_cached(self._file(cell), FLEET_SIZE) or {}

    def _file(self, cell: TrainingCell) -> Path:
        return fleet_size_file(self._store, cell, self._config)


def shorter_trainings(cells: Sequence[TrainingCell]) -> dict[str, str]:
    """Return, by the keys of cells, the key of the next shorter training among them that is the same step by step."""
    courses: dict[str, list[TrainingCell]] = {}
    if len({cell.settings["steps"] for cell in cells}) < 2:
        return {}
    for cell in sorted(cells, key=lambda cell: int(cell.settings["steps"])):
        if cell.course_key:
            courses.setdefault(cell.course_key, []).append(cell)
    return {longer.key: shorter.key for course in courses.values() for shorter, longer in pairwise(course)}


def _may_join(cells: Sequence[TrainingCell]) -> bool:
    """Whether cells of one `fleet_key` may be a fleet: not where torch.compile was asked for."""
    return cells[0].compile is not True


def split(cells: Sequence[TrainingCell], size: int, jobs: int) -> list[tuple[TrainingCell, ...]]:
    """Split cells into fleets of about equal size, at most `size`, as many as keep `jobs` processes busy.

    Cells of one seed stay together, so that what they draw alike is drawn once.
    """
    if size == 1:
        return [(cell,) for cell in cells]
    number = min(len(cells), jobs * -(-len(cells) // (size * jobs)))
    ordered = sorted(cells, key=lambda cell: (cell.seed, cell.coupling.digest))
    edges = [len(ordered) * i // number for i in range(number + 1)]
    return [tuple(ordered[first:last]) for first, last in pairwise(edges)]


def fleet_size_file(store: Path, cell: TrainingCell, config: WorkerConfig) -> Path:
    """Return the sealed file of what was found, on this machine, for fleets of cells like this one."""
    names = ("batch_size", "accumulate", "optimizer", "precision", "class_conditional")
    settings = {name: cell.settings.values.get(name) for name in names}
    about = (cell.dataset.digest, cell.network.digest, canonical(settings))
    key = digest("fleet size", *about, *machine(config.device, config.threads, config.jobs))
    return store / "cache" / f"fleet-{key}.json"


def batched_sampling_file(store: Path, cell: TrainingCell, members: int, config: WorkerConfig) -> Path:
    """Return the sealed file of what was found, on this machine, for evaluating so many cells like this one as one."""
    settings = {name: cell.settings[name] for name in ("precision", "class_conditional")}
    about = (cell.dataset.digest, cell.network.digest, canonical(settings), str(members), str(config.evaluation_batch))
    key = digest("evaluated together", *about, *machine(config.device, config.threads, config.jobs))
    return store / "cache" / f"together-{key}.json"
