"""One process at a time: locks that lie beside what they protect. The system drops those of a process that dies."""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.io.regular_files import NotRegularError, kind_of

if TYPE_CHECKING:
    from filelock import FileLock

POLL = 0.01
"""Seconds between two looks at a lock that another process holds."""
_native: set[int] = set()
"""Devices that had a lock of the system's: filelock need not try each new folder, which takes longer than the lock."""
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

    missed = 0
    while True:
        try:
            device = _make_way(path)
            lock = FileLock(path, fallback_to_soft=device not in _native)
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not goes_on():
                raise StoppedWaiting(path) from None
            time.sleep(POLL)
        except (FileNotFoundError, FileExistsError):  # somebody removes the folder at this moment, or another is there
            missed += 1
            if missed > MOST_MISSED or _is_no_folder(path.parent):
                raise
    try:
        if device not in _native and not _is_marker(lock):
            _native.add(device)
        yield
    finally:
        lock.release()


def _make_way(path: Path) -> int:
    """Make the folder of a lock file; return the number of the device that it is on.

    Raises NotRegularError where something else than a file lies in the lock file's place.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.parent.stat().st_dev
    if stat.S_ISLNK(status.st_mode):
        raise NotRegularError(errno.ELOOP, f"{path.name} is a link, and must be a regular file", str(path))
    if not stat.S_ISREG(status.st_mode):
        words = f"{path.name}: it is {kind_of(status.st_mode)}, and must be a regular file"
        raise NotRegularError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL, words, str(path))
    return status.st_dev


def _is_no_folder(path: Path) -> bool:
    """Whether something lies at a path that is no folder; one look, for it may come and go."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _is_marker(lock: FileLock) -> bool:
    """Whether a lock that is held is a file with its holder's number, for want of locks of the system's."""
    try:
        return lock.pid is not None
    except AttributeError:
        return False


def lock_of(database: Path) -> Path:
    """Return the lock file of a sqlite database: whoever logs to it holds it, whatever store it logs from."""
    return database.with_name(f"{database.name}.lock")
