"""MLflow's client, made to be quiet."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.errors import TrackingError
from fmbench.tracking.required_packages import DATABASES, check_driver
from fmbench.tracking.response_limits import bound_answers
from fmbench.tracking.uris import NEXT_FILE, artifact_root, reason, sqlite_file, sqlite_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 3.0
UNFINISHED = ".fmbench-mlflow-"

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "GIT_PYTHON_REFRESH": "quiet",
    # The writer retries by itself, and must not hang.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Set before mlflow is imported, unless the user has set them: no noise, no request of its own, no long wait."""


def make_client(uri: str) -> MlflowClient:
    """Import mlflow and return a client; a sqlite database is made with write-ahead logging, which is faster.

    Whoever asks for one of a sqlite database holds its lock (see `file_lock.lock_of`).
    """
    check_driver(uri)
    _import_mlflow()
    from mlflow import MlflowClient

    database = sqlite_file(uri)
    if database is None:
        return MlflowClient(uri)
    check_file(database)  # MLflow would try ten times, for a minute and a half
    _make_database(database)
    with _address(database) as address:
        return MlflowClient(address)


def ask_client(uri: str) -> None:
    """Ask a server for one experiment; raises whatever mlflow, or SQLAlchemy, raises."""
    _import_mlflow()
    if uri.partition("://")[0].partition("+")[0] in DATABASES:
        from mlflow.store.db.utils import create_sqlalchemy_engine

        engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
        engine.connect().close()  # MLflow's store would try ten times, for a minute and a half
        engine.dispose()
    make_client(uri).search_experiments(max_results=1)


def _import_mlflow() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow's imports deprecate one another
        import mlflow  # noqa: F401
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    bound_answers()


def as_mlflow_reads(database: Path) -> str:
    """Return the URI by which MLflow finds a sqlite file: before version 2.1, SQLAlchemy decodes no %XX in it."""
    uri = sqlite_uri(database)
    if "%" not in uri:
        return uri
    from sqlalchemy.engine import make_url

    if make_url("sqlite:///%25").database == "%":
        return uri
    if "?" in str(database):
        raise TrackingError(
            f"MLflow's database must lie in a folder without ? in its name; found {database}. "
            f"Install sqlalchemy>=2.1, or rename the folder. {NEXT_FILE}"
        )
    return f"sqlite:///{database.as_posix()}"


@contextmanager
def _address(database: Path) -> Iterator[str]:
    """Yield the URI by which MLflow finds a sqlite file, and remove the folders that it makes by mistake.

    It makes the folder of the file before anything else, without decoding the URI.
    """
    uri = as_mlflow_reads(database)
    folder = Path(uri.removeprefix("sqlite:///")).parent
    strays = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield uri
    finally:
        for stray in strays:
            with suppress(OSError):  # not made, or somebody uses it
                stray.rmdir()


def _make_database(database: Path) -> None:
    """Make a sqlite file with MLflow's tables, whole or not at all, unless it is there.

    MLflow makes them in 60 steps. A process that dies between two of them, or two processes that do it at once, leave a
    file that cannot be opened any more.
    """
    if database.exists() and database.stat().st_size:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for leftover in database.parent.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=database.parent) as folder:
        fresh = Path(folder) / "mlflow.db"
        with _address(fresh) as address:
            store = SqlAlchemyStore(address, artifact_root(database).as_uri())  # type: ignore[no-untyped-call]
        store.engine.dispose()
        with closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        fresh.replace(database)


def check_file(database: Path) -> None:
    """Raise TrackingError when a sqlite file cannot be written; makes its folder."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        if not database.exists():
            tempfile.TemporaryFile(dir=database.parent).close()
            return
        with closing(sqlite3.connect(database, timeout=PROBE_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return  # somebody writes at this moment: it is there, and the writer waits its turn
        raise TrackingError(
            f"MLflow's database must be a sqlite file that can be written; {database}: {reason(error)}. {NEXT_FILE}"
        ) from error
