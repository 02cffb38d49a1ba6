"""Which tracking server, and what belongs to a sqlite one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from fmbench.errors import TrackingError

VARIABLE = "MLFLOW_TRACKING_URI"
CHOICES = "sqlite:///FILE, http://HOST:PORT, or another that MLflow knows (postgresql://..., databricks)"
NEXT_FILE = (
    f"Name another with --tracking-uri or {VARIABLE}: {CHOICES}; without either, a sqlite file in the "
    "working folder is used. Or run with --no-tracking now, and `fmbench sync` later."
)
NEXT_STEP = f"Start it, or n{NEXT_FILE[1:]}"
"""What to do about a server; a file cannot be started."""

_PREFIX = "sqlite:///"
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] (?:[\w -]|(?<=\w)'(?=\w))+|(Read|Connection) timed out|timed out")


def resolve_uri(uri: str | None, folder: Path) -> str:
    """Return the tracking URI: `uri`, else MLFLOW_TRACKING_URI, else `sqlite:///<folder>/mlflow.db`; sqlite's absolute.

    Raises TrackingError for a file store, which MLflow refuses, and for what is no URI.
    """
    found = uri or os.environ.get(VARIABLE) or f"{_PREFIX}{(folder.resolve() / 'mlflow.db').as_posix()}"
    scheme = urlsplit(found).scheme
    if scheme == "file" or ("://" not in found and not found.startswith("databricks")):
        raise TrackingError(
            f"a tracking URI must be {CHOICES}; found {found!r}, which MLflow would take for a folder of files. "
            f"Use {_PREFIX}{Path(found.removeprefix('file://')).resolve().as_posix()}.db, for example."
        )
    if scheme != "sqlite":
        return found.rstrip("/")
    name = found.removeprefix(_PREFIX)
    if name in {"", ":memory:"} or not found.startswith(_PREFIX) or "?" in found:
        raise TrackingError(
            f"a sqlite URI must name a file without ? in its path, as in sqlite:///mlflow.db; found {found!r}"
        )
    return _PREFIX + Path(name).resolve().as_posix()


def sqlite_file(uri: str) -> Path | None:
    """Return the database file of a sqlite URI as `resolve_uri` returns it, None for another."""
    return Path(uri.removeprefix(_PREFIX)) if uri.startswith(_PREFIX) else None


def artifact_root(database: Path) -> Path:
    """Return the folder of artifacts that goes with a sqlite database: beside it."""
    return database.with_name("mlartifacts")


def reason(error: BaseException) -> str:
    """Return what an error says in one short line; of a chain of network errors, what the system said."""
    text = str(error)
    if (inner := _SYSTEM_ERROR.search(text)) is not None:
        return inner[0]
    lines = text.strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
