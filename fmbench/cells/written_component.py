"""A component as suites and parameters write it, where nobody but its user knows its place: a teacher's, a model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORM = "must be a name, or {name: {parameters}}"


def named(written: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the parameters that are written as `name` or `{name: {parameters}}`. Raises ValueError."""
    if isinstance(written, str) and written:
        return written, {}
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, parameters),) = written.items()
        if isinstance(name, str) and (parameters is None or isinstance(parameters, Mapping)):
            return name, parameters or {}
    raise ValueError(FORM)
