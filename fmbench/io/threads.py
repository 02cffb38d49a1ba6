"""Threads beside the main one, to which alone signals go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start_thread(work: Callable[[], object], name: str | None = None) -> threading.Thread:
    """Start a daemon thread that takes none of SIGNALS.

    Python answers a signal in the main thread. Where the system gives it to another one, as it does while the main one
    has one before it, a main thread that waits is not woken: a second Ctrl-C would go unheard.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # which the new thread inherits
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
