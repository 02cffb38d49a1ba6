"""Whether somebody else has written to a sqlite database is seen, whoever it was and however."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fmbench.tracking.database_version import DatabaseVersion


def write(database: Path, statement: str = "INSERT INTO runs VALUES (1)") -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS runs (number INTEGER)")
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_what_others_write_is_seen_once_it_is_there(tmp_path: Path, journal: str) -> None:
    database, version = tmp_path / "%20 mlflow#1.db", DatabaseVersion()
    write(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    assert not version.is_noted(database), "nothing has been noted"
    version.note(database)
    assert version.is_noted(database)
    with closing(sqlite3.connect(database)) as reader:
        reader.execute("SELECT count(*) FROM runs").fetchone()
    assert version.is_noted(database), "reading changes nothing"
    write(database)
    assert not version.is_noted(database)
    version.note(database)
    assert version.is_noted(database)


def test_a_database_that_is_exchanged_or_gone_is_another(tmp_path: Path) -> None:
    database, version = tmp_path / "mlflow.db", DatabaseVersion()
    version.note(database)
    assert not version.is_noted(database), "there is none"
    write(database)
    version.note(database)
    assert version.is_noted(database)
    write(tmp_path / "other.db")
    (tmp_path / "other.db").rename(database)
    assert not version.is_noted(database)
    version.note(database)
    assert version.is_noted(database)
    database.write_bytes(b"no database")
    assert not version.is_noted(database)
