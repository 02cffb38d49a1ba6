"""Artifacts of a sqlite database that was moved or copied together with its folder.

MLflow keeps the place of artifacts as an absolute address, in every experiment and every run. In a project that was
moved they lead to where it was, and in a copy into the original, which would be written to.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from fmbench.tracking.ledger import TOKEN
from fmbench.tracking.uris import artifact_root, folder_of

_OURS = (
    "SELECT experiment_id, artifact_location FROM experiments WHERE artifact_location LIKE 'file:%' "
    "AND experiment_id IN (SELECT experiment_id FROM experiment_tags WHERE key = ?)"
)


def bring_home(database: Path) -> int:
    """Let the artifacts of fmbench's experiments be beside their database, where they are after a move or in a copy.

    Only places that fmbench gives count: `<folder>/mlartifacts/<suite>`. Returns how many experiments were changed.
    They get a new token, since a copy is another database than its original. Hold the database's lock.
    """
    if not database.is_file():
        return 0
    with closing(sqlite3.connect(database, timeout=20.0)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= {"experiments", "experiment_tags", "runs"}:
            return 0  # none of MLflow's
        moved = 0
        for experiment, location in connection.execute(_OURS, (TOKEN,)).fetchall():
            here = _place_now(location, artifact_root(database))
            if here is not None:
                _move(connection, experiment, location, here)
                moved += 1
    return moved


def _place_now(location: str, root: Path) -> str | None:
    """Return where artifacts are that lay at `location`, None where they have not moved or were never beside it."""
    there = folder_of(location)
    if there.parent.name != root.name or there.parent == root:
        return None
    return (root / there.name).as_uri()


def _move(connection: sqlite3.Connection, experiment: int, before: str, now: str) -> None:
    connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (now, experiment))
    places = [("runs", "artifact_uri")]
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'logged_models'").fetchone():
        places.append(("logged_models", "artifact_location"))
    for table, column in places:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE experiment_id = ? AND substr({column}, 1, ?) = ?",
            (now, len(before) + 1, experiment, len(before) + 1, before + "/"),
        )
    connection.execute(
        "UPDATE experiment_tags SET value = ? WHERE experiment_id = ? AND key = ?",
        (uuid.uuid4().hex, experiment, TOKEN),
    )
