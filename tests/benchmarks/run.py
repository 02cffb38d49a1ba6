"""The benchmark command: every speed benchmark, one after the other, and what they found in reports/benchmarks.

    python tests/benchmarks/run.py [--only NAME ...] [--quick] [--device cpu] [--reports reports]

Each benchmark is a module beside this one and runs in a process of its own, alone on the machine; nothing is fetched
from the network. One that fails, because a peer's package is not installed for instance, has a row that says why, the
others go on, and the exit code is 1. A missed target is a result, not a failure. `pip install fmbench[benchmarks]`
brings the peers.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.children import NO_BYTECODE
from benchmarks.measuring import Options, Row, add_options, row_of
from benchmarks.reporting import Result, write_report
from fmbench.errors import UserError
from fmbench.runtime.device import choose_device
from fmbench.runtime.environment import environment

FOLDER = Path(__file__).parent
BENCHMARKS = (
    "limits",
    "fleet",
    "big_training",
    "solvers",
    "peers",
    "evaluation",
    "startup",
    "reports",
    "plans",
    "page",
    "tracking",
    "harness",
    "many_cells",
    "suites",
    "workers",
)
"""The modules, in the order in which they run."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LONGEST = 900
"""Seconds after which a benchmark is given up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for and write the report; return the exit code."""
    options = parser().parse_args(argv)
    try:
        chosen = Options(options.quick, choose_device(options.device))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    results = []
    for name in BENCHMARKS:
        if name in options.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results.append(run(name, chosen))
            print(f"{name}: {results[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    page = write_report(results, facts(chosen, results), options.reports / "benchmarks")
    print(page.read_text())
    return 1 if any(row.error for result in results for row in result.rows) else 0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, metavar="NAME", help="some of them")
    made.add_argument("--reports", type=Path, default=Path("reports"), help="the folder of reports")
    add_options(made)
    return made


def run(name: str, options: Options) -> Result:
    """Run a benchmark in a process of its own and return what it found."""
    about = summary_of(FOLDER / f"{name}.py")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows.json"
        command = [sys.executable, str(FOLDER / f"{name}.py"), "--device", options.device, "--rows", str(rows_file)]
        command += ["--quick"] if options.quick else []
        try:
            done = subprocess.run(
                command, env=free_environment(), capture_output=True, text=True, timeout=LONGEST, check=False
            )
            problem = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
        except subprocess.TimeoutExpired:
            problem = f"took longer than {LONGEST} s"
        rows: list[Row] = []
        if rows_file.exists():
            rows = [row_of(values) for values in json.loads(rows_file.read_text())]
    if not rows:
        rows = [Row(name, "", "", error=problem)]
    return Result(name, about, tuple(rows), time.perf_counter() - started)


def summary_of(module: Path) -> str:
    """Return the first line of a module's docstring; "" where there is none."""
    return (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0]


def free_environment() -> dict[str, str]:
    """Return this process's environment without what would change torch's default threads, or have each process
    compile all modules that it imports.
    """
    return {name: value for name, value in os.environ.items() if name not in (*THREAD_VARIABLES, NO_BYTECODE)}


def facts(options: Options, results: Sequence[Result]) -> dict[str, str]:
    """Return what must stand beside the figures."""
    known = environment(options.device)
    others = ("python", "numpy", "mlflow", "torchdiffeq", "torch-fidelity")
    minutes = sum(result.seconds for result in results) / 60
    return {
        "command": f"`python tests/benchmarks/run.py{' --quick' * options.quick}`"
        + (" (sizes and repeats are cut: these are no figures to quote)" if options.quick else ""),
        "hardware": f"{known['hardware']}, {known['platform']}",
        "threads": f"torch's default is {default_threads()}; a benchmark that sets others says so",
        "versions": f"torch {known['torch']}, " + ", ".join(f"{name} {known[name]}" for name in others),
        "git commit": known["git_commit"] or "not in a repository",
        "date and load": f"{time.strftime('%Y-%m-%d')}, {minutes:.1f} minutes in all{load()}",
    }


def default_threads() -> str:
    """Return how many threads torch takes in a benchmark's process when nothing is said."""
    ask = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    return subprocess.run(ask, env=free_environment(), capture_output=True, text=True, check=True).stdout.strip()


def load() -> str:
    """Return what else the machine had to do before, where that is known."""
    return f", load average {os.getloadavg()[2]:.2f} over the last 15 minutes" if hasattr(os, "getloadavg") else ""


if __name__ == "__main__":
    sys.exit(main())
