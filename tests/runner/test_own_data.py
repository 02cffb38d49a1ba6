"""docs/guides/own_data.md is run as it stands: its lines of NumPy, its suite, its commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from fmbench.cli.app import app

SECTION = (Path(__file__).parents[2] / "docs" / "guides" / "own_data.md").read_text()
NUMPY, SUITE, COMMANDS = (
    re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)[0] for language in ("python", "yaml", "bash")
)


def test_it_is_as_short_as_it_says() -> None:
    assert len([line for line in NUMPY.splitlines() if line]) == 3
    assert len(SUITE.splitlines()) == 10


@pytest.mark.slow
def test_the_guides_own_data_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMBENCH_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    subprocess.run([sys.executable, "-c", NUMPY], check=True)
    Path("mine.yaml").write_text(SUITE)
    commands = [line.partition("#")[0].split() for line in COMMANDS.splitlines()]
    assert [command[:2] for command in commands] == [["fmbench", "plan"], ["fmbench", "run"]]
    plan, run = (CliRunner().invoke(app, command[1:]) for command in commands)
    assert plan.exit_code == 0, plan.output
    assert "4,000 points of dimension 2, of 2 classes" in " ".join(plan.output.split())
    assert run.exit_code == 0, run.output
    rows = pd.read_csv("reports/mine/records.csv")
    assert set(rows["status"]) == {"ok"}
    assert set(rows["path"]) == {"linear", "cosine"}
    best = rows["class_wasserstein"].min()
    assert best < 0.3, "samples lie near their class: the classes are 2.2 apart, and noise is farther from both"
    again = CliRunner().invoke(app, ["plan", "mine.yaml", "--json"])
    assert json.loads(again.stdout)
