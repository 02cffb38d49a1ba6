"""Whether a tracking server is there. Imports mlflow only for one that cannot be judged without."""

from __future__ import annotations

import http.client
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from fmbench.errors import TrackingError
from fmbench.tracking.client import probe
from fmbench.tracking.uris import CHOICES, VARIABLE, reason, sqlite_file

PROBE_SECONDS = 3.0


def check(uri: str) -> None:
    """Raise TrackingError, within a few seconds, when nothing can be logged to `uri`."""
    database = sqlite_file(uri)
    if database is not None:
        _check_file(database)
    elif uri.startswith(("http://", "https://")) and _answers_as_mlflow(uri):
        return
    else:
        try:
            probe(uri)
        except Exception as error:
            raise TrackingError(f"{_not_there(uri)}: {reason(error)}. {_next_step()}") from error


def _check_file(database: Path) -> None:
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database, timeout=PROBE_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return  # somebody writes at this moment: it is there, and the writer waits its turn
        raise TrackingError(
            f"MLflow's database must be a sqlite file that can be written; {database}: {reason(error)}. {_next_step()}"
        ) from error


def _answers_as_mlflow(uri: str) -> bool:
    """Ask a server for its health. Raises TrackingError when nobody answers, returns False when MLflow must judge."""
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=PROBE_SECONDS) as answer:
            return bool(answer.read(16).strip() == b"OK")
    except urllib.error.HTTPError:
        return False
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        raise TrackingError(f"{_not_there(uri)}: {reason(cause)}. {_next_step()}") from error


def _not_there(uri: str) -> str:
    return f"the MLflow tracking server must answer; {uri} does not"


def _next_step() -> str:
    return (
        f"Start it, or name another with --tracking-uri or {VARIABLE}: {CHOICES}; without either, a sqlite file in the "
        "working folder is used."
    )
