"""The machine for a timing: one process of a store measures at a time, and waits for others that compute there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmbench.store.heartbeats import Stated, stated_by
from fmbench.store.holder import HolderName, own_name
from fmbench.store.store import Store

PATIENCE = 600.0
"""Seconds, in all, that a process waits for others of its store: what they compute then is of another suite."""
BETWEEN_LOOKS = 0.5


class QuietMachine:
    """Waits until others of a store compute nothing on this machine, and says so where they do for too long."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store, self._say, self._patience = store, say, PATIENCE

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process of the store that measures on this machine."""
        with self._store.alone(f"timing-{own_name().host}"):
            began = time.monotonic()
            while (others := _at_work_here(self._store)) and time.monotonic() < began + self._patience:
                time.sleep(BETWEEN_LOOKS)
            self._patience = max(0.0, self._patience - (time.monotonic() - began))
            if others:
                first = others[0]
                self._say(
                    f"times that are measured on {first.host} now may be too long: process {first.pid} computes "
                    f"{first.place} there"
                )
            yield


def _at_work_here(store: Store) -> list[Stated]:
    """Return what other processes compute on this machine; waiting for a timing is no computing."""
    leases, own = store.leases, own_name()
    found: list[Stated] = []
    for text in leases.files.holders():
        name = HolderName.parsed(text)
        if name is not None and name.host == own.host and name != own and not leases.watch.is_gone(text):
            found += [unit for unit in stated_by(leases, text) if not unit.place.startswith(Store.APART)]
    return found
