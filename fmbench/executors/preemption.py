"""Making room when a cluster asks for it: a training saves its state after the step that it is at, and the worker ends.

A signal is only noted when it comes. The training loop saves a checkpoint as soon as its interval is over, so the
interval is made to be over; when the first cell of a fleet would be saved a second time, all are on the disk, and
`Preempted` is raised out of the loop. Other work ends with the unit that it is at: nothing can be saved of it.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fmbench.store.checkpoints import after_saving

if TYPE_CHECKING:
    from fmbench.model.context import WorkerContext

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""The first is what a scheduler sends to all processes of a job; the second, what the job sends to its worker."""
EXIT_CODE = 75
"""That of a worker which has made room: what was not finished is for another."""


class Preempted(BaseException):
    """The worker was asked to make room, and what can be saved is saved. Nothing has failed, so nobody catches it."""


class Preemption:
    """Whether this process was asked to make room. `listen` has it hear the signals; without that it never is."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._asked = False
        self._process = os.getpid()

    def listen(self) -> None:
        """Take the signals. What they did before, which is to end the process, they do no more."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        if os.getpid() != self._process:  # a process that a component forked ends, as it would without fmbench
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._asked = True
        self._context.checkpoint_seconds = -math.inf

    def check(self) -> None:
        """Raise Preempted where the process was asked to make room; called before each unit."""
        if self._asked:
            raise Preempted

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Raise Preempted out of the training that runs inside, when all its members were saved after the signal."""
        saved: set[str] = set()

        def note(place: str) -> None:
            if self._asked and place in saved:
                raise Preempted
            if self._asked:
                saved.add(place)

        after_saving.append(note)
        try:
            yield
        finally:
            after_saving.remove(note)
