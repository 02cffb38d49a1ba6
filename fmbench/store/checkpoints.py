"""Checkpoints of a training: the newest one that is whole."""

from __future__ import annotations

import re
from pathlib import Path

from fmbench.io.regular_files import (
    NotRegularError,
    read_regular,
)

_CHECKPOINT = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.pt")


def _checkpoint_content(path: Path) -> bytes | None:
    """Return what is in a checkpoint's file, None where it is no regular file or not there any more."""
    try:
        return read_regular(path, path.stat().st_size)
    except (NotRegularError, FileNotFoundError):
        return None
