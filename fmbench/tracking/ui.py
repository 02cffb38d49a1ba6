"""The command that shows MLflow's UI, and links into it."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from fmbench.errors import TrackingError
from fmbench.io.file_lock import held, lock_of
from fmbench.io.json_forms import parsed
from fmbench.tracking.client import as_mlflow_reads
from fmbench.tracking.credentials import shown
from fmbench.tracking.ledger import TOKEN
from fmbench.tracking.moved_artifacts import bring_home
from fmbench.tracking.required_packages import check_driver
from fmbench.tracking.shown_views import written
from fmbench.tracking.uris import artifact_root, reason, sqlite_file
from fmbench.tracking.view_state import PREFIX

SERVER_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
    "PYTHONSAFEPATH": "1",  # the folder of a database holds no code of MLflow's
}
STORE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"


class UiCommand(NamedTuple):
    """A command line, what to add to its environment, and the folder to start it in."""

    words: list[str]
    environment: dict[str, str]
    folder: Path


def ui_command(uri: str, port: int) -> UiCommand:
    """Return how to start MLflow's UI on 127.0.0.1: one worker, no telemetry.

    The database is named in the environment, since every user of a machine sees command lines, and those of a URI may
    hold a password. A sqlite file is named without its folder, whose name may be hard to write as a URI. Raises
    TrackingError when `uri` is a server already, or its driver is missing.
    """
    if uri.startswith(("http://", "https://", "databricks")):
        raise TrackingError(f"MLflow's UI is started for a database; {shown(uri)} is a server: open it in a browser")
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    check_driver(uri)
    database = sqlite_file(uri)
    if database is None:
        return UiCommand(command, {**SERVER_ENVIRONMENT, STORE_VARIABLE: uri}, Path.cwd())
    command += ["--artifacts-destination", artifact_root(database).as_uri()]
    store = as_mlflow_reads(Path(database.name))
    return UiCommand(command, {**SERVER_ENVIRONMENT, STORE_VARIABLE: store}, database.parent)


def check_port(port: int) -> None:
    """Raise TrackingError where something listens on a port of 127.0.0.1 already."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(
                f"MLflow's UI must have a port of its own; port {port} cannot be had: {reason(error)}. "
                "Another `fmbench ui` may run already: end it, or name another port with --port."
            ) from error


def follow_a_move(uri: str) -> None:
    """Let the UI find the artifacts of a sqlite database that was moved or copied. Raises TrackingError."""
    database = sqlite_file(uri)
    if database is None or not database.is_file() or not os.access(database.parent, os.W_OK):
        return
    try:
        with held(lock_of(database)):
            bring_home(database)
    except (OSError, sqlite3.Error) as error:
        raise TrackingError(
            f"MLflow's database must be a sqlite file that can be written; {database}: {reason(error)}"
        ) from error


def ui_links(uri: str, base: str) -> dict[str, dict[str, str]]:
    """Return, by suite, the addresses below `base` that are worth opening; {} where there is no sqlite database.

    "runs" is the list; the others are fmbench's views, by name.
    """
    links: dict[str, dict[str, str]] = {}
    for experiment, suite, views in _experiments(uri):
        place = f"{base.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"
        links[suite] = {"runs": place}
        for name, key in views:
            mode = "" if "table" in key else "&compareRunsMode=CHART"
            links[suite][name] = f"{place}&viewStateShareKey={key}{mode}"
    return links


def _experiments(uri: str) -> list[tuple[int, str, list[tuple[str, str]]]]:
    """Return fmbench's experiments, the newest first, read without importing mlflow: id, name, and name and key of each
    view that fmbench wrote.
    """
    database = sqlite_file(uri)
    if database is None or not database.is_file():
        return []
    question = (
        "SELECT experiment_id, name, key, value FROM experiments JOIN experiment_tags USING (experiment_id) "
        "WHERE lifecycle_stage = 'active' ORDER BY last_update_time DESC, experiment_id DESC"
    )
    try:
        with closing(sqlite3.connect(database, timeout=5.0)) as connection:
            rows = connection.execute(question).fetchall()
    except sqlite3.Error:
        return []  # no database of MLflow's, as its own server will say
    found: dict[tuple[int, str], dict[str, str]] = {}
    for experiment, name, key, value in rows:
        found.setdefault((experiment, name), {})[key] = value
    return [(*entry, _views(tags)) for entry, tags in found.items() if TOKEN in tags]


def _views(tags: dict[str, str]) -> list[tuple[str, str]]:
    """Return name and key of the views that fmbench wrote, the first one first."""
    found = []
    for tag in (tag for tag in written(tags) if tag.startswith(PREFIX) and tag in tags):
        with suppress(ValueError, LookupError, TypeError):  # somebody else wrote it
            found.append((str(parsed(tags[tag])["name"]), tag.removeprefix(PREFIX)))
    return found
