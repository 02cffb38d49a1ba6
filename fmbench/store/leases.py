"""Leases: who works on a cell, on whatever machine, and what becomes of a cell whose worker is gone.

A lease is an empty file in the cell's folder, `.lease-<holder>-<number>`, of a name that none had before. Who wants the
cell makes one, and looks then: where another's is there, the own one is withdrawn; where not, the cell is held. Of two
that ask at once at least one sees the other. A release removes the file. Where a holder is gone, its lease is renamed
to `.died-<holder>-<number>`: nothing else can be meant by that, and it counts that the cell's process died.

A holder is gone where it ran on this machine and there is no such process any more; and else where its heartbeat's
counter stood still for a minute of the own clock. One that was only stopped sees that before it writes (`check`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fmbench.errors import DamagedFile, LeaseLost
from fmbench.io.file_lock import StoppedWaiting
from fmbench.io.json_forms import parsed
from fmbench.store.holder import BEATS, LEASE_NAME, Holder, HolderName, lease_seconds
from fmbench.store.lease_files import DIED, LEASE, FolderLeaseFiles, LeaseFiles

PAUSES = (0.001, 0.002, 0.004, 0.008)
"""Seconds between looks of the one who may stay where several ask at once: the others withdraw meanwhile."""
FIRST_POLL, LAST_POLL = 0.005, 0.5
"""Seconds between two looks at a cell that is waited for; they grow."""


class Deaths(NamedTuple):
    """On which machines processes died that computed a cell: alone, and with others, of which any may be to blame."""

    alone: tuple[str, ...]
    shared: tuple[str, ...]


@dataclass
class _Watched:
    counter: int | None
    looked: float
    still: float = 0.0


class HolderWatch:
    """Tells which holders are gone, by what it has seen of their heartbeats so far."""

    def __init__(self, files: LeaseFiles, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._files, self._seconds, self._clock = files, seconds, clock
        self._seen: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def is_gone(self, holder: str) -> bool:
        """Whether a holder is gone. One of another machine is watched: it takes several looks until it is."""
        name = HolderName.parsed(holder)
        if name is not None and name.is_here:
            state = name.state()
            if state in ("running", "gone"):
                self._seen.pop(holder, None)
                return state == "gone"
        counter, seconds = self._heartbeat(holder)
        with self._lock:
            now, seen = self._clock(), self._seen.get(holder)
            if seen is None or (counter is not None and counter != seen.counter):
                self._seen[holder] = _Watched(counter, now)
                return False
            # a look after a long time counts little: whoever looks may have stood still, together with the holder
            seen.still += min(now - seen.looked, 2 * seconds / BEATS)
            seen.looked = now
            return seen.still >= seconds

    def _heartbeat(self, holder: str) -> tuple[int | None, float]:
        """Return a holder's counter, None where there is none, and after how long it lapses."""
        try:
            body = parsed(self._files.heartbeat(holder) or b"")
            return int(body["counter"]), max(0.1, float(body["seconds"]))
        except (OSError, ValueError, TypeError, LookupError, OverflowError, DamagedFile):
            return None, self._seconds


