"""Files of many quick cells that reach the disk together: one wait for the disk in place of one a file.

A file is whole or absent, also after a power cut, if its content is on the disk before its name is in its place. Who
waits for that after each of a quick cell's files waits longer than the cell takes to compute. Here files are written
under temporary names, and those of a cell are handed to a thread that flushes them while the next cell is computed: the
system flushes together what several threads ask for at once. As soon as all files of a cell are on the disk, and those
of the cells before it, they get their names, in the order in which they were written, so `result.json` last. That the
cell has ended is said after that, by the thread that computes, when the next cell has ended or the group is committed.

A process that is killed loses the cells whose files were on their way: those of a few milliseconds, of which nothing
was said yet, however long the cell takes that is computed then.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from fmbench.errors import LeaseLost, StoreError
from fmbench.io.whole_files import begin_whole
from fmbench.store.atomic_files import explained

THREADS = 8
"""So many cells are flushed at once."""
MOST_FILES = 256
"""More files than these do not wait: who writes another waits for the disk."""


class Ending(Protocol):
    """What becomes of a cell that has ended, once its files are on the disk."""

    def check(self) -> None:
        """Raise LeaseLost where another process took the cell over, so that its files get no names."""

    def release(self) -> None:
        """Let go of the cell: in any case, after its files have their names or will have none.

        Raises LeaseLost where it was taken over before a store by URL had them.
        """

    def kept(self) -> None:
        """Say that the cell has ended: all that was written of it is in its place."""

    def taken_over(self, error: LeaseLost) -> None:
        """Say that another process took it over."""


@dataclass
class _Files:
    """Files of one cell: where each belongs, its temporary name, and its descriptor until it is flushed.

    `ending` is None while the cell goes on. Where `is_settled`, the files have their names, or will have none, for
    which `taken_over` is the reason.
    """

    paths: list[tuple[Path, Path]] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    flushed: Future[None] | None = None
    ending: Ending | None = None
    is_settled: bool = False
    taken_over: LeaseLost | None = None

    def is_flushed(self) -> bool:
        """Whether its files are on the disk, or could not be brought there."""
        return self.flushed is not None and self.flushed.done()


class GroupCommit:
    """The files and the ended cells that wait for the disk, in order. One thread uses it; see the module.

    Names are given by the threads that flush, too: who looks at or changes what waits holds the lock.
    """

    def __init__(self) -> None:
        self._cells: deque[_Files] = deque([_Files()])
        self._waiting: Counter[Path] = Counter()
        self._lock = threading.RLock()
        _flushing_threads(
            os.getpid()
        )  # begun before a component runs, which is blamed for threads that are new afterwards

    def write(self, path: Path, payload: bytes) -> None:
        """Write a file, which has its name once all that were written before have theirs. Raises StoreError."""
        if self._waiting.total() >= MOST_FILES:
            self.commit()
        with explained(path):
            descriptor, temporary = begin_whole(path, payload)
        with self._lock:
            self._cells[-1].paths.append((path, temporary))
            self._cells[-1].descriptors.append(descriptor)
            self._waiting[path] += 1

    def holds(self, path: Path) -> bool:
        """Whether a file was written that does not have its name yet."""
        return path in self._waiting

    def end_cell(self, ending: Ending) -> None:
        """Note that a cell has ended. Of what is on the disk by now it is said. Raises StoreError."""
        self._cells[-1].ending = ending
        self._flush_last()
        while self._cells[0].is_flushed():
            self._commit_first()

    def commit(self) -> None:
        """Wait until all that was written is on the disk, and give it its name. Raises StoreError."""
        self._flush_last()
        while len(self._cells) > 1:
            self._commit_first()

    def forget(self, folder: Path) -> None:
        """Drop the files of a folder that have no names yet: what lies there is to be removed."""
        with self._lock:
            for cell in self._cells:
                gone = [paths for paths in cell.paths if paths[0].parent == folder]
                cell.paths = [paths for paths in cell.paths if paths not in gone]
                self._drop(gone)

    def abandon(self) -> None:
        """Drop all that waits, for the store cannot be written; nothing was said of it."""
        with self._lock:
            cells, self._cells = self._cells, deque([_Files()])
        with ExitStack() as releases:  # of each, the oldest first, whatever comes of another
            for cell in reversed(cells):
                if cell.flushed is not None:
                    with suppress(OSError):
                        cell.flushed.result()
                _close(cell.descriptors)
                self._drop(cell.paths)
                if cell.ending is not None:
                    releases.callback(_let_go, cell.ending)

    def _flush_last(self) -> None:
        """Hand the files that were written last to a thread, which names them once they are on the disk."""
        with self._lock:
            cell = self._cells[-1]
            cell.flushed = _flushing_threads(os.getpid()).submit(_flush, cell.descriptors)
            self._cells.append(_Files())
        cell.flushed.add_done_callback(self._name_flushed)

    def _name_flushed(self, _: Future[None]) -> None:
        """Name the files of the first cells, as far as these are on the disk."""
        with suppress(StoreError), self._lock:  # who commits the cell meets the same, and raises it
            for cell in self._cells:
                if not cell.is_flushed():
                    return
                self._name(cell)

    def _name(self, cell: _Files) -> None:
        """Give the files of a cell their names, unless another process has it. Raises StoreError; holds the lock."""
        if cell.is_settled:
            return
        assert cell.flushed is not None
        with explained(cell.paths[0][0] if cell.paths else Path()):
            cell.flushed.result()
        cell.taken_over = _taken_over(cell.ending)
        if cell.taken_over is not None:
            self._drop(cell.paths)
            cell.paths = []
        while cell.paths:
            path, temporary = cell.paths[0]
            with explained(path):
                temporary.replace(path)
            del cell.paths[0]
            self._note_gone(path)
        cell.is_settled = True

    def _commit_first(self) -> None:
        cell = self._cells[0]
        if cell.flushed is not None:
            wait([cell.flushed])  # without the lock, which a thread may want that flushes another
        with self._lock:
            self._name(cell)
            self._cells.popleft()
        if cell.ending is not None:
            error = _let_go(cell.ending) or cell.taken_over
            cell.ending.kept() if error is None else cell.ending.taken_over(error)

    def _drop(self, paths: Sequence[tuple[Path, Path]]) -> None:
        for path, temporary in paths:
            with suppress(OSError):
                temporary.unlink()
            self._note_gone(path)

    def _note_gone(self, path: Path) -> None:
        self._waiting[path] -= 1
        if not self._waiting[path]:
            del self._waiting[path]


def _taken_over(ending: Ending | None) -> LeaseLost | None:
    """Return why the files of a cell must get no names, None where they may."""
    try:
        if ending is not None:
            ending.check()
    except LeaseLost as error:
        return error
    return None


def _let_go(ending: Ending) -> LeaseLost | None:
    """Let go of a cell; return why what was written of it does not count, None where it does."""
    try:
        ending.release()
    except LeaseLost as error:
        return error
    return None


@contextmanager
def group_commit() -> Iterator[GroupCommit]:
    """Yield a group, which is committed in the end, also where something fails other than the store."""
    group = GroupCommit()
    try:
        try:
            yield group
        except StoreError:
            raise
        except BaseException:
            group.commit()
            raise
        group.commit()
    finally:
        group.abandon()  # nothing, unless the store failed


@cache
def _flushing_threads(process: int) -> ThreadPoolExecutor:
    """Return this process's threads that flush files, all of them started; a fork has none of its parent's."""
    pool = ThreadPoolExecutor(THREADS, "fmbench-flushing")
    started = threading.Barrier(THREADS + 1)
    for _ in range(THREADS):
        pool.submit(started.wait)
    started.wait()
    return pool


def _flush(descriptors: list[int]) -> None:
    """Have what was written to some files on the disk, and close them."""
    try:
        for descriptor in descriptors:
            os.fsync(descriptor)
    finally:
        _close(descriptors)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        with suppress(OSError):  # what it would say, fsync has said
            os.close(descriptors.pop())
