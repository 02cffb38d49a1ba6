"""The one thread that writes to the tracking server, off the critical path."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fmbench.io.file_lock import StoppedWaiting
from fmbench.io.threads import start_thread
from fmbench.tracking.experiment import Server
from fmbench.tracking.ledger import Ledger
from fmbench.tracking.retry_after import seconds_left
from fmbench.tracking.run_content import RunContent
from fmbench.tracking.run_links import RunLinks, links_of
from fmbench.tracking.server_errors import is_gone, is_passing, is_refusal
from fmbench.tracking.uris import reason

LINGER = 0.5
"""Seconds that the writer waits for more of the same run before it writes."""

START = 5.0
"""Seconds before a server is opened ahead: until then, worker processes start and need the cores."""

LONGEST_PAUSE = 30.0
HURRIED_PAUSE = 1.0
BATCH = 200
"""Runs written between two saves of the ledger, at most."""

TURN = 5.0
"""Seconds that a batch may hold the database's lock while other processes wait for it."""

BETWEEN_TURNS = 0.05
"""Seconds between two turns of one process, in which another can take the lock."""

MUCH = 100
"""Runs after which the database is told how its tables are filled."""

ATTEMPTS = 4
"""How often a run is tried on a server that otherwise answers."""

HANGS = 12.0
"""A server that neither answers nor fails is given up after so many times the patience."""


@dataclass
class Progress:
    """What the writer has done; `problem` is the last error, "" after a success, and `since` when it began."""

    logged: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    since: float = 0.0
    beat: float = 0.0


