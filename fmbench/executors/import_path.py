"""From which folders a worker imports: those of the driver, and the one where it stands last of all."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def import_path() -> list[str]:
    """Return the folders from which a worker imports: the driver's, without the one where it happens to stand.

    Python puts that first for `python -m` and in notebooks. A folder `fmbench` or a file `random.py` there must not
    take the place of the real one. Where PYTHONPATH names it, its user wants it there.
    """
    return [entry for entry in sys.path if not _stands_here(entry)]


def late_path() -> tuple[str, ...]:
    """Return the folder that `import_path` leaves out: a worker looks into it last, for modules of plugins."""
    return (str(Path.cwd()),) if any(map(_stands_here, sys.path)) else ()


def _stands_here(entry: str) -> bool:
    here = os.path.realpath(Path.cwd())
    asked_for = {os.path.realpath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each}
    return here not in asked_for and (not entry or os.path.realpath(entry) == here)
