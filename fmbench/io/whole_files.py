"""Writing files that are whole or absent: under a temporary name first, flushed, and renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, payload: bytes, *, flush: bool = True) -> None:
    """Write a file so that it is either wholly there or not at all; with `flush`, also after a power cut.

    Its folder is made where it is not there. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(payload)
            if flush:
                handle.flush()
                os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
