"""How a model names the network that its weights are for, and its path: as a suite names a component."""

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
