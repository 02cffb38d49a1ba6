"""Moves the files of cells between a store's folder on this disk and its objects, in an order that a crash may cut."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from fmbench.io.regular_files import names_in
from fmbench.io.whole_files import write_whole
from fmbench.store.checkpoints import NAME as CHECKPOINT
from fmbench.store.remote.differences import (
    RESULT,
    Files,
    files_here,
    is_alike,
    is_own,
    is_small,
    same,
    stamp,
    to_remove,
    to_send,
)
from fmbench.store.remote.objects import Objects
from fmbench.store.remote.synced import File, Synced, cached

_AFTER_RESULT = ("metrics.json", "failure.json")


@dataclass
class OpenCell:
    """A cell that this process works on: its objects as they are, and what was done besides writing files."""

    there: Files
    discarded: bool = False
    checkpoints_dropped: bool = False
    sending: list[Future[None]] = field(default_factory=list)


class Transfer:
    """Fetches and sends the cells of a store whose folder is `root`."""

    def __init__(self, objects: Objects, root: Path, synced: Synced) -> None:
        self.objects, self.root, self.synced = objects, root, synced

    def fetch(self, cells: Mapping[str, Files], *, whole: bool = False) -> None:
        """Make the folders of cells, by place, as their objects are: what differs, and what is not there any more.

        Large files are fetched where they are here and differ, or where they are wanted `whole`.
        """
        fetched: set[tuple[str, str]] = set()
        small: list[tuple[str, str]] = []
        for place, there in cells.items():
            known = self.synced.files(place)
            for name, found in there.items():
                path = self.root / place / name
                if is_alike(path, found, known.get(name)):
                    continue
                wanted = whole or (path.exists() and not CHECKPOINT.fullmatch(name))
                if is_small(name):
                    small.append((place, name))
                elif wanted and self.objects.fetch(f"{place}/{name}", path):
                    fetched.add((place, name))
        contents = self.objects.read([f"{place}/{name}" for place, name in small])
        for place, name in sorted(small, key=lambda each: each[1] == RESULT):
            if (content := contents.get(f"{place}/{name}")) is not None:
                path = self.root / place / name
                with cached(path):
                    write_whole(path, content, flush=False)
                fetched.add((place, name))
        for place, there in cells.items():
            self._tidy(place, there)
            self._note_fetched(place, there, fetched)
            self.synced.mark_sent(place)

    def _note_fetched(self, place: str, there: Files, fetched: set[tuple[str, str]]) -> None:
        known, alike = self.synced.files(place), {}
        for name, found in there.items():
            before, when = known.get(name), stamp(self.root / place / name)
            is_here = (place, name) in fetched or (before is not None and same(before.object, found))
            alike[name] = File(found, when if is_here or CHECKPOINT.fullmatch(name) else 0)
        if alike != known:
            self.synced.note(place, alike)

    def _tidy(self, place: str, there: Files) -> None:
        """Remove from a cell's folder what the store does not have any more, the result first."""
        folder = self.root / place
        for name in sorted(names_in(folder), key=lambda name: name != RESULT):
            if name not in there and is_own(name) and (folder / name).is_file():
                (folder / name).unlink(missing_ok=True)
        if not there:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def send(self, place: str, work: OpenCell, check: Callable[[], None]) -> None:
        """Make the objects of a cell as its folder is: files, then the result that vouches for them, then the rest.

        `check` raises where that must not be, since another took the cell over.
        """
        folder, known = self.root / place, self.synced.files(place)
        here = files_here(folder)
        gone = to_remove(
            folder, here, work.there, known, discarded=work.discarded, checkpoints_dropped=work.checkpoints_dropped
        )
        changed = to_send(here, work.there, known)
        if gone or changed:
            check()
            if RESULT in gone:
                self.objects.remove([f"{place}/{RESULT}"])
            for turn in range(3):
                check()
                self._write(place, work, [name for name in changed if _turn(name) == turn])
            self.objects.remove([f"{place}/{name}" for name in gone if name != RESULT])
            work.there = {name: found for name, found in work.there.items() if name not in gone}
            self.synced.note(place, {name: File(found, here.get(name, 0)) for name, found in work.there.items()})
        self.synced.mark_sent(place)

    def send_file(self, place: str, name: str, there: Files) -> None:
        """Send one file of a cell, and what the cell is where the store does not know it."""
        names = [name, *(["cell.json"] if "cell.json" not in there else [])]
        stamps = {each: stamp(self.root / place / each) for each in names}
        written = self.objects.write({f"{place}/{each}": self.root / place / each for each in names})
        sent = {each: File(written[f"{place}/{each}"], stamps[each]) for each in names if f"{place}/{each}" in written}
        self.synced.note(place, self.synced.files(place) | sent)

    def send_checkpoint(self, place: str, work: OpenCell) -> None:
        """Send the newest checkpoint of a training, and what it is; then older ones go."""
        steps = {name: int(m[1]) for name in names_in(self.root / place) if (m := CHECKPOINT.fullmatch(name))}
        newest = max(steps, key=lambda name: steps[name], default="")
        if not newest or newest in work.there:
            return
        self._write(place, work, [newest, *(["cell.json"] if "cell.json" not in work.there else [])])
        if newest in work.there and place.startswith("training/"):
            older = [name for name in work.there if (m := CHECKPOINT.fullmatch(name)) and int(m[1]) < steps[newest]]
            self.objects.remove([f"{place}/{name}" for name in older])
            for name in older:
                work.there.pop(name, None)

    def _write(self, place: str, work: OpenCell, names: list[str]) -> None:
        written = self.objects.write({f"{place}/{name}": self.root / place / name for name in names})
        work.there = work.there | {name.rpartition("/")[2]: found for name, found in written.items()}


def _turn(name: str) -> int:
    """Return when a file is sent: files before the result that vouches for them, and what needs the result after."""
    return 2 if name in _AFTER_RESULT else 1 if name == RESULT else 0
