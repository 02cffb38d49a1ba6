"""Whether a sqlite database is as one process left it, or others have written to it since."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path


class DatabaseVersion:
    """Compares a database with what it was at the last `note`. What cannot be read counts as changed.

    What others write while this process has the database's lock, and so not fmbench, is taken for its own.
    """

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._noted: int | None = None

    def is_noted(self, database: Path) -> bool:
        """Whether this is the database of the last `note`, and nobody has written to it since."""
        return self._noted is not None and _identity(database) == self._file and self._read() == self._noted

    def note(self, database: Path) -> None:
        """Remember what the database is now."""
        if self._connection is None or _identity(database) != self._file:
            self._open(database)
        self._noted = self._read()

    def close(self) -> None:
        """Forget what was noted, and let go of the database."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._noted = None

    def _open(self, database: Path) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._file = None, _identity(database)
        with suppress(sqlite3.Error):
            where = f"{database.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(where, uri=True, timeout=1.0, check_same_thread=False)

    def _read(self) -> int | None:
        """Return sqlite's number for what is in the database, which a commit of any other connection changes."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        return None


def _identity(database: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        state = database.stat()
        return state.st_dev, state.st_ino
    return None
