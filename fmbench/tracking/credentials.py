"""Passwords and tokens of a tracking URI, hidden in whatever is shown or stored."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
SHORTEST = 4
"""Secrets with fewer characters are hidden in URIs only: in a sentence they would hide parts of its words."""

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
VARIABLES = (
    *(PASSWORD, "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET", "PGPASSWORD"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"),
)
"""Environment variables of MLflow, its databases and its stores of artifacts that hold a secret."""

_SECRET_NAME = re.compile(r"pass|pwd|token|secret|key|cred|auth|signature|dsn|connection_string", re.IGNORECASE)
_AUTHORITY = re.compile(r"^([A-Za-z][\w+.-]*://)(.*)@", re.DOTALL)
_PLAIN_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^/?#:@]*)[/?#]")
"""A host without a port, and what comes behind it: an @ there separates no credentials."""

_IN_TEXT = re.compile(r"([A-Za-z][\w+.-]*://[^\s/?#:@'\"]*):([^\s@]+)@")
_SECRET_PARAMETER = re.compile(
    r"([?&;][\w.-]*(?:pass|pwd|token|secret|key|sig|cred|auth|odbc)[\w.-]*=)([^&;#\s'\")]+)", re.IGNORECASE
)


def shown(uri: str) -> str:
    """Return a URI as it may be shown or stored: `user:***@host`, and `***` for tokens among its parameters."""
    if uri.startswith("sqlite:"):
        return uri  # a path, which has no place for credentials
    credentials = _credentials(uri)
    if credentials is not None:
        start, user, password = credentials
        who = f"{user}:{HIDDEN}" if password is not None else HIDDEN if _is_token(start) else user
        uri = f"{start}{who}@{uri[len(start) :].rpartition('@')[2]}"
    return _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", uri)


def shown_variable(name: str, value: str) -> str:
    """Return the value of an environment variable as it may be shown, `***` where its name says that it is a secret."""
    return HIDDEN if _SECRET_NAME.search(name) else masked(shown(value), value)


def masked(text: str, uri: str = "") -> str:
    """Return a text without the secrets of `uri`, of MLflow's environment, and of any other URI that stands in it."""
    if uri and uri != shown(uri):
        text = text.replace(uri, shown(uri))
    for secret in sorted(set(_secrets(uri)), key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, HIDDEN)
    text = _IN_TEXT.sub(rf"\1:{HIDDEN}@", text)
    return _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", text)


def cause(error: BaseException, uri: str) -> BaseException | None:
    """Return an error as the cause of the one that is raised, None where its own text would show a secret."""
    return error if masked(str(error), uri) == str(error) else None


def _credentials(uri: str) -> tuple[str, str, str | None] | None:
    """Return scheme, user and password of a URI, None where it has none. A password may hold any character, raw."""
    found = _AUTHORITY.match(uri)
    if found is None or _PLAIN_HOST.match(found[2]):
        return None
    user, colon, password = found[2].partition(":")
    return found[1], user, password if colon else None


def _is_token(start: str) -> bool:
    """Whether a user without a password is one: on web servers it is a token, in databases a name."""
    return start.startswith(("http://", "https://"))


def _secrets(uri: str) -> Iterator[str]:
    """Yield every form in which a secret may stand in a text."""
    credentials = None if uri.startswith("sqlite:") else _credentials(uri)
    if credentials is not None:
        start, user, password = credentials
        if password is not None:
            yield _basic(unquote(user), unquote(password))
            yield from _forms(password)
            yield from re.split(r"[/@:?#]", unquote(password))  # as a parser leaves it that takes them for separators
        elif _is_token(start):
            yield from _forms(user)
    for _, value in _SECRET_PARAMETER.findall(uri):
        yield from _forms(value)
    for variable in VARIABLES:
        yield from _forms(os.environ.get(variable, ""))
    if PASSWORD in os.environ:
        yield _basic(os.environ.get(USER, ""), os.environ[PASSWORD])


def _basic(user: str, password: str) -> str:
    """Return user and password as a request holds them."""
    return base64.b64encode(f"{user}:{password}".encode(errors="replace")).decode()


def _forms(secret: str) -> Iterator[str]:
    for text in (secret, unquote(secret), unquote_plus(secret)):
        yield text
        yield quote(text, safe="", errors="replace")
        yield quote_plus(text, errors="replace")
