"""The ledger: what has been logged to one server for one suite, so that a suite that is done asks nobody.

It is a memory, not the truth: a run that it does not know is looked up on the server before one is made, so losing it
costs a search and never a duplicate.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from fmbench.io.file_lock import held
from fmbench.io.json_forms import parsed
from fmbench.io.regular_files import read_regular
from fmbench.io.whole_files import write_whole
from fmbench.tracking.credentials import shown
from fmbench.tracking.run_content import RunContent
from fmbench.tracking.uris import sqlite_file

VERSION = 1
TOKEN = "fmbench.token"
"""The experiment's tag by which a database is known again: another file at the same place does not have it."""


class Ledger:
    """Runs by cell: MLflow's run id, and the marks of the parts that were logged. A file that is damaged is empty."""

    def __init__(self, path: Path, uri: str, suite: str) -> None:
        self.path, self.uri, self.suite = path, uri, suite
        self.token = ""
        self.experiment = ""
        self.runs: dict[str, tuple[str, dict[str, str]]] = {}
        self._stamp: tuple[int, int] | None = None

    def load(self) -> None:
        """Read the file if it changed since. What is about another server, suite or database does not count."""
        try:
            stamp = self._file_stamp()
            if stamp == self._stamp:
                return
            content = parsed(read_regular(self.path))
            about = {name: content[name] for name in self._identity()}
            experiment, token = str(content["experiment"]), str(content["token"])
            runs = {cell: (str(run), _marks(marks)) for cell, (run, marks) in content["runs"].items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return  # not there, or not what `save` writes
        self._stamp = stamp
        if about == self._identity() and self._is_there(experiment, token):
            self.experiment, self.token = experiment, token
            self.runs |= runs

    def disregard(self) -> None:
        """Take the file for read without what it says; what other processes write from now on counts."""
        self._stamp = self._file_stamp() if self.path.exists() else None

    def holds(self, content: RunContent) -> bool:
        """Whether everything in `content` has been logged."""
        logged = self.marks(content.cell)
        return all(logged.get(key) == mark for key, mark in content.marks.items())

    def marks(self, cell: str) -> Mapping[str, str]:
        """Return the marks of the parts of a run that were logged."""
        return self.runs[cell][1] if cell in self.runs else {}

    def run_id(self, cell: str) -> str | None:
        """Return MLflow's id of a run that was logged."""
        return self.runs[cell][0] if cell in self.runs else None

    def note(self, content: RunContent, run_id: str) -> None:
        """Remember that everything in `content` has been logged."""
        same = self.run_id(content.cell) == run_id
        self.runs[content.cell] = (run_id, {**(self.marks(content.cell) if same else {}), **content.marks})

    def bind(self, experiment: str, token: str) -> bool:
        """Learn which experiment is written to. Returns whether what was remembered is of another, and so forgotten."""
        void = bool(self.runs) and token != self.token
        if void:
            self.runs = {}
        self.experiment, self.token = experiment, token
        return void

    def save(self) -> None:
        """Write the file, whole or not at all."""
        content = {**self._identity(), "experiment": self.experiment, "token": self.token, "runs": self.runs}
        write_whole(self.path, json.dumps(content, separators=(",", ":")).encode(), flush=False)
        self._stamp = self._file_stamp()

    def lock(self, goes_on: Callable[[], bool] = lambda: True) -> AbstractContextManager[None]:
        """Hold the right to write the file, and to create runs on a server, which has no lock of its own."""
        return held(self.path.with_suffix(".lock"), goes_on)

    def unsettle(self, cell: str) -> None:
        """Have a run written again when its cell comes up again, since another version took its place."""
        if cell in self.runs:
            self.runs[cell][1].pop("", None)

    def _file_stamp(self) -> tuple[int, int]:
        found = self.path.stat()
        return (found.st_ino, found.st_mtime_ns)

    def _identity(self) -> dict[str, Any]:
        return {"version": VERSION, "uri": shown(self.uri), "suite": self.suite}

    def _is_there(self, experiment: str, token: str) -> bool:
        """Whether a sqlite database still is the one that was written to; a server is asked when it is next used."""
        database = sqlite_file(self.uri)
        if database is None:
            return True
        question = (
            "SELECT 1 FROM experiments JOIN experiment_tags USING (experiment_id) WHERE experiment_id = ? "
            "AND lifecycle_stage = 'active' AND key = ? AND value = ?"
        )
        if not database.is_file():
            return False
        try:
            with closing(sqlite3.connect(database, timeout=5.0)) as connection:
                return connection.execute(question, (int(experiment), TOKEN, token)).fetchone() is not None
        except (sqlite3.Error, ValueError, OverflowError):
            return False  # not MLflow's tables: the server is asked, which knows


def _marks(found: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(mark) for key, mark in found.items()}
