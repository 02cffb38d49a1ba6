"""Whatever is written on a command line, in a variable or in a suite: one short message and exit code 2."""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import SMOKE

from fmbench import cli
from fmbench.errors import ComponentError, PluginError
from fmbench.io.regular_files import expanded
from fmbench.plugins.local_files import load_given
from fmbench.plugins.parameters import Signature
from fmbench.plugins.registry import Registry, load_registry
from fmbench.plugins.source import Argument
from fmbench.tracking.uris import reason

LONG = "x" * 10_000
DEEP = "a/" * 3000

Main = Callable[..., tuple[object, str]]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> Iterator[Main]:
    """The command line in this process, in a folder with tiny.yaml: its exit code and what it says."""
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("FMBENCH_HOME", "FMBENCH_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for module in ("fmbench.plugins.registry", "fmbench.runner.session"):
        monkeypatch.setattr(f"{module}.load_registry", lambda plugins=(), contents=None: loaded(plugins, registry))
    before = gc.get_threshold()

    def call(*arguments: str) -> tuple[object, str]:
        said = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
        monkeypatch.setattr(sys, "argv", ["fmbench", *arguments])
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True))
        monkeypatch.setattr(sys, "stderr", said)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(said.buffer, io.BytesIO)
        return ended.value.code, said.buffer.getvalue().decode()

    yield call
    gc.set_threshold(*before)


def loaded(plugins: Sequence[str], built_in: Registry) -> Registry:
    """Load plugins that are given; without any, the built-in components are not read anew for each command."""
    return load_registry(plugins) if plugins or os.environ.get("FMBENCH_PLUGINS") else built_in


def check(answer: tuple[object, str]) -> str:
    code, said = answer
    assert code == 2, said
    assert "Traceback" not in said
    assert said.strip()
    assert max(map(len, said.splitlines())) <= 620
    return said


ONE = ("tiny.yaml",)
PATHS = {
    "suite": ("plan",),
    "home": ("plan", *ONE, "--home"),
    "reports": ("report", *ONE, "--reports"),
    "history": ("history", *ONE, "fid", "--reports"),
    "plugins": ("plan", *ONE, "--plugins"),
    "baseline": ("check", *ONE, "--no-run", "--baseline"),
    "junit": ("check", *ONE, "--no-run", "--junit"),
    "merge": ("merge",),
    "into": ("merge", "folder", "--into"),
    "clean": ("clean",),
}


@pytest.mark.parametrize("path", [LONG, DEEP, "\0", "a\0b"], ids=["long", "deep", "nul", "nul inside"])
@pytest.mark.parametrize("where", PATHS)
def test_what_no_file_can_be_called(main: Main, where: str, path: str) -> None:
    check(main(*PATHS[where], path))


TEXTS = {
    "set": ("plan", *ONE, "--set"),
    "steps": ("plan", *ONE, "--set", "training.steps="),
    "parameter": ("plan", *ONE, "--set", "training.networks.mlp.width="),
    "solver": ("plan", *ONE, "--set", "evaluation.solvers="),
    "folder": ("plan", *ONE, "--set", "datasets.0="),
    "filter": ("plan", *ONE, "--filter"),
    "network": ("plan", *ONE, "--filter", "network="),
    "nfe": ("plan", *ONE, "--filter", "nfe="),
    "where": ("history", *ONE, "fid", "--where"),
    "over": ("history", *ONE, "fid", "--over"),
    "device": ("env", "--device"),
    "why": ("why", "zzz"),
    "show": ("plugins", "show", "solver"),
    "verb": (),
    "older": ("clean", "--older-than"),
    "timeout": ("run", *ONE, "--no-tracking", "--timeout"),
    "jobs": ("run", *ONE, "--no-tracking", "--jobs"),
}
HOSTILE = ["9" * 5000, "nan", "", "/", "..", LONG, "0x" + "f" * 5000, "1e999", "[", "a=\0", "\udcff", "~nosuchuser/x"]


@pytest.mark.parametrize("where", TEXTS)
def test_what_nothing_can_be_set_to(main: Main, where: str) -> None:
    *arguments, last = TEXTS[where] or ("",)
    for value in HOSTILE:
        if (where, value) in {("older", "1e999"), ("older", "nan"), ("verb", "")}:
            continue  # a number of days, and no verb, which shows the help
        words = [last + value] if last.endswith("=") or not TEXTS[where] else [last, value]
        check(main(*arguments, *words))


def test_an_option_that_is_not_known_is_shown_briefly(main: Main) -> None:
    said = check(main("plan", "tiny.yaml", f"--{LONG}"))
    assert "No such option: --xxx" in said


def test_an_index_of_thousands_of_digits_is_not_in_the_list(main: Main) -> None:
    said = check(main("plan", "tiny.yaml", "--set", f"datasets.{'9' * 5000}=moons"))
    assert "the list has 1 entries, counted from 0; found the index 9999" in said


@pytest.mark.parametrize("variable", ["FMBENCH_HOME", "FMBENCH_PLUGINS"])
def test_what_a_variable_can_hold(main: Main, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [LONG, DEEP, *(["~nosuchuser/x", "/", "\udcff.py"] if variable == "FMBENCH_PLUGINS" else [])]
    for value in values:
        monkeypatch.setenv(variable, value)
        check(main("plan", "tiny.yaml"))


def test_folders_of_users_that_are_not_there(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    said = check(main("plan", "tiny.yaml", "--plugins", "~nosuchuser/mine.py"))
    assert "no home folder is known for ~nosuchuser: write the path out" in said
    said = check(main("plan", "tiny.yaml", "--set", "datasets=[{image_folder: {folder: ~nosuchuser/pictures}}]"))
    assert "no home folder is known for ~nosuchuser: write the path out" in said
    # as it is without HOME and an entry for the user
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(PluginError, match="no home folder is known for ~: write the path out"):
        list(load_given("~/mine.py"))


def test_a_path_is_expanded_or_refused_with_words_for_people() -> None:
    assert expanded("~/x") == Path.home() / "x"
    assert expanded("x/~y") == Path("x/~y")
    for wrong in ("a\0b", "\ud800"):
        with pytest.raises(OSError, match="it holds a character that no file's name can"):
            expanded(wrong)


def test_without_a_home_folder_mlflow_says_what_to_set() -> None:
    assert reason(RuntimeError("Could not determine home directory.")).endswith("set the variable HOME")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (2**63, "whole numbers go to 9,223,372,036,854,775,807 only"),
        (-(2**63), "whole numbers go to 9,223,372,036,854,775,807 only"),
        pytest.param(10**5000, "whole numbers go to", id="huge"),
        ({"a": [1, {"b": 2**63}]}, "whole numbers go to"),
        ("a\0b", "text is Unicode without NUL"),
        ({"a\0": 1}, "text is Unicode without NUL"),
        ("\ud800", "text is Unicode without NUL"),
        (float("inf"), "Out of range float values are not JSON compliant"),
        (float("nan"), "Out of range float values are not JSON compliant"),
    ],
)
def test_parameters_that_no_key_can_hold(value: object, why: str) -> None:
    signature = Signature([Argument("it", Any, None, required=True, description="")], "path 'x'")
    with pytest.raises(ComponentError, match=why) as error:
        signature.check({"it": value})
    assert len(str(error.value)) < 400
    largest = 2**63 - 1
    assert json.dumps(signature.check({"it": largest})) == json.dumps({"it": largest})
