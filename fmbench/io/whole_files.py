"""Writing files that are whole or absent: under a temporary name first, flushed where that is wanted, and renamed."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems say that have no hard links."""
_RANDOM, _NUMBERS = os.urandom(8), itertools.count()
"""What a process adds to its own number, which another host may use, too, and for each name once."""


def write_whole(path: Path, payload: bytes, *, flush: bool = True, mode: int | None = None) -> None:
    """Write a file so that it is either wholly there or not at all; with `flush`, also after a power cut.

    Its folder is made where it is not there. `mode` are the file's permissions; None leaves them to the umask. Raises
    OSError.
    """
    descriptor, temporary = begin_whole(path, payload, mode)
    try:
        try:
            if flush:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def begin_whole(path: Path, payload: bytes, mode: int | None = None) -> tuple[int, Path]:
    """Write what a file is to hold under a temporary name; return its descriptor, and that name.

    It is the file once it was flushed and renamed. For the rest see `write_whole`.
    """
    temporary = temporary_name(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, flags, 0o666)
    try:
        left = memoryview(payload)
        while left:
            left = left[os.write(descriptor, left) :]
        if mode is not None:
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
        raise
    return descriptor, temporary


def write_whole_once(path: Path, payload: bytes) -> bool:
    """Write a file as `write_whole` does, unless there is one of its name; return whether it was written.

    Of several processes, on whatever host, one writes it. Raises OSError.
    """
    ready = temporary_name(path)
    write_whole(ready, payload)
    try:
        try:
            os.link(ready, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with path.open("xb") as handle:
                handle.write(payload)
    except FileExistsError:
        return False
    finally:
        ready.unlink(missing_ok=True)
    return True


def temporary_name(path: Path) -> Path:
    """Return a name beside a file, `.<name>.<digits>.tmp`, that no other process takes, on this host or another.

    Raises IsADirectoryError for what names no file: a folder's root, or the one that a process is in.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    digits = f"{os.getpid()}{int.from_bytes(_RANDOM):020}{next(_NUMBERS)}"
    return path.with_name(f".{path.name}.{digits}.tmp")