class Writer:
    """Takes run contents and writes them in order, batched; retries what may pass, remembers what cannot."""

    def __init__(self, server: Server, ledger: Ledger, patience: float) -> None:
        self.server, self.ledger, self.patience = server, ledger, patience
        self.progress = Progress()
        self.seen: dict[str, RunContent] = {}
        self._waiting: dict[str, RunContent] = {}
        self._attempts: Counter[str] = Counter()
        self._batch: dict[str, RunContent] = {}
        self._tidied = 0
        self._hurry = self._closing = self._ahead = self._resting = self._busy = self._opened = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, contents: Iterable[RunContent]) -> None:
        """Queue what the ledger does not hold; the thread starts when there is something to do."""
        with self._changed:
            for content in contents:
                earlier = self.seen.get(content.cell)
                self.seen[content.cell] = earlier.merged(content) if earlier else content
                if not self.ledger.holds(content):
                    self._waiting[content.cell] = self.seen[content.cell]
                    self.progress.failed.pop(content.cell, None)
            if self._waiting:
                self._start()
            self._changed.notify_all()

    def open_ahead(self) -> None:
        """Import mlflow and open the server before there is anything to write: both take seconds."""
        with self._changed:
            self._ahead = True
            self._start()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = start_thread(self._work, "fmbench-tracking")

    @property
    def unlogged(self) -> set[str]:
        """The cells whose runs are not logged, or not as they are now."""
        with self._changed:
            return {*self._waiting, *self._batch, *self.progress.failed}

    def links(self) -> RunLinks:
        """Return where the runs are that were logged so far."""
        with self._changed:
            return links_of(self.ledger)

    def settle(self, told: Callable[[int, int], None] | None = None) -> bool:
        """Wait until everything is written; False when there was no progress for `patience` seconds. Calls `told`."""
        with self._changed:
            self._hurry, self._resting = True, False
            self.progress.beat = time.monotonic()
            total = len(self._waiting.keys() | self._batch.keys())
            self._changed.notify_all()
        try:
            while True:
                with self._changed:
                    left = len(self._waiting.keys() | self._batch.keys())
                    silent = time.monotonic() - self.progress.beat
                    limit = self.patience * (1.0 if self.progress.problem else HANGS)
                    if left and silent <= limit:
                        self._changed.wait(0.1)
                if told is not None:
                    told(max(0, total - left), total)
                if not left or silent > limit:
                    return not left
        finally:
            with self._changed:
                self._hurry = False

    def rest(self) -> bool:
        """Stop after the run that is being written, so that nothing here disturbs a timing, until `go_on`.

        False when that took longer than `patience` seconds.
        """
        with self._changed:
            self._resting = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._busy, self.patience)

    def go_on(self) -> None:
        """Write again."""
        with self._changed:
            self._resting = False
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread; one that hangs in a request is left behind, and ends with the process."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=0.2 if self.progress.problem else self.patience)
            if not self._thread.is_alive():
                self.server.close()

    def _work(self) -> None:
        pauses = itertools.count()
        if self._ahead:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing, START)
                self._busy = not self._closing and not self._resting
            if self._busy:
                self._flush({})
        while True:
            with self._changed:
                while (not self._waiting or self._resting) and not self._closing:
                    self._changed.wait()
                if not self._hurry and not self._closing:
                    self._changed.wait(LINGER)
                if self._closing:
                    return
                if self._resting:
                    continue
                batch = dict(itertools.islice(self._waiting.items(), BATCH))
                for cell in batch:
                    del self._waiting[cell]
                self._batch, self._busy = batch, True
            if self._flush(batch) or self._resting:
                pauses = itertools.count()
            else:
                self._pause(next(pauses))

    def _pause(self, times: int) -> None:
        """Wait longer each time, and as long as the server asks; who waits for the end cuts short what it did not ask.

        Closing ends any pause.
        """
        now, asked = time.monotonic(), seconds_left(self.server.uri)
        until = now + max(asked, min(LONGEST_PAUSE, 2.0**times))
        soonest = now + max(asked, HURRIED_PAUSE)
        with self._changed:
            while time.monotonic() < (soonest if self._hurry else until) and not self._closing:
                self._changed.wait(0.25)

    def _flush(self, batch: dict[str, RunContent]) -> bool:
        """Write what of a batch can be written in one turn; the rest waits again. False when the server fails."""
        reached = True
        try:
            with self.ledger.lock(self._may_wait), self.server.alone(self._may_wait):
                self._open()
                turn_ends = time.monotonic() + TURN
                try:
                    while batch and not self._resting and time.monotonic() < turn_ends:
                        self._write(batch)
                finally:
                    self.ledger.save()
                if len(self.progress.logged) >= self._tidied + MUCH:
                    self.server.tidy()
                    self._tidied = len(self.progress.logged)
        except StoppedWaiting:
            pass  # the batch waits again
        except Exception as error:
            self._failed(batch, error)
            reached = not batch
        with self._changed:
            self._waiting = {**batch, **self._waiting}
            self._batch, self._busy = {}, False
            self._changed.notify_all()
        if reached and batch:
            time.sleep(BETWEEN_TURNS)
        return reached

    def _may_wait(self) -> bool:
        return not (self._resting or self._closing)

    def _open(self) -> None:
        """Find the experiment, and learn what other processes logged. A ledger of another database is void."""
        self.ledger.load()
        if self._opened:
            return
        if self.server.connect():
            self.progress.beat = time.monotonic()
        token = self.server.open()
        with self._changed:
            if self.ledger.bind(self.server.experiment, token):
                self._waiting = {**self.seen, **self._waiting}
            self.progress.beat = time.monotonic()
        self._opened = True

    def _write(self, batch: dict[str, RunContent]) -> None:
        """Write the first of a batch and take it out; raises only for what may pass."""
        cell, content = next(iter(batch.items()))
        try:
            if not self.ledger.holds(content):
                above = content.parent
                parent = self.server.find(above, self.ledger.run_id(above)) if above else None
                if above and parent is None:
                    raise LookupError("its training run is not logged")
                written = self.server.write(content, self.ledger.marks(cell), self.ledger.run_id(cell), parent)
                with self._changed:
                    self.ledger.note(content, written.run_id)
                    for other in written.superseded:
                        self.ledger.unsettle(other)
                    if written.changed:
                        self.progress.logged.add(cell)
        except Exception as error:
            self._attempts[cell] += 1
            passes = is_passing(error) or is_gone(error)
            if not passes or self._attempts[cell] >= ATTEMPTS:
                self.progress.failed[cell] = reason(error, self.server.uri)
                self._written(cell, batch)
            if passes:
                raise
        else:
            self._attempts.pop(cell, None)
            self.progress.problem = ""
            self._written(cell, batch)

    def _written(self, cell: str, batch: dict[str, RunContent]) -> None:
        """Take a run out of a batch: it is logged, or given up."""
        with self._changed:
            del batch[cell]
            self.progress.beat = time.monotonic()

    def _failed(self, batch: dict[str, RunContent], error: Exception) -> None:
        """Note why a batch stopped. A server that refuses will refuse the rest as well."""
        if not self.progress.problem:
            self.progress.since = time.monotonic()
        self.progress.problem = reason(error, self.server.uri)
        self._opened = False
        self.server.forget()
        if is_refusal(error):
            with self._changed:
                self.progress.failed |= dict.fromkeys(batch, self.progress.problem)
                batch.clear()
