"""Runs that go on without their terminal: started here, noted in the store, and found again there.

```
<store>/detached/<suite>-<random>.json    where it runs, since when, and with which exit code it ended
<store>/detached/<suite>-<random>.log     what it prints
```
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from fmbench.errors import DamagedFile
from fmbench.executors.import_path import import_path
from fmbench.executors.slurm.driver_job import (
    DETACHED,
    DRIVER_JOB,
    Requeued,
    is_requeued,
    requeue_on_signal,
    submit_driver,
)
from fmbench.executors.slurm.job_states import states_in_slurm
from fmbench.executors.slurm.parameters import slurm_parameters
from fmbench.io.json_forms import NULL, TEXT, WHOLE, Either, Fields
from fmbench.runner.session import Session
from fmbench.store.atomic_files import check_writable, read_sealed, write_sealed
from fmbench.store.store_mark import claim

_FORM = Fields(
    dict.fromkeys(("suite", "command", "host", "job", "log", "started"), TEXT)
    | {"process": WHOLE, "ended": Either(WHOLE, NULL)}
)


@dataclass(frozen=True)
class DetachedRun:
    """A run without a terminal. `command` is what computes it, `job` its SLURM job, "" where it is a process.

    `host` and `process` are "" and 0 until it has begun, `ended` is its exit code, and None until then.
    """

    file: Path
    suite: str
    command: str
    log: str
    started: str
    host: str = ""
    process: int = 0
    job: str = ""
    ended: int | None = None

    def write(self) -> None:
        """Note it in the store."""
        write_sealed(self.file, {name: value for name, value in asdict(self).items() if name != "file"})

    @property
    def is_at_work(self) -> bool:
        """Whether it is at work, or waits for its turn; of a process on another machine nobody knows, so it counts."""
        if self.ended is not None:
            return False
        if self.job:
            state = states_in_slurm([self.job]).get(self.job)
            return state is None or not state.has_ended
        return self.host != socket.gethostname() or _is_running(self.process, self.started)

    @property
    def is_in_sight(self) -> bool:
        """Whether it can be seen from here if it is at work."""
        return bool(self.job) or self.host == socket.gethostname()

    @property
    def place(self) -> str:
        """Where it runs, in words."""
        return f"SLURM job {self.job}" if self.job else f"process {self.process} on {self.host}"

    @property
    def how_to_end(self) -> str:
        """The command that ends it."""
        if self.job:
            return f"scancel {self.job}; scancel --name=fmbench-{self.file.stem}"
        return f"kill {self.process}"


def detached_runs(store: Path) -> list[DetachedRun]:
    """Return the detached runs that a store knows of, by their beginning; those whose file is damaged are left out."""
    found = []
    for file in (store / "detached").glob("*.json"):
        with contextlib.suppress(DamagedFile):
            if noted := read_sealed(file, _FORM):
                found.append(DetachedRun(file, **noted))
    return sorted(found, key=lambda run: run.started)


def at_work(session: Session) -> list[DetachedRun]:
    """Return the detached runs of a session's suite that are at work, but for the one that this process is."""
    own = Path(os.environ.get(DETACHED, "")).name
    runs = (run for run in detached_runs(session.store.root) if run.suite == session.suite.name)
    return [run for run in runs if run.file.name != own and run.is_at_work]


def detach(session: Session, arguments: Sequence[str]) -> DetachedRun:
    """Start `fmbench` with arguments as a run of its own, and return at once.

    With the SLURM executor that is a small job of its own, else a process in a session of its own. Raises UserError.
    """
    session.check_options()
    check_writable(session.report_folder)
    claim(session.store)
    name = f"{session.suite.name}-{uuid.uuid4().hex[:8]}"
    file = session.store.root.resolve() / "detached" / f"{name}.json"
    log = file.with_suffix(".log")
    run = DetachedRun(file, session.suite.name, session.command, str(log), _now())
    run.write()
    log.touch()
    command = [sys.executable, "-P", "-c", "from fmbench.cli import main; main()", *arguments]
    environment = {DETACHED: str(file), "PYTHONPATH": os.pathsep.join(import_path()), "PYTHONSAFEPATH": "1"}
    try:
        run = _started(session, run, command, environment)
    except BaseException:
        file.unlink()
        log.unlink()
        raise
    return run


def _started(session: Session, run: DetachedRun, command: Sequence[str], environment: Mapping[str, str]) -> DetachedRun:
    parameters = None
    if session.options.executor == "slurm":
        parameters = slurm_parameters(session.options.slurm)
    if parameters is not None and parameters.cluster == "slurm":
        environment = {**environment, DRIVER_JOB: "yes"}
        job = submit_driver(command, environment, Path(run.log), f"fmbench-{run.file.stem}-driver", parameters)
        return _noted(run.file, job=job)
    with Path(run.log).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    process.returncode = 0  # it is nobody's child any more, and nobody waits for it
    return _noted(run.file, host=socket.gethostname(), process=process.pid)


def attend(call: Callable[[], None]) -> None:
    """Run what a detached run consists of, and note in its file where it runs and how it ends."""
    file = Path(os.environ[DETACHED])
    _noted(file, host=socket.gethostname(), process=os.getpid(), ended=None)
    if DRIVER_JOB in os.environ:
        _noted(file, job=os.environ["SLURM_JOB_ID"])
        requeue_on_signal()
    code: int | None = 1
    try:
        call()
        code = 0
    except Requeued:
        code = None
        raise
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if code == 128 + signal.SIGTERM and DRIVER_JOB in os.environ and is_requeued():
            code = None
        raise
    finally:
        _noted(file, ended=code)


def _noted(file: Path, **changes: object) -> DetachedRun:
    """Change what is noted of a run; who starts it and the run itself both do, and neither what the other does."""
    noted = read_sealed(file, _FORM)
    assert noted is not None, f"{file} was removed"
    run = replace(DetachedRun(file, **noted), **changes)  # type: ignore[arg-type]
    run.write()
    return run


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_running(process: int, started: str) -> bool:
    """Whether a process is there, and not another one that has its number by now."""
    try:
        found = psutil.Process(process)
        if found.status() == psutil.STATUS_ZOMBIE:
            return False
        return found.create_time() > datetime.fromisoformat(started).timestamp() - 60.0
    except psutil.NoSuchProcess:
        return False
