"""docs/guides/plugin.md, done as it says by a reader who has nothing, in a fresh folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from guide_blocks import Step, steps_of

from fmbench.components.contracts import KINDS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "plugin.md"
STEPS = list(steps_of(GUIDE))
LONG = ("smoke", "low_nfe")
"""Suites whose runs are left to the night; the guide's own suite is run each time."""
BUDGET = "--set training.steps=20 --set training.seeds=[0] --set evaluation.samples=150 --no-tracking"


def test_the_guide_has_its_reader_do_this() -> None:
    assert [step.heading for step in STEPS] == [
        "Install",
        "Begin with a solver that works",
        "Make it yours",
        "Make it yours",
        "In the table",
        "In the table",
        "Without a package",
    ]
    assert [step.file for step in STEPS if step.file] == ["src/third_order/solver.py"]


def test_the_guide_says_what_each_kind_begins_with() -> None:
    table = GUIDE.read_text().partition("## Every kind")[2].partition("\n\n##")[0]
    assert re.findall(r"^\| (\w+) \| \w", table, re.MULTILINE) == ["kind", *KINDS]


def environment_of_a_reader(folder: Path) -> dict[str, str]:
    """Return the variables of a shell with an environment of its own, which has what this one has, and no network.

    There `fmbench` and `pip` are this checkout's and this Python's; what the guide installs goes there.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    places = [ROOT, ROOT / "plugins", *(place for place in sys.path if place.endswith("-packages"))]
    (site / "here.pth").write_text("\n".join(map(str, places)))
    for name, module in (("fmbench", "from fmbench.cli import main; main()"), ("pip", "from pip import __main__")):
        call = module if name == "fmbench" else "import sys; from pip._internal.cli.main import main; sys.exit(main())"
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec \'{folder}/bin/python\' -c "{call}" "$@"\n')
        script.chmod(0o755)
    own = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    own |= {"PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "FMBENCH_PLUGINS": ""}
    return {**os.environ, **own}


def without(step: Step, *unwanted: str) -> Step:
    """Return a step without the lines that hold some words."""
    lines = [line for line in step.text.splitlines() if not any(word in line for word in unwanted)]
    return Step(step.heading, "\n".join(lines), step.file)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["short", "whole"])
def test_the_guide_leads_to_a_table(tmp_path: Path, whole: bool) -> None:
    environment, folder = environment_of_a_reader(tmp_path / ".venv"), tmp_path
    installed = ("python3 -m venv", "pip install fmbench")  # which tests/benchmarks/guide.py and .ci/run do
    left_out = installed if whole else (*installed, *(f"fmbench run {suite} " for suite in LONG), "fmbench run smoke")
    for step in STEPS:
        folder = without(step, *left_out).do(folder, environment, BUDGET)
    assert folder == tmp_path / "third-order"
    listed = ["fmbench", "plugins", "show", "solver", "third_order", "--json"]
    shown = json.loads(subprocess.run(listed, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout)
    assert shown["owner"] == "third-order 0.1.0"
    table = (folder / "reports").glob("third_order+*/records.csv")
    assert "third_order" in next(table).read_text()
