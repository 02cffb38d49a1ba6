"""Whole programs with a clock on them: `fmbench run` in a fresh home, and scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PLACES = ("FMBENCH_HOME", "MLFLOW_TRACKING_URI")
"""Variables that would have a run find another's store or database."""


@dataclass(frozen=True)
class Finished:
    """A program that ended well: its seconds from start to end, and what it printed."""

    seconds: float
    output: str

    @property
    def said(self) -> Any:
        """What the last line says, as JSON."""
        return json.loads(self.output.strip().splitlines()[-1])


def program(*arguments: str, folder: Path) -> Finished:
    """Run this Python with arguments in a folder. Raises CalledProcessError, which `measuring.reason` puts in words."""
    environment = {name: value for name, value in os.environ.items() if name not in PLACES}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return Finished(time.perf_counter() - started, done.stdout)


def script(name: str, *arguments: str, folder: Path) -> Finished:
    """Run a script of tests/benchmarks/scripts, as somebody would who had written it."""
    return program(str(FOLDER / "scripts" / name), *arguments, folder=folder)


def fmbench_run(suite: Path, folder: Path, device: str, *overrides: str) -> Finished:
    """Run a suite from nothing: an empty store, a new MLflow database and a new report in a new folder.

    It says what scripts/clocked_run.py says.
    """
    folder.mkdir()
    return fmbench_again(suite, folder, device, *overrides)


def fmbench_again(suite: Path, folder: Path, device: str, *overrides: str) -> Finished:
    """Run a suite in a folder in which it may have been run before."""
    return script("clocked_run.py", str(suite.resolve()), device, *overrides, folder=folder)
