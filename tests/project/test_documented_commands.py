"""Every command of README and documentation: known to the command line, planned, and run or said by whom."""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from documented_commands import BUDGETS, CUT, ELSEWHERE, NOT_RUN, PAGES, ROOT, RUN, SHELL, Block, Command, blocks
from typer.testing import CliRunner

from fmbench.cli.app import app

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = {command.text: command for block in BLOCKS for command in block.commands}
SHOWN = {text: command for text, command in COMMANDS.items() if "docs/showcases/" not in command.page}
WHOLE = re.compile(r"^import ", re.MULTILINE)
"""What a block of Python begins with that is a program, and no part of one."""

INLINE = re.compile(r"`(fmbench(?: [^`]*)?)`", re.DOTALL)


@cache
def whole() -> Any:
    """Return the command line, with verbs that do nothing."""
    command = typer.main.get_command(app)
    for each in _with_subcommands(command):
        each.callback = lambda **_: None
    return command


def _with_subcommands(command: Any) -> list[Any]:
    """Return a command and those within it. (Typer has brought its own click, or used the installed one.)"""
    return [command, *(part for each in getattr(command, "commands", {}).values() for part in _with_subcommands(each))]


def complaint(arguments: list[str]) -> str:
    """Have the command line read arguments to the last option, and return what it has against them."""
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        whole().main(arguments, prog_name="fmbench")
    return said.getvalue() or f"exit code {ended.value.code}" if ended.value.code else ""


def test_the_command_line_complains() -> None:
    assert "No such command" in complaint(["runn", "suites/smoke.yaml"])
    assert "No such option" in complaint(["run", "suites/smoke.yaml", "--quicker"])
    assert "Missing argument" in complaint(["plan"])
    assert not complaint(["run", "suites/smoke.yaml", "--set", "training.steps=5"])


@pytest.mark.parametrize("text", sorted(SHOWN))
def test_it_has_a_class(text: str) -> None:
    known = SHOWN[text].class_and_reason
    assert known is not None, f"{SHOWN[text].page}: say in tests/documented_commands.py what tests do with it"
    kind, reason = known
    assert (kind in (NOT_RUN, ELSEWHERE)) == bool(reason)
    if kind == ELSEWHERE:
        assert (ROOT / reason).exists(), f"{reason}, which is to run it, is not there"


def test_fmbench_knows_each_command_with_its_options() -> None:
    said = {
        text: complaint(shlex.split(each.arguments)) for text, each in COMMANDS.items() if each.arguments is not None
    }
    faults = [f"{COMMANDS[text].page}: {text}: {fault}" for text, fault in said.items() if fault]
    assert len(said) > 20
    assert not faults, "\n".join(faults)


def test_commands_within_sentences_are_there_with_their_options() -> None:
    faults = []
    verbs = whole().commands
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for shown in INLINE.findall(text):
            words = shown.replace("[", " ").replace("]", " ").split()
            if len(words) > 1 and words[1] in verbs:
                options = {
                    option
                    for each in _with_subcommands(verbs[words[1]])
                    for p in each.params
                    for option in (*p.opts, *p.secondary_opts)
                }
                unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
                faults += [f"{page.name}: {shown}: there is no {word}" for word in unknown]
            elif len(words) > 1 and re.fullmatch("[a-z-]+", words[1]) and words[1][0] != "-":
                faults.append(f"{page.name}: {shown}: there is no verb {words[1]}")
    assert not faults, "\n".join(faults)


def test_every_verb_is_listed() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for verb, command in whole().commands.items():
        assert command.hidden or f"`fmbench {verb}" in page, f"{verb} is not in docs/commands.md"


def test_suites_that_commands_name_can_be_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run at night is planned every time: its overrides and filters fit the suite."""
    monkeypatch.chdir(ROOT)
    for text, command in SHOWN.items():
        words = shlex.split(command.arguments or "")
        if words[:1] in (["run"], ["plan"]) and words[1:2] and (ROOT / words[1]).exists() and "--plugins" not in words:
            chosen = [word for pair in pairwise(words) if pair[0] in ("--set", "--filter") for word in pair]
            done = CliRunner().invoke(app, ["plan", words[1], *chosen, "--home", str(tmp_path)])
            assert done.exit_code == 0, f"{command.page}: {text}\n{done.output}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=lambda b: b.page)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


def scripts_of(page: Path) -> list[Block]:
    """Return what a page has a reader run, in order, and the files that it has them save."""
    found = blocks(page)
    runs = [each for each in found if any((c.class_and_reason or ("",))[0] in (RUN, CUT) for c in each.commands)]
    return [each for each in found if each in runs or (runs and each.file)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for all pages."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "showcases" not in page.parts and scripts_of(page)], ids=lambda p: p.name
)
def test_a_page_is_followed_from_top_to_bottom(page: Path, tmp_path: Path, home: Path) -> None:
    """In a fresh folder with the suites: files are saved, Python is run, commands are run, some with a cut budget.

    All pages share a store, so that what several of them run is computed once.
    """
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"FMBENCH_HOME": str(home), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    for block in blocks(page):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python" and WHOLE.search(block.text):
            subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, env=environment, check=True)
        elif block.language in SHELL:
            for command in block.commands:
                follow(command, tmp_path, environment)


def follow(command: Command, folder: Path, environment: dict[str, str]) -> None:
    """Run a command of a page as its class says."""
    kind, _ = command.class_and_reason or (NOT_RUN, "")
    if kind not in (RUN, CUT):
        return
    text = command.text
    if kind == CUT:
        budget = BUDGETS[Path(shlex.split(text)[2]).stem]
        text += " " + (budget if " run " in text else budget.replace("--no-tracking", ""))
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command.page}: {text}\n{done.stdout}\n{done.stderr}"
