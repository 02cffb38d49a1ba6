"""How long does a report take, of 288 and of 1,944 cells that are in the store?

reports.yaml is run once, whose trainings have one step. Then `fmbench report` writes its report, and that of a sixth of
it, without figures and with them, each in a process of its own: everything counts, from the start of Python to the last
file. The commands take turns. On a machine that is shared, processor time is what to compare.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.children import Spent, fmbench, rows, spend
from benchmarks.measuring import Options, Row, main

SUITE = Path(__file__).with_suffix(".yaml")
FEW = [
    word for axis in ("path=linear,cosine", "t_distribution=uniform,beta", "seed=0,1,2") for word in ("--filter", axis)
]
TARGETS = {"288 cells": {"cpu": 2.0}, "1,944 cells": {"wall": 5.0}}
"""Seconds."""


def measure(options: Options) -> list[Row]:
    """Run the suite, then return what each report takes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        spend(fmbench("run", str(SUITE), "--no-tracking", "--device", options.device), place)
        commands = {
            "288 cells": fmbench("report", str(SUITE), *FEW),
            "1,944 cells": fmbench("report", str(SUITE)),
            "288 cells, with figures": fmbench("report", str(SUITE), *FEW, "--figures"),
            "1,944 cells, with figures": fmbench("report", str(SUITE), "--figures"),
        }
        found: dict[str, list[Spent]] = {name: [] for name in commands}
        for _ in range(options.repeats(5)):
            for name, command in commands.items():
                found[name].append(spend(command, place))
    return [row for name, each in found.items() for row in rows(f"a report of {name}", each, TARGETS.get(name, {}))]


if __name__ == "__main__":
    main(measure, __doc__)
