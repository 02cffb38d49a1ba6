"""Streams to which printing goes on, into nothing, when their reader goes away: `head`, a terminal that is closed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import Any, TextIO

_GONE = (errno.EPIPE, errno.EIO)
"""What the system says of a pipe that nobody reads, and of a terminal that is closed."""


class Patient:
    """A stream to which printing goes on, into nothing, when its reader goes away.

    So a verb does all that it was asked to do, and its exit code says how that went, whoever listens.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.gone = False

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, or lose them."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self.gone = True
            lose(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lose(stream: TextIO) -> None:
    """Lose what is still to be printed: nobody can take it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
