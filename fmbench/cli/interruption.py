"""What signals do that ask fmbench to end: the first one ends it in order, another Ctrl-C at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from fmbench.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what a system sends that shuts down, and a terminal that is closed."""
SHOW_CURSOR = b"\x1b[?25h"
"""What a terminal is told after progress bars, which hide it."""


class EndedInOrder(Exception):
    """A verb was interrupted, and has put everything in order; `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


_heard: list[int] = []
"""The first signal that was heard, if any was."""


@contextlib.contextmanager
def signals_heard() -> Iterator[None]:
    """Raise Interrupted for the first signal that comes inside, in the main thread; a second Ctrl-C ends the process.

    What the process was started to ignore, as `nohup` has it ignore a closed terminal, it ignores.
    """
    _heard.clear()
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, _hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            if not _heard:  # else the process ends now, and what comes meanwhile must find these
                signal.signal(number, handler)


def exit_code(error: BaseException | None = None) -> int:
    """Return the exit code of a process that was asked to end: 130, 143 or 129, by the signal."""
    number = error.number if isinstance(error, Interrupted) else next(iter(_heard), signal.SIGINT)
    return 128 + number


def was_interrupted() -> bool:
    """Whether a signal was heard."""
    return bool(_heard)


def how(error: BaseException | None = None) -> str:
    """Say what ended the process."""
    number = exit_code(error) - 128
    return "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"


def _hear(number: int, frame: FrameType | None) -> None:
    if not _heard:
        _heard.append(number)
        raise Interrupted(number)
    if number == signal.SIGINT:
        _end_at_once(number)


def _end_at_once(number: int) -> None:
    """End this process and all that it started, with no more words than must be."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    with contextlib.suppress(OSError):
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
        os.write(2, b"error: interrupted twice, so ended at once; what finished is kept\n")
    os._exit(128 + number)
