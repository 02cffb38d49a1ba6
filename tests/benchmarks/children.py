"""Commands measured from outside, each in a process of its own: wall time, processor time and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Row, Target, at_most

ROOT = Path(__file__).parents[2]
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""With it, each process would compile all modules that it imports."""


@dataclass(frozen=True)
class Spent:
    """What one process took: seconds of wall and of processor time, and the most resident bytes."""

    wall: float
    cpu: float
    memory: int


def fmbench(*arguments: str) -> list[str]:
    """Return the command line of a verb of this working tree."""
    return [sys.executable, "-c", "from fmbench.cli import main; main()", *arguments]


def spend(command: Sequence[str], folder: Path) -> Spent:
    """Run a command in a folder to its end, its output thrown away. Raises RuntimeError where it fails."""
    paths = [str(ROOT), str(ROOT / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[3:] or command)} ended with exit code {child.returncode}")
    scale = 1 if sys.platform == "darwin" else 1024
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale)


def rows(name: str, found: Sequence[Spent], targets: Mapping[str, float]) -> list[Row]:
    """Return a row for wall time, with processor time in its note, and others for that and memory where `targets` has
    them.
    """
    cpu = sorted(each.cpu for each in found)
    note = f"Processor time {cpu[len(cpu) // 2]:.2f} s ({cpu[0]:.2f} to {cpu[-1]:.2f})."
    columns = {
        "wall": ("s", tuple(each.wall for each in found), note),
        "cpu": ("s of processor time", tuple(each.cpu for each in found), ""),
        "memory": ("MB", tuple(each.memory / 1e6 for each in found), ""),
    }
    return [
        Row(f"{name}: {what}", "one process", "", values, unit, _at_most(targets.get(what)), note=note)
        for what, (unit, values, note) in columns.items()
        if what == "wall" or what in targets
    ]


def _at_most(value: float | None) -> Target | None:
    return None if value is None else at_most(value)
