"""One process at a time: locks that lie beside what they protect. The system drops those of a process that dies."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmbench.io.regular_files import NotRegularError, check_regular

POLL = 0.01
"""Seconds between two looks at a lock that another process holds."""
MOST_MISSED = 100
"""So often in a row nobody removes the folder between two steps of making a lock in it."""


class StoppedWaiting(Exception):
    """The caller wants to do something else than wait for a lock."""


def never_wait() -> bool:
    """Return False: for a caller of `held` that does not wait at all."""
    return False


@contextmanager
def held(path: Path, goes_on: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Hold the lock file `path`; waits as long as `goes_on()` holds, and then raises StoppedWaiting.

    Where whoever held it has removed the file meanwhile, there is a new one. Raises NotRegularError where something
    else than a file lies there, and OSError where none can be made.
    """
    from filelock import FileLock, Timeout

    lock, missed = FileLock(path), 0
    while True:
        try:
            _make_way(path)
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not goes_on():
                raise StoppedWaiting(path) from None
            time.sleep(POLL)
        except (FileNotFoundError, FileExistsError):  # somebody removes the folder at this moment, or another is there
            missed += 1
            if missed > MOST_MISSED or (path.parent.exists() and not path.parent.is_dir()):
                raise
    try:
        yield
    finally:
        lock.release()


def _make_way(path: Path) -> None:
    """Make the folder of a lock file. Raises NotRegularError where something else than a file lies in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        raise NotRegularError(errno.ELOOP, f"{path.name} is a link, and must be a regular file", str(path))
    with suppress(FileNotFoundError):
        try:
            check_regular(path)
        except NotRegularError as error:
            raise NotRegularError(error.errno, f"{path.name}: {error.strerror}", str(path)) from None


def lock_of(database: Path) -> Path:
    """Return the lock file of a sqlite database: whoever logs to it holds it, whatever store it logs from."""
    return database.with_name(f"{database.name}.lock")
