"""Time limits as SLURM writes them: "90" minutes, "1:30:00", "2-12:00:00" for two days and a half."""

from __future__ import annotations

import math
import re

FACTOR = 3.0
"""A job may take so many times what was expected: nodes differ, and a limit that comes early costs a requeueing."""
LEAST_MINUTES = 15
"""Whatever was expected: a node may need minutes to begin."""
UNKNOWN_MINUTES = 240
"""Where nothing like it has been computed yet. What is not done by then goes on from its checkpoint."""
_FORMS = (
    r"(?P<m>\d+)",
    r"(?P<m>\d+):(?P<s>\d{1,2})",
    r"(?P<h>\d+):(?P<m>\d{1,2}):(?P<s>\d{1,2})",
    r"(?P<d>\d+)-(?P<h>\d{1,2})",
    r"(?P<d>\d+)-(?P<h>\d{1,2}):(?P<m>\d{1,2})",
    r"(?P<d>\d+)-(?P<h>\d{1,2}):(?P<m>\d{1,2}):(?P<s>\d{1,2})",
)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def minutes_of(text: str) -> int | None:
    """Return the whole minutes of a time limit, rounded up; None for what is none."""
    found = next((m for form in _FORMS if (m := re.fullmatch(form, text.strip()))), None)
    if found is None:
        return None
    seconds = sum(int(value) * _SECONDS[unit] for unit, value in found.groupdict().items())
    return math.ceil(seconds / 60) or None


def time_limit(minutes: int) -> str:
    """Return minutes as days, hours, minutes and seconds: "0-01:30:00"."""
    hours, left = divmod(minutes, 60)
    return f"{hours // 24}-{hours % 24:02}:{left:02}:00"


def minutes_for(expected_seconds: float | None) -> int:
    """Return the minutes that a job is given, of which it is expected to take so many seconds; None where unknown."""
    if expected_seconds is None:
        return UNKNOWN_MINUTES
    return max(LEAST_MINUTES, math.ceil(FACTOR * expected_seconds / 60))
