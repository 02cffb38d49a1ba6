"""Who works on the units of a task: what another process is at is not waited for, and what kills it is given up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from fmbench.executors.tasks import Unit
from fmbench.io.file_lock import StoppedWaiting
from fmbench.store.cell_folder import CellFolder
from fmbench.store.store import Store

MOST_DEATHS = 3
"""A unit at which so many processes died, one after the other, is a row: it would be tried for ever."""
MOST_DEATHS_IN_A_FLEET = 2
"""Where so many processes died at a fleet, each member is tried alone, as the one that is to blame."""


class UnitLeases:
    """The leases of units, taken one by one as they are computed, or ahead for those that are computed together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ahead: dict[Unit, ExitStack] = {}

    @contextmanager
    def at_work(self, unit: Unit) -> Iterator[CellFolder]:
        """Hold the lease of a unit, and return its folder. Raises StoppedWaiting where another process has it."""
        folder = self._store.folder(*unit)
        ahead = self._ahead.pop(unit, None)
        with folder.lock(wait=False) if ahead is None else ahead:
            yield folder

    def take_ahead(self, units: Iterable[Unit]) -> set[Unit]:
        """Take the leases of units, for `at_work`; return those that others have."""
        held = set()
        for unit in units:
            stack = ExitStack()
            try:
                stack.enter_context(self._store.folder(*unit).lock(wait=False, shared=True))
                self._ahead[unit] = stack
            except StoppedWaiting:
                held.add(unit)
        return held

    def release(self) -> None:
        """Give back what was taken ahead and is not computed."""
        while self._ahead:
            self._ahead.popitem()[1].close()


def why_given_up(folder: CellFolder) -> str:
    """Say why a unit whose lease is held is not tried once more; "" where it is."""
    hosts = folder.leases.deaths(folder.place).alone
    if len(hosts) < MOST_DEATHS:
        return ""
    where = ", ".join(hosts)
    return f"its process died {len(hosts)} times without getting on (on {where}); `fmbench retry` tries it again"


def is_to_be_split(folders: Iterable[CellFolder]) -> bool:
    """Whether processes died at a fleet so often that its members, whose leases are held, are to be tried alone."""
    return any(len(folder.leases.deaths(folder.place).shared) >= MOST_DEATHS_IN_A_FLEET for folder in folders)
