"""No room on the disk, or no right to write, at any moment: one clear message, nothing damaged, and it goes on."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from here_executor import HereExecutor

from fmbench.errors import StoreError
from fmbench.runner import report_cache
from fmbench.runner.progress import Silent
from fmbench.runner.run import run_session
from fmbench.runner.session import Options, Session, open_session

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


def opened(folder: Path) -> Session:
    options = Options(home=folder / "home", reports=folder / "reports", device="cpu", jobs="1", tracking=False)
    return open_session(folder.parent / "tiny.yaml", options)


def table(folder: Path) -> list[Any]:
    session = opened(folder)
    index = session.results_index()
    records = session.records(index)
    rows = [[record.status, dict(record.metrics)] for record in (*records.evaluations, *records.references)]
    return [index.damaged, index.passed_over, rows]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SUITE))
    monkeypatch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
    digest = report_cache.code()
    monkeypatch.setattr(report_cache, "code", lambda: digest)
    monkeypatch.setattr("fmbench.report.write_report", drawn)
    return tmp_path


def drawn(records: Any, folder: Path) -> Path:
    """Write a report that takes no time to draw."""
    from fmbench.report.output_folder import Folder

    return Folder(folder).write("index.html", '<meta name="generator" content="fmbench">')


def run_on(folder: Path, ends: int, number: int) -> dict[str, Any]:
    """Run on a disk that is full from a write on; then make room, and run again."""
    folder.mkdir(exist_ok=True)
    disk, message = Disk(folder, ends, number), ""
    try:
        run_session(opened(folder), Silent())
    except StoreError as error:
        message = str(error)
    writes, disk.ends = disk.writes, sys.maxsize
    damaged = table(folder)[0]
    run_session(opened(folder), Silent())
    left = [str(file) for file in folder.rglob("*.tmp")]
    return {"writes": writes, "message": message, "damaged": damaged, "left": left, "table": table(folder)}


def test_a_run_on_a_disk_that_is_full_from_any_write_on(place: Path) -> None:
    whole = forked(lambda: run_on(place / "whole", sys.maxsize, errno.ENOSPC))
    assert not whole["message"]
    assert whole["writes"] > 20
    assert whole["table"][:2] == [[], []]
    for ends in range(whole["writes"]):
        number = ERRORS[ends % len(ERRORS)]
        found = forked(lambda: run_on(place / f"full-{ends}", ends, number))  # noqa: B023  (it is called at once)
        assert os.strerror(number) in found["message"], ends
        assert found["message"].count("\n") == 0
        assert "run again" in found["message"] or "--reports" in found["message"]
        assert not found["damaged"]
        assert not found["left"]
        assert found["table"] == whole["table"], ends
