"""The command that shows MLflow's UI, and links into it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

from fmbench.errors import TrackingError
from fmbench.tracking.ledger import TOKEN
from fmbench.tracking.uris import artifact_root, sqlite_file
from fmbench.tracking.views import CHARTS, PREFIX, SAMPLES

SERVER_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
    "PYTHONSAFEPATH": "1",
}


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Return the command line of MLflow's UI on 127.0.0.1 and what to add to its environment: one worker, no telemetry.

    Raises TrackingError when `uri` is a server already.
    """
    if uri.startswith(("http://", "https://", "databricks")):
        raise TrackingError(f"MLflow's UI is started for a database; {uri} is a server: open it in a browser")
    command = [
        sys.executable,
        "-P",
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += ["--uvicorn-opts", "--log-level warning", "--backend-store-uri", uri]
    database = sqlite_file(uri)
    if database is not None:
        command += ["--artifacts-destination", artifact_root(database).as_uri()]
    return command, dict(SERVER_ENVIRONMENT)


def ui_links(uri: str, base: str) -> dict[str, dict[str, str]]:
    """Return, by suite, the addresses below `base` that are worth opening; {} where there is no sqlite database.

    "runs" is the list; "charts" is every metric against NFE, by solver, averaged over the rest, its spread as a band;
    "samples" is one training's samples, solver by solver, with a slider for the NFE.
    """
    links: dict[str, dict[str, str]] = {}
    for experiment, suite, views in _experiments(uri):
        place = f"{base.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"
        links[suite] = {"runs": place}
        for name, view in (("charts", CHARTS), ("samples", SAMPLES)):
            if PREFIX + view in views:
                links[suite][name] = f"{place}&compareRunsMode=CHART&viewStateShareKey={view}"
    return links


def _experiments(uri: str) -> list[tuple[int, str, set[str]]]:
    """Return id, name and tags of fmbench's experiments, the newest first, read without importing mlflow."""
    database = sqlite_file(uri)
    if database is None or not database.is_file():
        return []
    question = (
        "SELECT experiment_id, name, key FROM experiments JOIN experiment_tags USING (experiment_id) "
        "WHERE lifecycle_stage = 'active' ORDER BY last_update_time DESC, experiment_id DESC"
    )
    try:
        with closing(sqlite3.connect(database, timeout=5.0)) as connection:
            rows = connection.execute(question).fetchall()
    except sqlite3.Error:
        return []  # no database of MLflow's, as its own server will say
    found: dict[int, tuple[int, str, set[str]]] = {}
    for experiment, name, key in rows:
        found.setdefault(experiment, (experiment, name, set()))[2].add(key)
    return [entry for entry in found.values() if TOKEN in entry[2]]
