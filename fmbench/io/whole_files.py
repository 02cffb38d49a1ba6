"""Writing files that are whole or absent: under a temporary name first, flushed where that is wanted, and renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, payload: bytes, *, flush: bool = True, mode: int | None = None) -> None:
    """Write a file so that it is either wholly there or not at all; with `flush`, also after a power cut.

    Its folder is made where it is not there. `mode` are the file's permissions; None leaves them to the umask. Raises
    OSError.
    """
    temporary = temporary_name(path)
    try:
        handle = temporary.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = temporary.open("xb")
    try:
        with handle:
            handle.write(payload)
            if mode is not None:
                os.fchmod(handle.fileno(), mode)
            if flush:
                handle.flush()
                os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_name(path: Path) -> Path:
    """Return a name beside a file, `.<name>.<digits>.tmp`, that no other process takes, on this host or another."""
    digits = f"{os.getpid()}{int.from_bytes(os.urandom(8)):020}"
    return path.with_name(f".{path.name}.{digits}.tmp")
