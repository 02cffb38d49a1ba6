"""What the processes that hold leases of a store say of themselves: for people, and for who wants a machine alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fmbench.io.json_forms import parsed
from fmbench.store.lease_files import LEASE
from fmbench.store.leases import Leases


class Stated(NamedTuple):
    """A unit that a holder says it computes: for how many seconds by its own clock, and at which step of a training.

    `host`, `pid` and `job` are the holder's, as it says.
    """

    place: str
    holder: str
    host: str
    pid: int
    job: str
    seconds: float
    step: int | None


def stated_by(leases: Leases, holder: str) -> Iterator[Stated]:
    """Yield what a holder says that it computes, where its lease still is; it says so every few seconds."""
    body = _body(leases, holder)
    for unit in body.get("units", ()):
        try:
            place, seconds, step = str(unit[0]), float(unit[1]), None if unit[2] is None else int(unit[2])
            about = str(body["host"]), int(body["pid"]), str(body["job"])
            is_held = any(name.startswith(f"{LEASE}{holder}-") for name in leases.files.names(place))
        except (TypeError, ValueError, LookupError, OverflowError, OSError):
            continue
        if is_held and math.isfinite(seconds):
            yield Stated(place, holder, *about, seconds, step)


def _body(leases: Leases, holder: str) -> Mapping[str, Any]:
    """Return what a heartbeat says, nothing where it says none."""
    try:
        body = parsed(leases.files.heartbeat(holder) or b"{}")
    except (ValueError, OSError):
        return {}
    return body if isinstance(body, dict) and isinstance(body.get("units"), list) else {}
