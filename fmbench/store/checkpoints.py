"""Checkpoints of a training: written whole, named by step and checksum, resumed from the newest that is whole."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from fmbench.io.regular_files import NotRegularError, names_in, read_regular, set_aside
from fmbench.store.atomic_files import write_atomically
from fmbench.store.mirrored import CellMirror

NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.pt")
ANY, CUT_OFF = "checkpoint-*.pt", ".checkpoint-*.tmp"
log = logging.getLogger(__name__)

after_saving: list[Callable[[str], None]] = []
"""What is called after each checkpoint that this process saves, with the place of its cell."""


class Checkpoints:
    """The checkpoints in the folder `path` of a cell whose `place` is its section and key, "training/abc".

    `before_writing` may refuse to have one written. In a store by URL, those that only the `mirror` has are fetched
    when they are read.
    """

    def __init__(
        self,
        path: Path,
        place: str,
        before_writing: Callable[[], None] = lambda: None,
        mirror: CellMirror | None = None,
    ) -> None:
        self.path, self.place, self._before_writing, self.mirror = path, place, before_writing, mirror

    def save(self, step: int, payload: bytes, *, beside: bool = False) -> None:
        """Keep the state of a training after `step` steps; others go, unless it stands `beside` those of other steps.

        The checksum in the name is made over the place and the step, too: another cell's checkpoint is damaged here.
        """
        self._before_writing()
        name = f"checkpoint-{step}-{self._checksum(step, payload)}.pt"
        write_atomically(self.path / name, payload)
        for old in self.path.glob(f"checkpoint-{step}-*.pt" if beside else ANY):
            if old.name != name:
                old.unlink(missing_ok=True)
        if self.mirror is not None:
            self.mirror.send_checkpoint(self.place)
        for call in after_saving:
            call(self.place)

    def drop_older(self, step: int) -> None:
        """Remove the states before a step."""
        for path in self.path.glob(ANY):
            if (m := NAME.fullmatch(path.name)) and int(m[1]) < step:
                path.unlink(missing_ok=True)

    def load(self, before: float = math.inf) -> bytes | None:
        """Return the newest whole checkpoint of a step below `before`, or None; damaged ones are said and removed."""
        for _, path, payload in self._newest_first(before):
            if payload is not None:
                return payload
            log.warning("%s is not what was written for this cell, so the training does not go on from it", path)
            set_aside(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            if self.mirror is not None:
                self.mirror.drop(self.place, [path.name])
        return None

    def newest(self) -> tuple[int, Path | None]:
        """Return step and file of the newest whole checkpoint, 0 and None without one; nothing is removed."""
        return next(((step, path) for step, path, payload in self._newest_first() if payload is not None), (0, None))

    def steps(self) -> list[int]:
        """Return the steps of which there is a checkpoint, whole or not, ascending."""
        return sorted(step for step, _, _ in self._named())

    def drop(self) -> None:
        """Remove all checkpoints, and what a process that was killed while it wrote one has left."""
        for name in names_in(self.path):
            if fnmatchcase(name, ANY) or fnmatchcase(name, CUT_OFF):
                (self.path / name).unlink(missing_ok=True)
        if self.mirror is not None:
            self.mirror.checkpoints_dropped(self.place)

    def _named(self) -> list[tuple[int, str, Path]]:
        """Return step, checksum and file of every checkpoint."""
        names = {path.name for path in self.path.glob(ANY)}
        if self.mirror is not None:
            names.update(self.mirror.status(self.place))
        return [(int(m[1]), m[2], self.path / name) for name in names if (m := NAME.fullmatch(name))]

    def _newest_first(self, before: float = math.inf) -> Iterator[tuple[int, Path, bytes | None]]:
        """Yield step, file and content of every checkpoint below a step, the content None where it is not what was
        written.
        """
        for step, checksum, path in sorted((each for each in self._named() if each[0] < before), reverse=True):
            if self.mirror is not None:
                self.mirror.fetch(self.place, path.name)
            payload = _content(path)
            whole = payload is not None and self._checksum(step, payload) == checksum
            yield step, path, payload if whole else None

    def _checksum(self, step: int, payload: bytes) -> str:
        """Return the checksum of a checkpoint, its place and its step."""
        checksum = hashlib.sha256(f"{self.place}/checkpoint-{step}\n".encode())
        checksum.update(payload)
        return checksum.hexdigest()


def _content(path: Path) -> bytes | None:
    """Return what is in a checkpoint's file, None where it is no regular file or not there any more."""
    try:
        return read_regular(path, path.stat().st_size)
    except (NotRegularError, FileNotFoundError):
        return None
