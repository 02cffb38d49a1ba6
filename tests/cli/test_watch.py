"""`--watch` runs again when what results come from has changed, and when it has not waits."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import fmbench
from helpers import SMOKE

from fmbench.cli.interruption import EndedInOrder
from fmbench.cli.watch import watch
from fmbench.runner.session import Options
from fmbench.runner.watched_files import changed, look, watched_files

MINE = '''\
from fmbench import Solver, hookimpl
from helper import factor


class Mine(Solver):
    """A solver."""

    nfe_per_step = 1

    def integrate(self, velocity, x_0, times):
        return x_0 * factor


@hookimpl
def fmbench_solvers():
    return {"mine": Mine}
'''
DATA = "datasets: [{arrays: {file: data.npy}}]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SMOKE.replace("heun]", "mine]"))
    helper = f"helper_{zlib.crc32(str(tmp_path).encode())}"  # a module that no other test has imported
    (tmp_path / "mine.py").write_text(MINE.replace("from helper", f"from {helper}"))
    (tmp_path / "helper.py").symlink_to(f"{helper}.py")
    (tmp_path / f"{helper}.py").write_text("factor = 1\n")
    np.save(tmp_path / "data.npy", np.zeros((50, 2), "float32"))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def options() -> Options:
    return Options(plugins=("mine.py",), home="store", tracking=False)


def names(files: set[Path]) -> set[str]:
    return {re.sub(r"_\d+", "", file.name) for file in files}


def test_the_suite_own_code_and_what_it_imports_are_watched_and_nothing_of_fmbench(folder: Path) -> None:
    assert names(watched_files(Path("tiny.yaml"), options())) == {"tiny.yaml", "mine.py", "helper.py"}


def test_data_are_watched(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(SMOKE.replace("datasets: [moons]", DATA))
    assert "data.npy" in names(watched_files(Path("tiny.yaml"), options()))


def test_of_a_suite_that_cannot_be_planned_what_was_named_is_watched(folder: Path) -> None:
    (folder / "tiny.yaml").write_text("name: [")
    assert names(watched_files(Path("tiny.yaml"), options())) == {"tiny.yaml", "mine.py"}


def test_changes_are_seen_and_what_editors_leave_is_not(folder: Path) -> None:
    (folder / "plugins").mkdir()
    files = [Path("tiny.yaml"), Path("plugins"), Path("absent.py")]
    before = look(files)
    assert changed(before, look(files)) == []
    for name in ("plugins/.mine.py.swp", "plugins/mine.py~"):
        Path(name).write_text("passing")
    (folder / "plugins" / "__pycache__").mkdir()
    assert changed(before, look(files)) == []
    Path("plugins/new.py").write_text("")
    Path("absent.py").write_text("")
    Path("tiny.yaml").unlink()
    assert changed(before, look(files)) == [Path("absent.py"), Path("plugins/new.py"), Path("tiny.yaml")]


def test_it_runs_again_after_each_change_and_after_one_that_came_meanwhile(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[str] = []
    changes: list[Callable[[], object]] = [
        lambda: Path("helper.py").write_text("factor = 22\n"),
        lambda: Path("tiny.yaml").write_text("name: ["),
        lambda: os.kill(os.getpid(), signal.SIGINT),
    ]

    def run() -> int:
        events.append("run")
        if len(events) == 1:
            Path("mine.py").write_text(f"{MINE}# changed while it ran\n")
        return 2 if Path("tiny.yaml").read_text() == "name: [" else 0

    def sleep(seconds: float) -> None:
        if seconds == 0.5:
            changes.pop(0)()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(EndedInOrder, match="--watch ended") as ended:
            watch(Path("tiny.yaml"), options(), run, sleep)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 0
    assert events == ["run"] * 4
    told = capsys.readouterr().err
    what = [Path(line.rpartition(": ")[2]) for line in told.splitlines() if "changed:" in line]
    assert [re.sub(r"_\d+", "", file.name) for file in what] == ["mine.py", "helper.py", "tiny.yaml"]
    assert "ended with exit code 2; waiting" in told


def test_it_stays_in_its_terminal(folder: Path) -> None:
    assert fmbench("run", "tiny.yaml", "--watch", "--detach", cwd=folder).returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setsid") is None, reason="there is no setsid here")
def test_a_watched_run_goes_on_until_ctrl_c(folder: Path) -> None:
    """The whole way: a suite that cannot be planned, so that nothing is computed."""
    (folder / "tiny.yaml").write_text("name: [")
    # a shell's background jobs ignore Ctrl-C, and hand that down
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", f"{heard}from fmbench.cli import main; main()", "run", "tiny.yaml", "--watch"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "waiting for a change" in line:
            if len([each for each in said if "waiting" in each]) == 2:
                os.killpg(process.pid, signal.SIGINT)
                break
            (folder / "tiny.yaml").write_text("name: [[")
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0, said
    assert "--watch ended" in rest
    assert len([line for line in said if line.startswith("error: ")]) == 2
