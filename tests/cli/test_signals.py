"""Asked to end, at any stage: one message, no traceback, no process left, and what finished is kept."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from command_line import fmbench
from helpers import SMOKE

SCRIPT = """
import signal, time
from pathlib import Path
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # which a shell may have its background jobs ignore
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

def hang(*_, **__):
    Path("reached").touch()
    time.sleep(600)

{patch}
from fmbench.cli import main
main()
"""
STAGES = {
    "importing": """
import sys
class Finder:
    find_spec = staticmethod(lambda name, *rest: hang() if name == "fmbench.cli.why" else None)
sys.meta_path.insert(0, Finder)
""",
    "planning": "import fmbench.runner.session as s; s.make_plan = hang",
    "preparing": "from fmbench.runner.scheduler import Scheduler as S; S._prepare = hang",
    "training": "from fmbench.runner.scheduler import Scheduler as S; S._note = hang",
    "timing": "from fmbench.runner.scheduler import Scheduler as S; S._measure = hang",
    "logging": "from fmbench.tracking import Tracker as T; T.finish = hang",
    "report": "import fmbench.report as r; r.write_report = hang",
    "closing": """
from fmbench.executors.local import LocalExecutor as L
from fmbench.runner.scheduler import Scheduler as S
S._note = hang
L.close = lambda self: (Path("closing").touch(), time.sleep(600))
""",
}


@contextmanager
def begun(folder: Path, stage: str = "", *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a suite until it hangs at a stage."""
    (folder / "tiny.yaml").write_text(SMOKE)
    command = [sys.executable, "-c", SCRIPT.format(patch=STAGES[stage]), "run", "tiny.yaml", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            wait_for(folder / "reached", process)
            yield process
        finally:
            process.kill()


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    while not file.exists() and process.poll() is None:
        time.sleep(0.02)
    assert file.exists(), process.communicate()[1]


def started_by(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize(
    ("stage", "number", "code"),
    [
        ("importing", signal.SIGINT, 130),
        ("planning", signal.SIGTERM, 143),
        ("preparing", signal.SIGTERM, 143),
        ("training", signal.SIGINT, 130),
        ("timing", signal.SIGHUP, 129),
        ("logging", signal.SIGTERM, 143),
        ("report", signal.SIGINT, 130),
    ],
)
def test_a_signal_ends_in_order(tmp_path: Path, stage: str, number: signal.Signals, code: int) -> None:
    with begun(tmp_path, stage, *(() if stage == "logging" else ("--no-tracking",))) as process:
        workers = started_by(process)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert told.count("error: ") == 1, told
    assert ("interrupted" if number == signal.SIGINT else f"ended by {number.name}") in told
    assert "Traceback" not in told
    assert not psutil.wait_procs(workers, timeout=30)[1]
    if stage in {"timing", "report"}:
        again = fmbench("run", "tiny.yaml", "--no-tracking", cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert "Everything was computed before" in again.stdout, "what finished is kept"


def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    with begun(tmp_path, "closing", "--no-tracking") as process:
        workers = started_by(process)
        assert workers
        process.send_signal(signal.SIGINT)
        wait_for(tmp_path / "closing", process)
        process.send_signal(signal.SIGTERM)  # obeyed already
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted twice, so ended at once" in told
    assert "Traceback" not in told
    assert not psutil.wait_procs(workers, timeout=30)[1]


@pytest.mark.parametrize("ignored", [False, True], ids=["", "under nohup"])
def test_a_terminal_that_goes_away(tmp_path: Path, ignored: bool) -> None:
    """A run that heeds it ends with 129; one that was told not to goes on and prints into nothing."""
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    script = SCRIPT.format(patch="signal.signal(signal.SIGHUP, signal.SIG_IGN)" if ignored else STAGES["training"])
    child, terminal = pty.fork()
    if not child:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-c", script, "run", "tiny.yaml", "--no-tracking"])
    try:
        while b"Prepare" not in os.read(terminal, 4096):
            pass
        os.close(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        if psutil.pid_exists(child):
            os.kill(child, signal.SIGKILL)
    assert code == (0 if ignored else 129)
    assert (tmp_path / "reports" / "tiny" / "index.html").exists() == ignored
