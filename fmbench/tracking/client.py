"""MLflow's client, made to be quiet, and what its errors mean."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from contextlib import closing
from typing import TYPE_CHECKING

from fmbench.errors import TrackingError
from fmbench.tracking.uris import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

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

_LOST = {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"}


def make_client(uri: str) -> MlflowClient:
    """Import mlflow and return a client; a sqlite database gets its tables and write-ahead logging, which is faster."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow's imports deprecate one another
        from mlflow import MlflowClient
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    database = sqlite_file(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(uri)
    if database is not None:
        with closing(sqlite3.connect(database, timeout=20.0)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    return client


def probe(uri: str) -> None:
    """Ask a server for one experiment; raises whatever mlflow raises."""
    make_client(uri).search_experiments(max_results=1)


def is_passing(error: BaseException) -> bool:
    """Whether an error may be gone when the same is tried again: a server that is down, a database that is locked."""
    code = getattr(error, "error_code", None)
    return code in _LOST if code is not None else isinstance(error, OSError | sqlite3.OperationalError)


def is_refusal(error: BaseException) -> bool:
    """Whether the server refuses this user or this address altogether."""
    codes = {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "ENDPOINT_NOT_FOUND"}
    return isinstance(error, TrackingError) or getattr(error, "error_code", None) in codes
