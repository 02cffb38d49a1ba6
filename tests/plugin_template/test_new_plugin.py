"""`fmbench new-plugin` writes a plugin that works as it is, for every kind, and overwrites nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import fmbench

from fmbench.components.contracts import KINDS
from fmbench.plugin_template.create import FILES
from fmbench.plugins.registry import load_registry
from fmbench.suite import load_suite


def test_there_are_templates_for_every_kind() -> None:
    folders = {each.name for each in FILES.iterdir()} - {"common"}
    assert folders == set(KINDS)
    wanted = ["component.py.template", "suite.yaml.template", "test.py.template", "try.template"]
    assert {kind: sorted(file.name for file in (FILES / kind).iterdir()) for kind in KINDS} == dict.fromkeys(
        KINDS, wanted
    )


STYLE = ["--isolated", "--line-length=120"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_every_kind_is_well_written_and_its_suite_is_planned(tmp_path: Path, kind: str) -> None:
    name = f"own_{kind}"
    made = fmbench("new-plugin", name.replace("_", "-"), "--kind", kind, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (folder,) = tmp_path.iterdir()
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {f"src/{name}/{kind}.py", f"src/{name}/__init__.py", f"tests/test_{name}.py", "suite.yaml"} <= files
    assert all(file in made.stdout for file in files)
    assert not [file for file in files if "$" in (folder / file).read_text()]
    for command in (["check", "--select=E,F,W,I,B,UP"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, *STYLE, "--no-cache", "."]
        done = subprocess.run(ruff, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    planned = fmbench("plan", "suite.yaml", "--json", "--plugins", f"src/{name}", cwd=folder)
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert plan["left_out"] == []
    metrics = [metric.name for metric in load_suite(folder / "suite.yaml").evaluation.metrics]
    assert name in metrics or any(name in each["cell"] for each in plan["cells"])
    assert name in metrics or any(name not in each["cell"] for each in plan["cells"])


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_of_every_kind_conforms(tmp_path: Path, kind: str) -> None:
    name = f"single_{kind}"
    made = fmbench("new-plugin", name, "--kind", kind, "--file", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert [each.name for each in tmp_path.iterdir()] == [f"{name}.py"]
    registry = load_registry([str(tmp_path / f"{name}.py")])
    assert registry.entry(kind, name).summary
    done = fmbench("check-plugin", f"{name}.py", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)["components"]
    assert sum(each["status"] == "ok" for each in found["checks"]) >= 8


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_every_kind_passes_its_own_tests(tmp_path: Path, kind: str) -> None:
    fmbench("new-plugin", f"packed-{kind.replace('_', '-')}", "--kind", kind, cwd=tmp_path)
    (folder,) = tmp_path.iterdir()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**plain, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["heun"], "the solver 'heun' is registered already, by fmbench"),
        (["linear", "--kind", "metric"], "the path 'linear' is registered already"),
        (["json"], "a Python module 'json' is installed"),
        (["torch"], "a Python module 'torch' is installed"),
        (["class"], "a word of Python's own"),
        (["My Solver"], "'my-solver', say"),
        (["../escape"], "'escape', say"),
        (["/etc/passwd"], "found '/etc/passwd'"),
        ([""], "found ''"),
        (["1st"], "begins with a letter"),
        (["a" * 51], "50 characters at most"),
        (["my_solver", "--kind", "slover"], "Did you mean 'solver'?"),
        (["there"], "there is there already, and nothing is overwritten"),
        (["dangling", "--file"], "dangling.py is there already"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_name_that_will_not_do_is_refused_in_one_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling.py").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    done = fmbench("new-plugin", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr("fmbench.io.whole_files.os.write", full)
    for arguments in (["unwritten"], ["unwritten", "--file"]):
        done = fmbench("new-plugin", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "No space left on device" in done.stderr
        assert list(tmp_path.iterdir()) == []
