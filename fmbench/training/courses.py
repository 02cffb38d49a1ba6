"""From where a cell is trained, and to where: from its own checkpoint, or the end of a shorter training, or anew."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from fmbench.cells.cells import NOTHING_KEPT, TrainingCell
from fmbench.cells.snapshots import BEST, Kept, WeightsSnapshot
from fmbench.errors import DamagedFile
from fmbench.model.context import WorkerContext
from fmbench.store.cell_folder import CellFolder
from fmbench.store.snapshots import WEIGHTS_FILE, keep_snapshot, lacking_snapshots, shorter_folder

log = logging.getLogger(__name__)

LONG, LARGE = 60.0, 256 * 2**20
"""Without a word of the suite, a state is kept of trainings of so many seconds, of at most so many bytes."""


@dataclass(frozen=True)
class Course:
    """The steps that a cell is trained: up to `until`, from `start`, the content of a checkpoint, or anew (None).

    Where `is_trained`, its last weights are there and stay; only snapshots are lacking. `cell.kept` are those to make.
    A ghost is trained for its fleet's sake, and nothing of it is kept.
    """

    cell: TrainingCell
    until: int
    start: Mapping[str, Any] | None = None
    is_trained: bool = False
    is_ghost: bool = False

    @property
    def first(self) -> int:
        """The number of steps that are done already."""
        return 0 if self.start is None else int(self.start["step"])

    @property
    def continued(self) -> int:
        """The step of a shorter training from which it goes on, 0 without one."""
        return 0 if self.start is None else int(self.start["continued"])

    @property
    def has_averages(self) -> bool:
        """Whether the state from which it goes on holds averages of which others are made."""
        return self.start is not None and bool(self.start["power_averages"])


def course_of(cell: TrainingCell, context: WorkerContext, before: float = math.inf) -> Course:
    """Return the course of a cell that is to be trained, or of which a snapshot is lacking.

    A checkpoint counts where it is of a step below `before`, and all is there that is to be kept of the steps before
    it.
    """
    folder, lacking = context.store.folder("training", cell.key), lacking_snapshots(context.store, cell)
    is_trained, until = folder.recorded() is not None, int(cell.settings["steps"])
    if is_trained:
        until = max((each.step for each in lacking), default=0)
        cell = replace(cell, kept=_only(lacking))
    start = _content(folder, min(until, before))
    if start is None or not _serves(start, cell, lacking):
        start = _continued(cell, min(until, before), context)
    return Course(cell, until, start, is_trained)


def from_one_step(courses: Sequence[Course], context: WorkerContext) -> list[Course]:
    """Return the courses of a fleet's members from the newest step that all of them can go on from.

    Who is killed while checkpoints are saved leaves newer ones of some members than of others: the fleet goes on as
    one, as if there had been no kill.
    """
    found = list(courses)
    while len({course.first for course in found}) > 1:
        least = min(course.first for course in found)
        found = [each if each.first == least else course_of(each.cell, context, least + 1) for each in found]
    return found


def ghost_courses(ghosts: Sequence[TrainingCell], first: int, context: WorkerContext) -> list[Course]:
    """Return the courses of those that diverged and were there yet when their fleet had done so many steps."""
    courses = (course_of(replace(ghost, kept=NOTHING_KEPT), context, first + 1) for ghost in ghosts)
    return [replace(course, is_ghost=True) for course in courses if course.first == first]


def _only(lacking: Iterable[WeightsSnapshot]) -> Kept:
    """Return that these snapshots are wanted, and nothing else."""
    kinds = {each.kind for each in lacking}
    at_steps = tuple(each.step for each in lacking if each.kind == "step")
    return Kept(at_steps, BEST in kinds, "post_hoc_ema" in kinds, state=False)


def _content(folder: CellFolder, before: float) -> dict[str, Any] | None:
    """Return the newest state of a step below `before` that was saved in a folder, None where it cannot be loaded.

    Its checksum says that it was written as it is, and not by whom: nothing but tensors and plain values is loaded.
    """
    payload = folder.checkpoints.load(before)
    if payload is None:
        return None
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load documents none: pickle's, zip's, and its own
        why = type(error).__name__
        log.warning("the checkpoint in %s is no state of a training (%s), so it is not gone on from", folder.path, why)
        return None
    return content


def _serves(start: Mapping[str, Any], cell: TrainingCell, lacking: Iterable[WeightsSnapshot]) -> bool:
    """Whether nothing that is wanted of a training is lost where it goes on from a state."""
    has_averages, has_best = bool(start["power_averages"]), start["best"] is not None
    passed = any(each.step <= start["step"] for each in lacking)
    return not passed and has_averages >= cell.kept.post_hoc_ema and has_best >= cell.kept.best


def _continued(cell: TrainingCell, until: float, context: WorkerContext) -> dict[str, Any] | None:
    """Return the state of the longest shorter training that this one can go on from, with its snapshots.

    Where weights are chosen or averages kept on the way, the points of a shorter training are others: it begins anew.
    """
    if not cell.course_key or cell.kept.best or cell.kept.post_hoc_ema:
        return None
    folder = context.store.folder("course", cell.course_key)
    while (start := _content(folder, until)) is not None:
        step = until = int(start["step"])
        _take_over(cell, step, context)
        if _serves(start, cell, lacking_snapshots(context.store, cell)):
            return {**start, "continued": step}
    return None


def _take_over(cell: TrainingCell, step: int, context: WorkerContext) -> None:
    """Copy what a training lacks of its first steps from the shorter one that ends after `step`."""
    for snapshot in (each for each in lacking_snapshots(context.store, cell) if each.step <= step):
        folder = shorter_folder(context.store, cell, step, snapshot)
        try:
            facts = (folder.recorded() or {}).get("facts")
            if facts is not None:
                payload = folder.read(WEIGHTS_FILE)
                kept = {name: facts[name] for name in ("steps", "seconds")}
                keep_snapshot(context.store, cell.key, snapshot, payload, kept)
        except DamagedFile as error:
            log.warning("%s, so it is made again", error)


def keep_state(cell: TrainingCell, step: int, payload: bytes, context: WorkerContext) -> None:
    """Leave the state after the last step where a longer training finds it; a large one only where that is wanted."""
    if cell.kept.state == "auto" and len(payload) > LARGE:
        return
    folder = context.store.folder("course", cell.course_key)
    parts = cell.parts()
    settings = {name: value for name, value in parts["settings"].items() if name != "steps"}
    with folder.lock():
        folder.begin({**parts, "settings": settings})
        folder.checkpoints.save(step, payload, beside=True)


def wants_state(cell: TrainingCell, seconds: float) -> bool:
    """Whether the state after the last step of a training of so many seconds is to be kept."""
    return bool(cell.course_key) and (seconds >= LONG if cell.kept.state == "auto" else cell.kept.state)
