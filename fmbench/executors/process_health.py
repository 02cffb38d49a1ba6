"""Whether a worker's process may compute more: what a component changed of it, or left running in it."""

from __future__ import annotations

import threading
from collections.abc import Collection


class SpoiltProcess(Exception):
    """Nothing more may be computed in this process: a component changed it, or left something running in it."""


def lingering(before: Collection[threading.Thread]) -> list[str]:
    """Return the names of threads that somebody has left running since; torch's own may stay."""
    new = [thread for thread in threading.enumerate() if thread not in before]
    return [thread.name for thread in new if not _made_by_torch(thread)]


def _made_by_torch(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    return any((getattr(each, "__module__", None) or "").startswith("torch.") for each in (target, type(thread)))
