"""No room on the disk, or no right to write, at any moment: one clear message, nothing damaged, and it goes on."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import fmbench
from here_executor import HereExecutor

from fmbench.cli.history import add_night
from fmbench.errors import UserError
from fmbench.history.parquet_file import history_file
from fmbench.model.context import WorkerContext
from fmbench.regression import read_baseline, snapshot, write_baseline
from fmbench.runner import report_cache
from fmbench.runner.progress import Silent
from fmbench.runner.run import run_session
from fmbench.runner.session import Options, Session, open_session
from fmbench.store.store import Store

SUITE: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"moons": {"size": 200}}],
    "training": {
        "paths": ["linear"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "steps": 3,
        "batch_size": 16,
        "optimizer": {"adam": {"lr": 0.001}},
    },
    "evaluation": {"solvers": ["euler"], "nfe": [1], "samples": 20, "metrics": ["sliced_wasserstein", "nfe"]},
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
HEARTBEATS = 5
"""Writes of a process that says it is there, of which there may be fewer in another run."""
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Disk:
    """What happens when somebody writes below a folder: from the write number `ends` on, an error, until there is room.

    Files that are opened to write, folders that are made and names that are changed are writes.
    """

    def __init__(self, folder: Path, ends: int, number: int) -> None:
        self.folder, self.ends, self.number = str(folder), ends, number
        self.writes = 0
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and bool(flags & WRITING)
        else:
            path, writes = arguments[0] if arguments else "", event in {"os.mkdir", "os.rename", "os.link"}
        if not writes or isinstance(path, int) or not os.fsdecode(path).startswith(self.folder):
            return
        self.writes += 1
        if self.writes > self.ends:
            raise OSError(self.number, os.strerror(self.number), os.fsdecode(path))


def forked(compute: Callable[[], Any]) -> Any:
    """Return what a function returns in a process of its own, which keeps what it changed of Python."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            said = json.dumps({"returned": compute()})
        except BaseException:
            said = json.dumps({"raised": traceback.format_exc()})
        with os.fdopen(writing, "w") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "returned" in found, found["raised"]
    return found["returned"]


def at(session: Session, folder: Path) -> Session:
    """Return a session with store and reports below a folder."""
    options = dataclasses.replace(session.options, home=folder / "home", reports=folder / "reports")
    moved = dataclasses.replace(session, options=options, store=Store(folder / "home"))
    moved.__dict__["environment"] = session.environment
    return moved


def table(session: Session) -> list[Any]:
    """Return what the store holds of a suite, and what is wrong with it."""
    index = session.results_index()
    records = session.records(index)
    rows = [[record.status, dict(record.metrics)] for record in (*records.evaluations, *records.references)]
    return [index.damaged, index.passed_over, rows]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session whose workers are this process; what they read of the code is read before it is forked."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SUITE))
    monkeypatch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
    monkeypatch.setattr("fmbench.report.write_report", drawn)
    monkeypatch.setattr("here_executor.WorkerContext", partial(WorkerContext, checkpoint_seconds=-1.0))
    digest = report_cache.code()
    monkeypatch.setattr(report_cache, "code", lambda: digest)
    opened = open_session(tmp_path / "tiny.yaml", Options(device="cpu", jobs="1", tracking=False))
    check(at(opened, tmp_path / "warm"))
    return opened


def drawn(records: Any, folder: Path, **_: Any) -> Path:
    """Write a report that takes no time to draw."""
    from fmbench.report.output_folder import Folder

    return Folder(folder).write("index.html", '<meta name="generator" content="fmbench">')


def check(session: Session) -> None:
    """Run a suite, and write what `fmbench check` does: a baseline, and a night of the history."""
    records = run_session(session, Silent()).records
    baseline = session.options.reports / "baselines" / "tiny.json"
    write_baseline(snapshot(records), baseline)
    assert read_baseline(baseline, "tiny").evaluations
    add_night(records, history_file(session.options.reports, "tiny"))


def run_on(session: Session, ends: int, number: int) -> dict[str, Any]:
    """Run on a disk that is full from a write on; then make room, and run again."""
    folder = session.store.root.parent
    folder.mkdir()
    disk, message = Disk(folder, ends, number), ""
    try:
        check(session)
    except UserError as error:
        message = str(error)
    writes, disk.ends = disk.writes, sys.maxsize
    damaged = table(session)[0]
    check(session)
    left = [str(file) for file in folder.rglob("*.tmp")]
    return {"writes": writes, "message": message, "damaged": damaged, "left": left, "table": table(session)}


@pytest.mark.parametrize("part", range(6))
def test_a_run_on_a_disk_that_is_full_from_any_write_on(session: Session, tmp_path: Path, part: int) -> None:
    whole = forked(lambda: run_on(at(session, tmp_path / "whole"), sys.maxsize, errno.ENOSPC))
    assert not whole["message"]
    assert whole["writes"] > 20
    assert whole["table"][:2] == [[], []]
    for ends in range(part, whole["writes"] - 2 * HEARTBEATS, 6):
        number = ERRORS[ends % len(ERRORS)]
        found = forked(lambda: run_on(at(session, tmp_path / f"full-{ends}"), ends, number))  # noqa: B023  (at once)
        assert os.strerror(number) in found["message"], ends
        assert found["message"].count("\n") == 0
        assert any(advice in found["message"] for advice in ("run again", "--reports", "choose another"))
        assert not found["damaged"]
        assert not found["left"]
        assert found["table"] == whole["table"], ends


def mounted(folder: Path, size: str, *how: str) -> bool:
    """Mount a disk of a size, or change one; return whether that could be done."""
    options = ",".join([*how, f"size={size}"])
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk() -> Iterator[Path]:
    """A place for a small disk, which is taken away in any case; not in a folder that pytest removes."""
    place = Path(tempfile.mkdtemp(prefix="fmbench-disk-"))
    try:
        if not mounted(place, "64m"):
            pytest.skip("a small disk cannot be mounted here")
        subprocess.run(["umount", str(place)], check=True)
        yield place
    finally:
        while os.path.ismount(place):
            subprocess.run(["umount", "--lazy", str(place)], check=True)  # MLflow's engine may have a file open
        place.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("size", ["12k", "40k", "80k", "120k", "1100k"])
def test_a_real_disk_that_is_full(session: Session, tmp_path: Path, disk: Path, undrawn: None, size: str) -> None:
    """Sizes that end in the caches, the cells and, the largest, in what MLflow's database leaves."""
    places = ("--home", f"{disk}/home", "--reports", f"{disk}/reports", "--jobs", "1", "--device", "cpu")
    tracked = ("--tracking-uri", f"sqlite:///{disk}/mlflow.db") if size == "1100k" else ("--no-tracking",)
    assert mounted(disk, size)
    full = fmbench("check", "tiny.yaml", "--accept", *places, *tracked, cwd=tmp_path)
    assert full.returncode == 2, (full.stdout, full.stderr)
    assert full.stderr.count("error: ") == 1, full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert mounted(disk, "64m", "remount")
    again = fmbench("check", "tiny.yaml", "--accept", *places, *tracked, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "damaged" not in again.stderr
    reports = at(session, tmp_path / "warm").options.reports
    whole, there = (read_baseline(place / "baselines" / "tiny.json", "tiny") for place in (reports, disk / "reports"))
    assert there.evaluations == whole.evaluations
