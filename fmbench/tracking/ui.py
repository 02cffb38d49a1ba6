"""The command that shows MLflow's UI, and links into it."""

from __future__ import annotations

import sys
from urllib.parse import quote

from fmbench.errors import TrackingError
from fmbench.tracking.uris import artifact_root, sqlite_file


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Return the command line of MLflow's UI on 127.0.0.1 and what to add to its environment: one worker, no telemetry.

    Raises TrackingError when `uri` is a server already.
    """
    if uri.startswith(("http://", "https://", "databricks")):
        raise TrackingError(f"MLflow's UI is started for a database; {uri} is a server: open it in a browser")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri]
    database = sqlite_file(uri)
    if database is not None:
        command += ["--artifacts-destination", artifact_root(database).as_uri()]
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    return command, environment


def ui_links(base: str, experiment: str) -> dict[str, str]:
    """Return addresses below `base` (`http://127.0.0.1:5000`): "runs", and "charts" of the evaluation runs."""
    place = f"{base.rstrip('/')}/#/experiments/{experiment}"
    only = quote("tags.`fmbench.kind` = 'evaluation'")
    return {"runs": place, "charts": f"{place}?compareRunsMode=CHART&searchFilter={only}"}
