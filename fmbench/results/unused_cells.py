"""Which cells of a store may go. What is no cell's folder stays, whatever its name is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fmbench.errors import StoreError, UserError
from fmbench.io.file_lock import StoppedWaiting
from fmbench.plan import Plan
from fmbench.plan.reference_cells import References
from fmbench.plugins.registry import Registry
from fmbench.results.cell_keys import flow_snapshot_key, sampler_key
from fmbench.store.cell_folder import CellFolder
from fmbench.store.sampler_timings import key_of
from fmbench.store.store import SECTIONS, Store
from fmbench.store.store_mark import check_store


@dataclass(frozen=True)
class Unused:
    """A cell that may be removed; `size` in bytes."""

    section: str
    key: str
    folder: CellFolder
    size: int


@dataclass
class Unneeded:
    """The cells that may be removed. `passed_over` says of each thing that stays, though nothing needs it, why."""

    cells: list[Unused] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    def remove(self) -> None:
        """Remove the cells; those that cannot be removed are passed over."""
        removed = []
        for cell in self.cells:
            try:
                cell.folder.remove()
                removed.append(cell)
            except StoppedWaiting:
                self.passed_over.append(f"{cell.folder.path} is worked on by another process")
            except StoreError as error:
                self.passed_over.append(str(error).partition(";")[0])
        self.cells = removed


def find_unused(
    store: Store, plans: Iterable[tuple[Plan, Registry]], older_than: float | None = None, *, only_failed: bool = False
) -> Unneeded:
    """Return the cells that no plan uses; where asked for, only those older than some days, or only failed ones.

    Raises UserError where the folder is no store, and where `older_than` is no number of days.
    """
    if older_than is not None and not 0 <= older_than < math.inf:
        raise UserError(f"--older-than takes a number of days, 0 or more, such as 30; found {older_than:g}")
    check_store(store, "nothing is removed from it")
    used = set()
    for plan, registry in plans:
        used |= {key for cell in plan.evaluations for key in (cell.key, sampler_key(cell))}
        for cell in plan.trainings:
            used |= {cell.key, flow_snapshot_key(cell.key), *([cell.fit_key] if cell.teacher else [])}
            used |= {cell.course_key} if cell.kept.state is not False else set()
            used |= {snapshot.key(cell.key) for snapshot in cell.snapshots}
        used |= {cell.key for cell in References(plan, registry).cells}
    newest = time.time() - older_than * 86_400 if older_than is not None else math.inf
    found = Unneeded(passed_over=store.passed_over())
    for section in SECTIONS:
        if (store.root / section).is_symlink():
            found.passed_over.append(f"{store.root / section} is a link, and leads out of the store")
            continue
        for key in store.keys(section):
            if (key_of(key) if section == "sampler" else key) not in used:
                _add(found, Unused(section, key, store.folder(section, key), 0), newest, only_failed)
    return found


def _add(found: Unneeded, cell: Unused, newest: float, only_failed: bool) -> None:
    """Add a cell to those that may go, if it is one that was asked for, and a cell."""
    path = cell.folder.path
    if why := cell.folder.strange():
        found.passed_over.append(f"{path} {why}")
        return
    try:
        size, touched = cell.folder.size(), cell.folder.touched()
    except OSError as error:
        found.passed_over.append(f"{path} cannot be looked into: {error.strerror}")
        return
    if touched <= newest and (not only_failed or cell.folder.has("failure.json")):
        found.cells.append(replace(cell, size=size))
