"""Files of events: what a job writes, line by line, and the driver reads while it grows.

A job that is requeued writes into another file, for the one before it may end in half a line. Events are JSON; besides
them there is a line that says that the job has begun, and one that says how it ended: see `BEGUN` and below.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fmbench.errors import StoreError
from fmbench.executors.messages import Event
from fmbench.executors.tasks import Unit

BEGUN, ENDED, PREEMPTED, LATE = "begun", "ended", "preempted", "late"
"""What a job says of itself: it has begun on a node; its task has ended; it made room and wants to be begun again; its
time limit came and it had got nowhere, so that it would do so again."""

Line = Event | Mapping[str, Any]
"""An event, or what the job says of itself: {"job": BEGUN, ...}."""


class EventFile:
    """The file of one run of the job of a task, by its number. A line is on the disk when `write` returns."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = _new_file(folder, number)

    def write(self, line: Line) -> None:
        """Append a line, in one piece: a signal's handler may write one, too, at any moment."""
        text = json.dumps(line.as_dict() if isinstance(line, Event) else dict(line))
        os.write(self._descriptor, f"{text}\n".encode())
        os.fsync(self._descriptor)


class EventTail:
    """Reads what the runs of one task write, whole lines only and each once."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number
        self._run, self._offset = 0, 0

    def read(self) -> list[Line]:
        """Return the lines that are new. A run's are read when those of the runs before it have been."""
        lines: list[Line] = []
        while True:
            # looked at first: a run writes nothing more when there is one after it
            is_last = not _file(self._folder, self._number, self._run + 1).exists()
            content = self._content()
            whole = content[: content.rfind(b"\n") + 1]
            self._offset += len(whole)
            file = _file(self._folder, self._number, self._run)
            lines += [_parsed(line, file) for line in whole.splitlines()]
            if is_last:
                return lines
            self._run, self._offset = self._run + 1, 0

    def _content(self) -> bytes:
        try:
            with _file(self._folder, self._number, self._run).open("rb") as stream:
                stream.seek(self._offset)
                return stream.read()
        except FileNotFoundError:
            return b""


def ended_units(folder: Path, number: int) -> Counter[Unit]:
    """Return how often each unit of a task has ended in earlier runs of its job."""
    events = (line for line in EventTail(folder, number).read() if isinstance(line, Event))
    return Counter((event.section, event.key) for event in events if event.what in {"finished", "failed"})


def _parsed(line: bytes, file: Path) -> Line:
    """Return what a line says. Raises StoreError where no job wrote it."""
    try:
        written = json.loads(line)
        return written if "job" in written else Event.from_dict(written)
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{file} holds a line that no job of fmbench writes ({line[:40]!r}); run again: what is done is kept"
        ) from error


def _file(folder: Path, number: int, run: int) -> Path:
    return folder / f"{number}.{run}.jsonl"


def _new_file(folder: Path, number: int) -> int:
    """Make the file of the next run; return its descriptor."""
    for run in itertools.count():
        with suppress(FileExistsError):
            return os.open(_file(folder, number, run), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    raise AssertionError("there is always another name")
