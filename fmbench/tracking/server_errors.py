"""What the errors of MLflow's client mean, and what a server said in few words."""

from __future__ import annotations

import re
import sqlite3
from http import HTTPStatus

from fmbench.errors import TrackingError

_LOST = {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"}
_REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "ENDPOINT_NOT_FOUND"}
_NOT_ACTIVE = re.compile(r"must be in (the )?'active'")
_STATUS = re.compile(r"failed with error code (\d{3}) != \d+\. Response body: '(.*)'", re.DOTALL)
_AT_ONCE = re.compile(r"UniqueViolation|duplicate key|UNIQUE constraint failed|Duplicate entry", re.IGNORECASE)
_NO_JSON = "not in a valid JSON format"
_PAGE = re.compile(r"\s*<(!doctype|html|\?xml|head|body)\b", re.IGNORECASE)
LONGEST_ANSWER = 200
"""Characters of what a server answered in place of JSON."""


def is_passing(error: BaseException) -> bool:
    """Whether an error may be gone when the same is tried again: a server that is down, a database that is locked.

    So is a row that two requests add at once: MLflow passes over what it finds, and a request that nobody heard the
    answer of may still be at work when it is sent again.
    """
    code = getattr(error, "error_code", None)
    if code is None:
        return isinstance(error, OSError | sqlite3.OperationalError)
    return code in _LOST or _AT_ONCE.search(str(error)) is not None


def is_refusal(error: BaseException) -> bool:
    """Whether the server refuses this user or this address altogether."""
    return isinstance(error, TrackingError) or getattr(error, "error_code", None) in _REFUSED


def is_gone(error: BaseException) -> bool:
    """Whether somebody has deleted the run or the experiment that was written to."""
    code = getattr(error, "error_code", None)
    return code == "RESOURCE_DOES_NOT_EXIST" or (code is not None and _NOT_ACTIVE.search(str(error)) is not None)


def answer_in_short(text: str) -> str:
    """Return what a server answered in place of what MLflow's client expects, "" where a text tells of no answer."""
    found = _STATUS.search(text)
    if found is not None:
        number, body = int(found[1]), found[2].strip()
        known = number in {status.value for status in HTTPStatus}
        said = f"it answers {number}" + (f" ({HTTPStatus(number).phrase})" if known else "")
        return said if not body or _PAGE.match(body) else f"{said}: {' '.join(body.split())[:LONGEST_ANSWER]}"
    if _NO_JSON in text:
        return "it answers, but not as MLflow does: a proxy or a page to sign in may stand before it"
    return ""
