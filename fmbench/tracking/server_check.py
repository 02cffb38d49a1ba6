"""Whether a tracking server is there. Imports mlflow only for one that cannot be judged without."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from fmbench.errors import TrackingError
from fmbench.tracking.client import PROBE_SECONDS, ask_client, check_file
from fmbench.tracking.credentials import cause, shown
from fmbench.tracking.required_packages import check_driver
from fmbench.tracking.response_limits import EndlessAnswer, read_bounded, within
from fmbench.tracking.uris import NEXT_STEP, reason, sqlite_file

ANSWER_SECONDS = 10.0
"""For the whole answer to the first question, from the connection to its last byte."""

ANSWER_BYTES = 2**16
CLIENT_SECONDS = 30.0
"""For a question through MLflow, whose import counts."""

TLS_ADVICE = (
    "MLflow verifies a server's certificate against MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE, a file, "
    "and not at all with MLFLOW_TRACKING_INSECURE_TLS=true."
)


def check(uri: str) -> None:
    """Raise TrackingError, within seconds, when nothing can be logged to `uri`."""
    database = sqlite_file(uri)
    if database is not None:
        check_file(database)
        return
    check_driver(uri)
    if uri.startswith(("http://", "https://")) and _answers_as_mlflow(uri):
        return
    try:
        within(CLIENT_SECONDS, lambda: ask_client(uri))
    except TrackingError:
        raise
    except Exception as error:
        raise _not_there(uri, error) from cause(error, uri)


def _answers_as_mlflow(uri: str) -> bool:
    """Ask a server for its health. Raises TrackingError when nobody answers, returns False when MLflow must judge."""
    import requests
    import urllib3

    settings = request_settings()
    if settings is None:
        return False
    if settings["verify"] is False:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user said so

    def ask() -> bool:
        with requests.get(f"{uri}/health", timeout=PROBE_SECONDS, stream=True, **settings) as answer:
            return answer.ok and read_bounded(answer, ANSWER_BYTES, ANSWER_SECONDS).strip() == b"OK"

    try:
        return within(ANSWER_SECONDS, ask)
    except (EndlessAnswer, OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        advice = f" {TLS_ADVICE}" if isinstance(error, requests.exceptions.SSLError) else ""
        raise _not_there(uri, error, advice) from cause(error, uri)


def request_settings() -> dict[str, Any] | None:
    """Return what MLflow's client would give to requests, from the same settings of the environment.

    requests itself honours proxies, REQUESTS_CA_BUNDLE and credentials in a URI. None where MLflow signs its requests,
    by a plugin or for AWS, so that only its own client can ask.
    """
    if os.environ.get("MLFLOW_TRACKING_AUTH") or _is_set("MLFLOW_TRACKING_AWS_SIGV4"):
        return None
    bundle = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    insecure = _is_set("MLFLOW_TRACKING_INSECURE_TLS")
    if bundle and insecure:
        raise TrackingError(
            "only one of MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH may be set; found both. "
            "Unset the one that you do not mean."
        )
    settings: dict[str, Any] = {"verify": bundle or not insecure}
    if certificate := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        settings["cert"] = certificate
    user, password = _credentials()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        basic = base64.standard_b64encode(f"{user}:{password}".encode()).decode()
        settings["headers"] = {"Authorization": f"Basic {basic}"}
    elif token:
        settings["headers"] = {"Authorization": f"Bearer {token}"}
    return settings


def _credentials() -> tuple[str, str]:
    """Return MLflow's user and password, from the environment or its file in the home folder."""
    import configparser

    file = configparser.ConfigParser(interpolation=None)
    # no home, or not what MLflow reads, as it will say itself
    with suppress(RuntimeError, OSError, configparser.Error):
        file.read(Path("~/.mlflow/credentials").expanduser())
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, password = (os.environ.get(name) or file.get("mlflow", name.lower(), fallback="") or "" for name in names)
    return user, password


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"true", "1"}


def _not_there(uri: str, error: Exception, advice: str = "") -> TrackingError:
    return TrackingError(
        f"the MLflow tracking server must answer; {shown(uri)} does not: {reason(error, uri)}.{advice} {NEXT_STEP}"
    )
