"""Times and timeouts are of clocks that nobody sets: the day's is looked at where a date is meant."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATED = {
    "fmbench/executors/slurm/spool.py": "how old a spool is that nobody reads",
    "fmbench/results/unused_cells.py": "how old files are",
    "fmbench/tracking/experiment.py": "when a run of MLflow began",
}
"""The modules that may ask what time of the day it is, and why."""


def test_no_duration_is_measured_by_a_clock_that_can_be_set() -> None:
    asking = set()
    for folder in ("fmbench", "plugins"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.time", "time.time_ns"}:
                    asking.add(file.relative_to(ROOT).as_posix())
                if isinstance(node, ast.ImportFrom) and node.module == "time":
                    assert not {"time", "time_ns"} & {alias.name for alias in node.names}, file
    assert asking == set(DATED)
