"""One process at a time: locks that lie beside what they protect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.01
"""Seconds between two looks at a lock that another process holds."""


class StoppedWaiting(Exception):
    """The caller wants to do something else than wait for a lock."""


@contextmanager
def held(path: Path, goes_on: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Hold the lock file `path`; waits as long as `goes_on()` holds, and then raises StoppedWaiting."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not goes_on():
                raise StoppedWaiting(path) from None
            time.sleep(POLL)
    try:
        yield
    finally:
        lock.release()


def lock_of(database: Path) -> Path:
    """Return the lock file of a sqlite database: whoever logs to it holds it, whatever store it logs from."""
    return database.with_name(f"{database.name}.lock")
