"""How long does fmbench take before it does anything, and when there is nothing to do?

`fmbench --help`, `fmbench plugins`, and a suite that is finished: everything in the store, the report written, MLflow
up to date. Beside them stands an empty Python process. The commands take turns, so that all meet the same machine; on
one that is shared, processor time is what to compare.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.children import ROOT, Spent, fmbench, rows, spend
from benchmarks.measuring import Options, Row, main

SUITE = ROOT / "suites" / "smoke.yaml"

TARGETS = {"fmbench --help": 0.3, "fmbench plugins": 0.5, "a finished suite": 3.0}
"""Seconds of wall time."""


def measure(options: Options) -> list[Row]:
    """Run a suite once, then return what each command takes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run = fmbench("run", str(SUITE), "--tracking-uri", f"sqlite:///{place}/mlflow.db")
        spend(run, place)
        commands = {
            "an empty Python process": [sys.executable, "-c", "pass"],
            "fmbench --help": fmbench("--help"),
            "fmbench plugins": fmbench("plugins"),
            "a finished suite": run,
        }
        found: dict[str, list[Spent]] = {name: [] for name in commands}
        for _ in range(options.repeats(7)):
            for name, command in commands.items():
                found[name].append(spend(command, place))
    return [row for name, each in found.items() for row in rows(name, each, _targets(name))]


def _targets(name: str) -> dict[str, float]:
    return {"wall": TARGETS[name]} if name in TARGETS else {}


if __name__ == "__main__":
    main(measure, __doc__)
