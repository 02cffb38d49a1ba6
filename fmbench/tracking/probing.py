"""Whether a tracking server is there. Imports mlflow only for one that cannot be judged without."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from fmbench.errors import TrackingError
from fmbench.tracking.client import PROBE_SECONDS, check_file, probe
from fmbench.tracking.uris import NEXT_STEP, reason, sqlite_file


def check(uri: str) -> None:
    """Raise TrackingError, within a few seconds, when nothing can be logged to `uri`."""
    database = sqlite_file(uri)
    if database is not None:
        check_file(database)
    elif uri.startswith(("http://", "https://")) and _answers_as_mlflow(uri):
        return
    else:
        try:
            probe(uri)
        except Exception as error:
            raise TrackingError(f"{_not_there(uri)}: {reason(error)}. {NEXT_STEP}") from error


def _answers_as_mlflow(uri: str) -> bool:
    """Ask a server for its health. Raises TrackingError when nobody answers, returns False when MLflow must judge."""
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=PROBE_SECONDS) as answer:
            return bool(answer.read(16).strip() == b"OK")
    except urllib.error.HTTPError:
        return False
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        raise TrackingError(f"{_not_there(uri)}: {reason(cause)}. {NEXT_STEP}") from error


def _not_there(uri: str) -> str:
    return f"the MLflow tracking server must answer; {uri} does not"
