"""Commands measured from outside, each in a process of its own: wall time, processor time and peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIB = 2**20


@dataclass(frozen=True)
class Spent:
    """What one process took: seconds of wall and of processor time, and the most resident bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Row:
    """Repeats of one thing: median, least and most, in `unit`. `target` is what must not be passed, None for none."""

    name: str
    unit: str
    median: float
    least: float
    most: float
    n: int
    target: float | None = None

    def __str__(self) -> str:
        target = "" if self.target is None else f"  target {self.target:g}"
        spread = f"{self.least:.2f} to {self.most:.2f}"
        return f"{self.name:44} {self.median:8.2f} {self.unit:4} ({spread}, n = {self.n}){target}"


def fmbench(*arguments: str) -> list[str]:
    """Return the command line of a verb of this working tree."""
    return [sys.executable, "-c", "from fmbench.cli import main; main()", *arguments]


def spend(command: Sequence[str], folder: Path) -> Spent:
    """Run a command in a folder to its end, its output thrown away. Raises RuntimeError where it fails."""
    paths = [str(ROOT), str(ROOT / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
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
    """Return a row for wall time and one for processor time, and one for memory where `targets` has it."""
    columns = {
        "wall": ("s", [each.wall for each in found]),
        "cpu": ("s", [each.cpu for each in found]),
        "memory": ("MiB", [each.memory / MIB for each in found]),
    }
    return [
        Row(f"{name}, {what}", unit, statistics.median(v), min(v), max(v), len(v), targets.get(what))
        for what, (unit, v) in columns.items()
        if what != "memory" or what in targets
    ]
