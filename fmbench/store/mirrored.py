"""What a cell's folder asks of a store that is not a disk: see `fmbench.store.remote.mirror`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class FileStatus(Protocol):
    """Size (bytes) and moment of change (seconds since the epoch) of a file that is not on this disk."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def modified(self) -> float:
        """Seconds since the epoch, 0 where that is not known."""
        ...


class CellMirror(Protocol):
    """Keeps the folder of a cell, named by its place, "training/abc", as the store by URL has it."""

    def look(self, place: str) -> None:
        """Have what the store holds of a cell here, but for its large files."""

    def fetch(self, place: str, name: str) -> bool:
        """Have a file of a cell here; return whether there is one."""
        ...

    def fetch_again(self, place: str, name: str) -> bool:
        """Have a file here anew that is not what was written; return whether it was fetched."""
        ...

    def status(self, place: str) -> Mapping[str, FileStatus]:
        """Return what the store has of a cell, by the files' names."""
        ...

    def file(self, place: str, name: str) -> Path:
        """Return the path of a file, which is fetched when it is opened."""
        ...

    def working(self, place: str, check: Callable[[], None]) -> AbstractContextManager[None]:
        """Work on a cell whose lease is held: what changes of its folder is sent at the end, unless `check` raises."""
        ...

    def changed(self, place: str, name: str) -> None:
        """Send a file that somebody wrote who does not work on the cell, and nothing else."""

    def discarded(self, place: str) -> None:
        """Note that nothing of what the store has of a cell is to stay."""

    def remove(self, place: str) -> None:
        """Remove all that the store has of a cell, whose lease is held."""

    def drop(self, place: str, names: Iterable[str]) -> None:
        """Remove files of a cell from the store now."""

    def send_checkpoint(self, place: str) -> None:
        """Send the newest checkpoint, aside."""

    def checkpoints_dropped(self, place: str) -> None:
        """Note that no checkpoint of a cell is to stay."""
