"""How long a server that is busy asks its clients to wait: the header Retry-After of its last answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import Response

BUSY = {429, 503}
LONGEST = 600.0
"""Seconds that are waited at most, whatever a server asks for."""

_until: dict[str, float] = {}


def note(response: Response) -> None:
    """Remember what a response asks for, if anything."""
    asked = response.headers.get("Retry-After") if response.status_code in BUSY else None
    if asked is None:
        return
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        seconds = Retry().parse_retry_after(asked)
    except InvalidHeader:
        return  # neither a number nor a date: as if nothing had been asked for
    _until[_place(str(response.url))] = time.monotonic() + min(LONGEST, max(0.0, seconds))


def seconds_left(uri: str) -> float:
    """Return the seconds that the server at `uri` is to be left alone, 0 where it has not asked for any."""
    return max(0.0, _until.get(_place(uri), 0.0) - time.monotonic())


def _place(uri: str) -> str:
    """Return host and port."""
    return urlsplit(uri).netloc.rpartition("@")[2]
