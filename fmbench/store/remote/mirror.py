"""Keeps the folder of a store on this disk and the objects of a store by URL alike, cell by cell.

What others finished is fetched before a cell is looked at: small files at once, weights and samples when they are read.
Who works on a cell holds it (`working`): the objects are looked at once more before, and what changed is sent after,
the files first, `result.json` then, and the rest last. While a cell is held it is marked, so that what could not be
sent is sent by the next run. Without the mark the objects are the truth, and the folder is a copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from fmbench.errors import LeaseLost, StoreError
from fmbench.io.file_lock import StoppedWaiting, never_wait
from fmbench.io.whole_files import write_whole
from fmbench.store.checkpoints import NAME as CHECKPOINT
from fmbench.store.remote.differences import RESULT, Files, is_alike, is_own, is_small, of_cell, same
from fmbench.store.remote.lazy_file import LazyFile
from fmbench.store.remote.lease_objects import LeaseObjects
from fmbench.store.remote.objects import Objects
from fmbench.store.remote.shared_files import SHARED, SharedFiles
from fmbench.store.remote.synced import File, Synced, cached
from fmbench.store.remote.transfer import OpenCell, Transfer

MARK = "fmbench-store.json"
FEW = 32
"""Of so many cells at most each folder is listed, of more their whole sections."""
CELLS_AT_ONCE = 64


class Mirror:
    """The folder `root` and the objects of one store; `synced` is the folder of what was alike, see `Synced`."""

    def __init__(self, objects: Objects, root: Path, synced: Path) -> None:
        self.objects, self.root, self.synced = objects, root, Synced(synced)
        self.leases = LeaseObjects(objects)
        self.shared = {folder: SharedFiles(objects, root, self.synced, folder) for folder in SHARED}
        self._transfer = Transfer(objects, root, self.synced)
        self._seen: dict[str, Files] = {}
        self._sections: dict[str, dict[str, Files]] = {}
        self._working: dict[str, OpenCell] = {}
        self._aside = ThreadPoolExecutor(1, "fmbench-store")
        # begun now: a component is blamed for threads that are new after it has run
        self._aside.submit(lambda: None).result()
        objects.begin_threads()

    def look_at_root(self) -> None:
        """See that the store answers; have its mark here, where it has one."""
        if MARK not in self.objects.look():
            (self.root / MARK).unlink(missing_ok=True)
        elif content := self.objects.read([MARK]).get(MARK):
            with cached(self.root / MARK):
                write_whole(self.root / MARK, content, flush=False)

    def send_mark(self) -> None:
        """Send the mark that tells a store from other places."""
        self.objects.write({MARK: self.root / MARK})

    def look_anew(self) -> None:
        """Forget what was seen, so that the next look at a cell asks the store again."""
        self._seen.clear()
        self._sections.clear()

    def keys(self, section: str) -> set[str]:
        """Return the names of the folders that a section has among the objects."""
        return set(self._section(section))

    def look(self, place: str) -> None:
        """Have what the store holds of a cell here, its small files: asked once, until `look_anew`."""
        if place not in self._seen and place not in self._working:
            self.pull([place])

    def pull(self, places: Iterable[str], *, whole: bool = False) -> None:
        """Have what the store holds of cells here: their small files, or all of them where they are wanted `whole`."""
        wanted = [place for place in dict.fromkeys(places) if place not in self._working]
        listed = self._listed(wanted)
        self._seen |= listed
        differing = [place for place in wanted if not self._is_alike(place, listed[place], whole)]
        for first in range(0, len(differing), CELLS_AT_ONCE):
            with contextlib.ExitStack() as locks:
                free = [place for place in differing[first : first + CELLS_AT_ONCE] if self._is_free(place, locks)]
                self._transfer.fetch({place: listed[place] for place in free}, whole=whole)

    def fetch(self, place: str, name: str) -> bool:
        """Have a file of a cell here; return whether the store has it."""
        path = self.root / place / name
        if path.is_file():
            return True
        self.look(place)
        known = self.synced.files(place)
        if name not in known or not self.objects.fetch(f"{place}/{name}", path):
            return path.is_file()
        if place not in self._working:  # there, what was alike is noted in the end
            with contextlib.suppress(FileNotFoundError):
                self.synced.note(place, {**known, name: File(known[name].object, path.stat().st_mtime_ns)})
        return True

    def fetch_again(self, place: str, name: str) -> bool:
        """Have a file of a cell here anew, since the one that is here is not what was written; return whether it is."""
        if place in self._working and (self._working[place].discarded or name not in self._working[place].there):
            return False
        with contextlib.suppress(OSError):
            (self.root / place / name).unlink()
        return self.fetch(place, name)

    def status(self, place: str) -> Files:
        """Return the objects of a cell as they were last seen."""
        self.look(place)
        if place in self._working:
            return self._working[place].there
        return self._seen[place]

    def file(self, place: str, name: str) -> Path:
        """Return the path of a cell's file, which is fetched when it is opened."""
        path = self.root / place / name
        return path if path.exists() else LazyFile(path, lambda: self.fetch(place, name))

    @contextmanager
    def working(self, place: str, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Work on a cell: what the store has of it is here before, and what changed is there after.

        `check` is asked before something is sent, and raises LeaseLost where another took the cell over.
        """
        with self.synced.lock(place):
            there = of_cell(self.leases.listed(place))
            if not self.synced.is_unsent(place) or self._is_outdated(place, there):
                self._transfer.fetch({place: there})
            self.synced.mark_unsent(place)
            with cached(folder := self.root / place):
                folder.mkdir(parents=True, exist_ok=True)
            work = self._working[place] = OpenCell(there)
            try:
                yield
            except (StoreError, LeaseLost, KeyboardInterrupt):  # the store is not asked again; what another has is its
                raise
            except BaseException:  # one that makes room for others, too: what it saved serves who goes on
                self._send(place, work, check)
                raise
            else:
                self._send(place, work, check)
            finally:
                del self._working[place]
                with contextlib.suppress(OSError):  # it holds something
                    folder.rmdir()

    def changed(self, place: str, name: str) -> None:
        """Send a file that was written by somebody who does not work on the cell; who does sends it in the end.

        Nothing else of the cell is sent or removed: another machine may work on it at this moment.
        """
        if place in self._working:
            return
        with contextlib.suppress(StoppedWaiting), self.synced.lock(place, never_wait):  # else its holder sends it
            was_unsent = self.synced.is_unsent(place)
            self.synced.mark_unsent(place)
            self._transfer.send_file(place, name, of_cell(self.objects.list(place)))
            if not was_unsent:
                self.synced.mark_sent(place)
            self._seen.pop(place, None)
            self._sections.pop(place.partition("/")[0], None)

    def discarded(self, place: str) -> None:
        """Note that all that was known of a cell goes; its objects, too, when the work is sent."""
        if place in self._working:
            self._working[place].discarded = True
        else:
            self.drop(place, filter(is_own, self.status(place)))

    def remove(self, place: str) -> None:
        """Remove all objects of a cell that are of fmbench."""
        self.drop(place, filter(is_own, self.objects.list(place)))
        self.synced.mark_sent(place)

    def drop(self, place: str, names: Iterable[str]) -> None:
        """Remove objects of a cell now; the one that vouches for the others goes first."""
        gone = sorted(names, key=lambda name: name != RESULT)
        if RESULT in gone:
            self.objects.remove([f"{place}/{RESULT}"])
        self.objects.remove([f"{place}/{name}" for name in gone if name != RESULT])
        self.synced.note(place, {n: file for n, file in self.synced.files(place).items() if n not in gone})
        if place in self._working:
            work = self._working[place]
            work.there = {name: found for name, found in work.there.items() if name not in gone}
        self._seen.pop(place, None)
        self._sections.pop(place.partition("/")[0], None)

    def send_checkpoint(self, place: str) -> None:
        """Send the newest checkpoint of a cell that is worked on, aside, so that the training goes on meanwhile."""
        work = self._working.get(place)
        if work is None:
            return
        self._settle(work, wait=False)
        if not work.sending:
            work.sending.append(self._aside.submit(self._transfer.send_checkpoint, place, work))

    def checkpoints_dropped(self, place: str) -> None:
        """Remove a cell's checkpoints from the objects: now, or when the work on the cell is sent with its result."""
        if place in self._working:
            self._working[place].checkpoints_dropped = True
        elif names := [name for name in self.status(place) if CHECKPOINT.fullmatch(name)]:
            self.drop(place, names)

    def send_left(self, folder_lock: Callable[[str], contextlib.AbstractContextManager[None]]) -> int:
        """Send what earlier runs could not; return of how many cells. `folder_lock` takes a cell by its place."""
        sent = 0
        for place in list(self.synced.unsent()):
            with contextlib.suppress(StoppedWaiting), folder_lock(place):
                sent += 1
        return sent

    def _section(self, section: str) -> dict[str, Files]:
        if section not in self._sections:
            cells: dict[str, Files] = {}
            for path, found in self.objects.list(section).items():
                key, _, name = path.partition("/")
                cells.setdefault(key, {})[name] = found
            found_files = ((key, of_cell(files)) for key, files in cells.items())
            self._sections[section] = {key: files for key, files in found_files if files}
        return self._sections[section]

    def _listed(self, places: Sequence[str]) -> dict[str, Files]:
        """Return the objects of cells: of their sections' listings, or of their own where they are few."""
        if len(places) <= FEW:
            return {place: of_cell(files) for place, files in self.objects.list_each(places).items()}
        split = {place: place.partition("/") for place in places}
        return {place: self._section(section).get(key, {}) for place, (section, _, key) in split.items()}

    def _is_alike(self, place: str, there: Files, whole: bool) -> bool:
        """Whether a cell's folder is as its objects, as far as it must be; one that may hold more is left as it is."""
        if self.synced.is_unsent(place):
            return True
        known = self.synced.files(place)
        if known.keys() != there.keys() or not all(same(known[name].object, found) for name, found in there.items()):
            return False
        folder, needed = self.root / place, [name for name in there if whole or is_small(name)]
        return all(is_alike(folder / name, there[name], known[name]) for name in needed)

    def _is_free(self, place: str, locks: contextlib.ExitStack) -> bool:
        """Hold a cell's folder, if nobody works on it here; who does looks at the objects by himself."""
        try:
            locks.enter_context(self.synced.lock(place, never_wait))
        except StoppedWaiting:
            return False
        return not self.synced.is_unsent(place)

    def _is_outdated(self, place: str, there: Files) -> bool:
        """Whether what could not be sent of a cell was computed elsewhere meanwhile."""
        known = self.synced.files(place).get(RESULT)
        return RESULT in there and (known is None or not same(known.object, there[RESULT]))

    def _settle(self, work: OpenCell, *, wait: bool = True) -> None:
        """Wait for what is sent aside, or see only what was. Raises StoreError where it could not be sent."""
        for each in [each for each in work.sending if wait or each.done()]:
            work.sending.remove(each)
            each.result()

    def _send(self, place: str, work: OpenCell, check: Callable[[], None] = lambda: None) -> None:
        self._settle(work)
        self._transfer.send(place, work, check)
        self._seen[place] = work.there
        self._sections.pop(place.partition("/")[0], None)
