"""docs/guides/compare.md and publishing.md: every command of theirs runs, but for those of Docker."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers import SMOKE
from made_results import results, write_results
from typer.testing import CliRunner

from fmbench.cli.app import app
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot_file import snapshot_text

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "docs" / "guides" / name for name in ("compare.md", "publishing.md")]
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
COMMANDS = [
    line.partition(" #")[0].strip()
    for guide in GUIDES
    for block in BLOCK.findall(guide.read_text())
    for line in block.splitlines()
]
STORES = [command for command in COMMANDS if "@" in command]
"""The commands that need computed cells: run at night."""


def low_nfe(folder: Path, luck: int = 0) -> None:
    """Write a report as a run of low_nfe would leave it, as far as it is read here."""
    found = results(luck=luck, suite="low_nfe", nfe=(1, 4))
    fid = MetricFacts("fid_digits", "lower", "", "evaluation", "fid_digits")
    for row in found.evaluations.values():
        row.values["fid_digits"] = row.values["fid"]  # type: ignore[index]
    found.metrics["fid_digits"] = fid  # type: ignore[index]
    write_results(found, folder)
    (folder / "index.html").write_text("<!doctype html><title>Report</title>")
    baselines = folder.parent / "baselines"
    baselines.mkdir(exist_ok=True)
    (baselines / "low_nfe.json").write_bytes(snapshot_text(found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with two reports."""
    folder = tmp_path_factory.mktemp("guides")
    low_nfe(folder / "reports" / "low_nfe")
    low_nfe(folder / "other" / "low_nfe", luck=1)
    for command in (["init", "-q"], ["add", "reports/low_nfe"], ["commit", "-qm", "x"]):
        about = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *about, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def stores(folder: Path) -> Path:
    """Return the folder with a suite and two stores that hold its results, too."""
    (folder / "suites").mkdir()
    (folder / "suites" / "smoke.yaml").write_text(SMOKE.replace("[euler, heun]", "[euler]"))
    store = ["--home", str(folder / ".fmbench"), "--reports", str(folder / "reports"), "--jobs", "1", "--no-tracking"]
    done = CliRunner().invoke(app, ["run", str(folder / "suites" / "smoke.yaml"), *store])
    assert done.exit_code == 0, done.output
    shutil.copytree(folder / ".fmbench", folder / "other_store")
    return folder


def test_the_commands_of_the_guides_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    mine = [command for command in COMMANDS if command.startswith("fmbench ")]
    assert len(mine) == len([command for command in COMMANDS if command and not command.startswith("docker ")]) > 10
    for command in mine:
        if command not in STORES:
            follow(command)
    assert (folder / "compared.html").exists()
    assert (folder / "site" / "index.html").exists()


def follow(command: str) -> str:
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, f"{command}\n{done.output}{done.exception}"
    return done.output


@pytest.mark.nightly
@pytest.mark.slow
def test_a_suite_in_two_stores_that_are_alike_is_the_same_as_its_report(
    stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stores)
    assert len(STORES) == 1
    for other in ("suites/smoke.yaml@other_store", "reports/tiny", "reports/tiny/records.csv"):
        said = follow(STORES[0].replace("suites/smoke.yaml@other_store", other))
        assert "2 identical" in said
        assert "Only in" not in said


def test_the_workflow_of_the_guide_says_what_the_action_takes() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDES[1].read_text(), flags=re.DOTALL)
    steps = yaml.safe_load(text)["jobs"]["benchmark"]["steps"]
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert set(steps[-1]["with"]) <= set(action["inputs"])
    assert all(name in steps[-1]["with"] for name, each in action["inputs"].items() if each.get("required"))
