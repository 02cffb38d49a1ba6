"""Where leases lie: a few operations that a file system has, and an object store.

Lease files are empty. Each has a name that no other ever had, so that whoever removes or renames one means no other.
What is asked of a place: a file that was made before `names` was called is among them, whoever made it. File systems
give that, NFS too, and so do object stores that list what was written before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from fmbench.io.regular_files import names_in, read_regular
from fmbench.io.whole_files import write_whole

LEASE, DIED = ".lease-", ".died-"
"""How the name of a lease begins, and that of one whose holder died."""
HOLDERS = "holders"
"""The folder, at the root of a store, of heartbeats: a file for each process that holds leases."""
MOST_BYTES = 2**20
"""A heartbeat is not longer."""
MOST_MISSED = 100
"""So often in a row nobody removes the folder between two steps of making a file in it."""


class LeaseFiles(Protocol):
    """The lease files and heartbeats of a store. A `place` is a section and key, "training/abc".

    Every method may raise OSError, for what is neither there nor not there.
    """

    @property
    def where(self) -> str:
        """The store's absolute path or URL: two that are equal are one store."""

    def create(self, place: str, name: str) -> bool:
        """Make an empty file, and the place where it is not there; False where there is a file of that name."""

    def names(self, place: str) -> list[str]:
        """Return the names that begin as leases or deaths do; nothing where there is no such place."""

    def move(self, place: str, name: str, new: str) -> bool:
        """Give a file another name; False where it is not there."""

    def remove(self, place: str, name: str) -> None:
        """Remove a file, if it is there."""

    def beat(self, holder: str, payload: bytes) -> None:
        """Put a heartbeat in place of the holder's last one."""

    def heartbeat(self, holder: str) -> bytes | None:
        """Return a holder's last heartbeat; None where there is none."""

    def holders(self) -> list[str]:
        """Return the names of those of whom there is a heartbeat."""

    def forget(self, holder: str) -> None:
        """Remove a holder's heartbeat, if it is there."""


class FolderLeaseFiles:
    """Lease files in the folders of a store on a file system, by exclusive creation and renaming alone."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def where(self) -> str:
        """The store's absolute path."""
        return str(self._root)

    def create(self, place: str, name: str) -> bool:
        """Make an empty file, and the place where it is not there; False where there is a file of that name."""
        path, missed = self._root / place / name, 0
        while True:
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
                return True
            except FileExistsError:
                return False
            except FileNotFoundError:  # the place is new, or somebody removes it at this moment
                missed += 1
                if missed > MOST_MISSED:
                    raise
                path.parent.mkdir(parents=True, exist_ok=True)

    def names(self, place: str) -> list[str]:
        """Return the names that begin as leases or deaths do; nothing where there is no such place."""
        return [name for name in names_in(self._root / place) if name.startswith((LEASE, DIED))]

    def move(self, place: str, name: str, new: str) -> bool:
        """Give a file another name; False where it is not there."""
        folder = self._root / place
        try:
            (folder / name).rename(folder / new)
        except FileNotFoundError:
            return False
        return True

    def remove(self, place: str, name: str) -> None:
        """Remove a file, if it is there."""
        (self._root / place / name).unlink(missing_ok=True)

    def beat(self, holder: str, payload: bytes) -> None:
        """Put a heartbeat in place of the holder's last one."""
        write_whole(self._root / HOLDERS / holder, payload, flush=False)

    def heartbeat(self, holder: str) -> bytes | None:
        """Return a holder's last heartbeat; None where there is none that can be read."""
        try:
            return read_regular(self._root / HOLDERS / holder, MOST_BYTES)
        except OSError:  # also a pipe, a folder, or what is not ours to read
            return None

    def holders(self) -> list[str]:
        """Return the names of those of whom there is a heartbeat."""
        return sorted(name for name in names_in(self._root / HOLDERS) if not name.startswith("."))

    def forget(self, holder: str) -> None:
        """Remove a holder's heartbeat, if it is there."""
        (self._root / HOLDERS / holder).unlink(missing_ok=True)