class Leases:
    """The leases of one store, as this process takes and sees them. A `place` is a section and key, "training/abc"."""

    def __init__(self, files: LeaseFiles, seconds: float | None = None) -> None:
        self.files = files
        self.seconds = lease_seconds() if seconds is None else seconds
        self.watch = HolderWatch(files, self.seconds)
        self.holder = Holder(files, self.seconds)
        self._known: dict[str, set[str]] = {}
        self._has_ended = False

    @contextmanager
    def held(self, place: str, goes_on: Callable[[], bool] = lambda: True, *, shared: bool = False) -> Iterator[None]:
        """Hold the lease of a place; waits as long as `goes_on()` holds, and then raises StoppedWaiting.

        `shared` says that others are computed with it, as a fleet. Raises OSError where no file can be made there.
        """
        pause = FIRST_POLL
        while not (name := self.take(place, shared=shared)):
            if not goes_on():
                raise StoppedWaiting(place)
            time.sleep(pause)
            pause = min(LAST_POLL, pause * 1.5)
        try:
            yield
        finally:
            self.release(place, name)

    def take(self, place: str, *, shared: bool = False) -> str:
        """Take the lease of a place, and return its name; "" where another has it, in this process or elsewhere."""
        if self._has_ended or (self._known.get(place) and self.others(place)):
            return ""
        own = self.holder.next_name(shared=shared)
        try:
            while not self.files.create(place, own):
                self.holder.give_up(own)
                own = self.holder.next_name(shared=shared)
            for pause in (*PAUSES, None):
                names = self.files.names(place)
                others = self._living(place, (name for name in names if name != own))
                if own not in names:  # this process stood still, and another thought it dead
                    break
                if not others:
                    self._known.pop(place, None)
                    self.holder.add(place, own, after_deaths=len(names) > 1)
                    return own
                if pause is None or own > min(others) or others & self._known.get(place, set()):
                    self._known[place] = others
                    break
                time.sleep(pause)
        except BaseException:
            self._withdraw(place, own)
            raise
        self._withdraw(place, own)
        return ""

    def release(self, place: str, name: str) -> None:
        """Give a lease back. What died of the cell before counts no more, if something was written since."""
        held = self.holder.held.get(place)
        if held is None or held.name != name:
            return
        try:
            if held.wrote:
                self.clear_deaths(place)
        finally:
            self.holder.drop(place)
            self._withdraw(place, name)

    def _withdraw(self, place: str, name: str) -> None:
        """Remove a lease of this process. Where that goes wrong, the next look at the place does it."""
        self.holder.give_up(name)
        with suppress(OSError):
            self.files.remove(place, name)

    def release_all(self) -> None:
        """Give back all leases of this process, which is about to end: that is no death.

        What another thread of it still computes is not written, and no lease is taken any more.
        """
        self._has_ended = True
        for place, held in list(self.holder.held.items()):
            self.release(place, held.name)
        self.holder.close()

    def check(self, place: str) -> None:
        """Raise LeaseLost where this process held the lease of a place, and stood still, and another has taken it.

        Costs nothing where it did not stand still. A process that is about to end has none, see `release_all`.
        """
        held = self.holder.held.get(place)
        if self._has_ended:
            raise LeaseLost(f"{place}: this process is about to end, and has given its leases back")
        if held is None or not self.holder.is_doubtful(held):
            return
        if held.name not in self.files.names(place):
            raise LeaseLost(
                f"{place}: this process stood still for so long that others took it for dead; what it computed of it "
                "is not kept"
            )
        held.trusted = self.holder.pauses

    def wrote(self, place: str) -> None:
        """Note that the cell got on: what died before is not its fault."""
        if (held := self.holder.held.get(place)) is not None:
            held.wrote = True

    def advance(self, places: Sequence[str], steps: int) -> None:
        """Note that trainings, as one fleet, were trained so many steps more, added up, for the heartbeat."""
        for place in places:
            if (held := self.holder.held.get(place)) is not None:
                held.steps = (held.steps or 0.0) + steps / len(places)

    def others(self, place: str) -> set[str]:
        """Return the leases of a place that others hold; those of the dead become deaths."""
        held = self.holder.held.get(place)
        own = held.name if held else ""
        return self._living(place, (name for name in self.files.names(place) if name != own))

    def holders(self, place: str) -> list[str]:
        """Return who holds the lease of a place, but for this process: "node7, process 4242"."""
        return [said_of(name) for name in sorted(self.others(place))]

    def deaths(self, place: str) -> Deaths:
        """Return where processes died that held the lease of a place, since the cell last got on."""
        held = self.holder.held.get(place)
        if held is not None and not held.after_deaths:
            return Deaths((), ())
        found = [LEASE_NAME.fullmatch(name) for name in self.files.names(place) if name.startswith(DIED)]
        hosts = [(match["holder"].partition("-")[0], bool(match["shared"])) for match in found if match]
        alone, shared = ([host for host, with_others in hosts if with_others is want] for want in (False, True))
        return Deaths(tuple(sorted(alone)), tuple(sorted(shared)))

    def clear_deaths(self, place: str) -> None:
        """Forget that processes died. The caller holds the lease."""
        held = self.holder.held.get(place)
        if held is not None and held.after_deaths:
            for name in self.files.names(place):
                if name.startswith(DIED):
                    self.files.remove(place, name)
            held.after_deaths = False

    def _living(self, place: str, names: Iterable[str]) -> set[str]:
        """Return those of some names that are leases of the living; those of the dead become deaths."""
        found = set()
        for name in names:
            match = LEASE_NAME.fullmatch(name) if name.startswith(LEASE) else None
            if match is None:
                continue
            if self.holder.is_orphan(name, match["holder"]):
                self.files.remove(place, name)
            elif self.watch.is_gone(match["holder"]):
                self.files.move(place, name, DIED + name.removeprefix(LEASE))
            else:
                found.add(name)
        return found


def said_of(lease: str) -> str:
    """Say for people whose a lease is: "node7, process 4242"."""
    found = LEASE_NAME.fullmatch(lease)
    holder = HolderName.parsed(found["holder"]) if found else None
    return f"{holder.host}, process {holder.pid}" if holder else lease


_of_process: dict[tuple[int, str], Leases] = {}
_lock = threading.Lock()


def leases_of(files: LeaseFiles) -> Leases:
    """Return this process's leases of a store: all that ask for those of one store are given the same."""
    with _lock:
        key = (os.getpid(), files.where)
        if key not in _of_process:
            _of_process[key] = Leases(files)
        return _of_process[key]


def leases_in(root: Path) -> Leases:
    """Return this process's leases of a store that is a folder."""
    return leases_of(FolderLeaseFiles(root))


def release_all() -> None:
    """Give back all leases of this process, in whatever store, for it is about to end: that is no death."""
    for (process, _), leases in list(_of_process.items()):
        if process == os.getpid():
            leases.release_all()
