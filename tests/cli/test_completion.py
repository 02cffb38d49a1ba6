"""What the Tab key offers, through the protocol of real shells; nothing heavy is imported for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import fmbench
from helpers import SMOKE

from fmbench.suite import shipped_suites

MINE = '''\
from fmbench import Solver, hookimpl


class Mine(Solver):
    """A solver."""

    def integrate(self, velocity, x_0, times):
        return x_0


@hookimpl
def fmbench_solvers():
    return {"mine": Mine}
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    (folder / "tiny.yaml").write_text(SMOKE.replace("[linear]", "[linear, {cosine: {}}]"))
    (folder / "broken.yaml").write_text("name: [")
    (folder / "mine.py").write_text(MINE)
    (folder / "suites").mkdir()
    (folder / "suites" / "other.yaml").write_text(SMOKE)
    return folder


def bash(folder: Path, *words: str) -> list[str]:
    """What fmbench tells bash, which has broken the words at "=" already."""
    asked = {"COMP_WORDS": "\n".join(["fmbench", *words]), "COMP_CWORD": str(len(words))}
    answer = fmbench(cwd=folder, _FMBENCH_COMPLETE="complete_bash", **asked)
    assert answer.stderr == ""
    return answer.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["run"]),
        (["run", "ti"], ["tiny.yaml"]),
        (["run", "suites/"], ["suites/other.yaml"]),
        (["run", "tiny.yaml", "--filter", "pa"], ["path=linear", "path=cosine"]),
        (["run", "tiny.yaml", "--filter", "path", "=", "co"], ["cosine"]),
        (["run", "tiny.yaml", "--filter", "path", "="], ["linear", "cosine"]),
        (["plan", "--filter", "=", "path", "=", "l", "tiny.yaml"][:-1], []),  # no suite is known yet
        (["run", "tiny.yaml", "--filter", "nfe", "=", "1,"], ["1,2"]),
        (["run", "tiny.yaml", "--filter", "path=co"], ["path=cosine"]),  # where "=" breaks no words
        (["run", "tiny.yaml", "--set", "training.pa"], ["training.paths="]),
        (["run", "tiny.yaml", "--set", "training.paths", "=", "[linear,cos"], ["[linear,cosine"]),
        (["run", "tiny.yaml", "--set", "training.precision", "="], ["auto", "float32", "bf16"]),
        (["run", "tiny.yaml", "--plugins", "mine.py", "--set", "evaluation.solvers", "=", "mi"], ["midpoint", "mine"]),
        (["plugins", "show", "solv"], ["solver"]),
        (["plugins", "show", "solver", "heun_"], ["heun_edm"]),
        (["run", "broken.yaml", "--filter", "path", "=", "co"], []),
    ],
    ids=" ".join,
)
def test_what_is_offered(folder: Path, words: list[str], offered: list[str]) -> None:
    assert bash(folder, *words) == offered


def test_suites_are_offered_from_their_folder_too(folder: Path) -> None:
    files = {"tiny.yaml", "broken.yaml", "suites/", "suites/other.yaml"}
    assert set(bash(folder, "run", "")) == files | set(shipped_suites())
    assert bash(folder, "run", "smoke", "--filter", "path", "=", "co") == ["cosine"], "a shipped one goes by its name"


def test_keys_are_offered_a_section_at_a_time(folder: Path) -> None:
    top = bash(folder, "run", "tiny.yaml", "--set", "")
    assert {"datasets=", "training.", "evaluation."} <= set(top)
    inner = bash(folder, "run", "tiny.yaml", "--set", "train")
    assert {"training.steps=", "training.paths="} <= set(inner), "the only section that begins so is opened"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_itself_completes(folder: Path, tmp_path: Path) -> None:
    """The whole way: the script that --show-completion prints, in bash, asks an fmbench on the PATH."""
    (tmp_path / "fmbench").write_text(f"#!{sys.executable}\nfrom fmbench.cli import main\nmain()\n")
    (tmp_path / "fmbench").chmod(0o755)
    script = """
    source <(_FMBENCH_COMPLETE=source_bash fmbench)
    COMP_WORDS=(fmbench run tiny.yaml --filter path = co); COMP_CWORD=6
    _fmbench_completion fmbench; printf '%s\\n' "${COMPREPLY[@]}"
    complete -p fmbench
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["cosine", "complete -o default -F _fmbench_completion fmbench"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_whole_words(folder: Path, shell: str) -> None:
    asked = {"_FMBENCH_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    words = "fmbench run tiny.yaml --filter path=co"
    assert "path=cosine" in fmbench(cwd=folder, _TYPER_COMPLETE_ARGS=words, **asked).stdout


@pytest.mark.parametrize(
    "words",
    [["run", "tiny.yaml", "--filter", "path="], ["run", "tiny.yaml", "--set", "evaluation.solvers="], ["ru"]],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(folder: Path, words: list[str]) -> None:
    script = (
        "import atexit, json, sys\n"
        "heavy = ('torch', 'mlflow', 'pandas', 'numpy', 'matplotlib', 'scipy', 'sklearn', 'PIL', 'rich.progress')\n"
        "atexit.register(lambda: sys.stderr.write(json.dumps([m for m in heavy if m in sys.modules])))\n"
        "from fmbench.cli import main\nmain()\n"
    )
    asked = {"COMP_WORDS": "\n".join(["fmbench", *words]), "COMP_CWORD": str(len(words))}
    environment = {**os.environ, **asked, "_FMBENCH_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout
    assert json.loads(done.stderr) == []
