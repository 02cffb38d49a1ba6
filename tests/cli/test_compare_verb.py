"""`fmbench compare` from the command line: what it takes, what it prints, its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import SMOKE
from made_results import results, write_csv, write_results
from typer.testing import CliRunner, Result

from fmbench.cli.app import app
from fmbench.errors import UserError

WORSE = {"path": "cosine", "solver": "heun"}


def worse(labels: dict[str, str], _: int, values: dict[str, float]) -> dict[str, float]:
    return {**values, "fid": 2 * values["fid"]} if WORSE.items() <= labels.items() else values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two reports, the second worse, and a repository that has committed them."""
    folder = tmp_path_factory.mktemp("compare")
    write_results(results(), folder / "a")
    write_results(results(change=worse), folder / "b")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        about = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *about, *command], cwd=folder, check=True)
    return folder


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_suite_that_comes_with_fmbench_is_meant_by_its_name(folder: Path, tmp_path: Path) -> None:
    done = run("smoke", folder / "b", "--home", tmp_path)
    assert isinstance(done.exception, UserError)
    assert "holds no finished evaluation of smoke" in str(done.exception)


def test_two_report_folders_are_compared_and_the_exit_code_says_so_where_it_is_asked(folder: Path) -> None:
    done = run(folder / "a", folder / "b")
    assert done.exit_code == 0, done.output
    assert "2 worse" in done.output
    assert "cosine, heun, NFE 2" in done.output
    assert run(folder / "a", folder / "b", "--fail-on", "worse").exit_code == 1
    assert run(folder / "b", folder / "a", "--fail-on", "worse").exit_code == 0
    assert run(folder / "a", folder / "b", "--fail-on", "worse", "--filter", "path=linear").exit_code == 0


def test_json_markdown_and_the_page_say_the_same(folder: Path, tmp_path: Path) -> None:
    found = json.loads(run(folder / "a", folder / "b", "--json").stdout)
    assert (found["verdicts"]["worse"], found["got_worse"]) == (2, True)
    markdown = run(folder / "a", folder / "b", "--markdown", "--html", tmp_path / "x.html").stdout
    page = (tmp_path / "x.html").read_text()
    for text in (markdown.replace("\\", ""), page):
        assert found["headline"] in text
        assert "cosine, heun, NFE 4" in text
    assert "http" not in page  # it works offline


def test_a_commits_report_is_read_from_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("HEAD:a", "HEAD:a/results.json", "HEAD:./a/"):
        assert json.loads(run(name, "b", "--json").stdout)["verdicts"]["worse"] == 2
    for name, message in (("HEAD:c", "holds no report"), ("nope:a", "no commit"), ("--help:a", "")):
        done = CliRunner().invoke(app, ["compare", "--", name, "b"])
        assert isinstance(done.exception, UserError)
        assert message in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "nowhere"], "there is no nowhere"),
        (["a", "b", "--fail-on", "better"], "--fail-on takes worse"),
        (["a", "b", "--json", "--markdown"], "choose one"),
        (["a", "b", "--better", "fid=down"], "NAME=lower or NAME=higher"),
        (["a", "b", "--across", "colour"], "is no axis"),
        (["a", "b", "--metric", "nope"], "no such metric"),
        (["a", "b", "--despite", "colour"], "no identity has a part colour for --despite; there are "),
        (["a", "b", "--html", ""], "is a folder: name the file to write"),
        (["a", "b", "--html", "a"], "is a folder: name the file to write"),
        (["tiny.yaml@", "b"], "names no store"),
        (["tiny.yaml@empty", "b"], "no finished evaluation"),
    ],
)
def test_mistakes_get_one_clear_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "tiny.yaml").write_text(SMOKE)
    done = run(*arguments)
    assert isinstance(done.exception, UserError), done.output
    assert message in str(done.exception)


def test_it_imports_no_torch(folder: Path) -> None:
    script = (
        "import sys; from fmbench.cli.app import app; "
        f"app(['compare', {str(folder / 'a')!r}, {str(folder / 'b')!r}, '--markdown'], standalone_mode=False); "
        "sys.exit(sorted({'torch', 'pandas', 'mlflow', 'matplotlib'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_records_of_a_quick_run_are_read_too(folder: Path, tmp_path: Path) -> None:
    records = write_csv(results(), tmp_path / "quick") / "records.csv"
    head, *lines = records.read_text().splitlines()
    marked = [f'{line},"Quick run, not comparable: 50 steps"' for line in lines]
    records.write_text("\n".join([f"{head},not_comparable", *marked]))
    done = run(folder / "a", records)
    assert done.exit_code == 0, done.output
    assert "not_comparable" not in done.output
