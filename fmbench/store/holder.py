"""A process that holds leases: its name, and the heartbeat by which other machines see that it goes on.

The name says on which machine the process runs, as which number, and since when, so that a process of the same machine
sees without any file that it is gone. Clocks are never compared between machines: a heartbeat is a counter.
"""

from __future__ import annotations

import atexit
import hashlib
import itertools
import json
import os
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fmbench.errors import UserError
from fmbench.io.threads import start_thread
from fmbench.store.lease_files import LEASE, LeaseFiles

VARIABLE = "FMBENCH_LEASE_SECONDS"
SECONDS = 60.0
"""A lease lapses when its holder's counter has not changed for so long, by the clock of who looks."""
BEATS = 12
"""The counter changes so often in that time."""
SOON = 1.0
"""Seconds after which a process that holds leases beats for the first time: most leases are shorter."""
MOST_STATED = 20
"""Leases of which a heartbeat says how long they are held."""
JOB_VARIABLES = ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID")
_NAME = re.compile(r"([A-Za-z0-9]{1,40})-([0-9a-f]{10})-(\d{1,10})-(\d{1,20})")
LEASE_NAME = re.compile(r"\.(?:lease|died)-(?P<holder>\w{1,40}-\w{10}-\d{1,10}-\d{1,20})-\d{1,20}(?P<shared>-fleet)?")
"""The whole name of a lease or a death; `shared` where others were computed with it."""
_PROC = Path("/proc")
_numbers = itertools.count(1)
_in_use: set[str] = set()
"""The names of leases that this process asks for or holds, in whatever store."""


class HolderName(NamedTuple):
    """Who a process is, wherever it is looked at from."""

    host: str
    machine: str
    pid: int
    start: int

    def __str__(self) -> str:
        return f"{self.host}-{self.machine}-{self.pid}-{self.start}"

    @classmethod
    def parsed(cls, text: str) -> HolderName | None:
        """Return what a text names, None where that is no holder."""
        found = _NAME.fullmatch(text)
        return found and cls(found[1], found[2], int(found[3]), int(found[4]))

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, where this one sees it."""
        return self.machine == own_name().machine

    def state(self) -> str:
        """Return "running", "stopped", "gone" or "hidden", as that of another user may be, of one that `is_here`."""
        found = _state_and_start(self.pid)
        if found is None:
            return "hidden" if _is_there(self.pid) else "gone"
        if found[1] != self.start or found[0] in "ZX":
            return "gone"
        return "stopped" if found[0] in "Tt" else "running"


def own_name() -> HolderName:
    """Return the name of this process."""
    return _name_of(os.getpid())


@lru_cache(maxsize=4)
def _name_of(pid: int) -> HolderName:
    host = socket.gethostname()
    found = _state_and_start(pid)
    shown = re.sub(r"[^A-Za-z0-9]", "", host.partition(".")[0])[:40] or "host"
    return HolderName(shown, _machine(host), pid, found[1] if found else 0)


def _machine(host: str) -> str:
    """Return what two processes share that see one another's numbers: host, boot and namespace."""
    parts = [host]
    try:
        parts.append((_PROC / "sys/kernel/random/boot_id").read_text())
        parts.append(str((_PROC / "self/ns/pid").stat().st_ino))
    except OSError:  # another system, on which processes have one namespace
        import psutil

        parts.append(str(int(psutil.boot_time()) // 60))
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:10]


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """Return the letter of a process's state and when it began, None where there is none."""
    try:
        after_name = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return after_name[0], int(after_name[19])
    except (OSError, LookupError, ValueError):
        if (_PROC / "self" / "stat").exists():
            return None
    import psutil

    try:
        process = psutil.Process(pid)
        letter = {psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_DEAD: "X", psutil.STATUS_STOPPED: "T"}
        return letter.get(process.status(), "R"), int(process.create_time())
    except psutil.Error:
        return None


def _is_there(pid: int) -> bool:
    """Whether there is a process of that number, though nothing else is told of it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def lease_seconds() -> float:
    """Return how long the counter of a holder may stand still; FMBENCH_LEASE_SECONDS says otherwise."""
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text) if text else SECONDS
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds < 1e6:
        raise UserError(f"{VARIABLE} is a number of seconds, such as 60; found {text!r}")
    return seconds


def _own_clock() -> float:
    """Return seconds that also pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass
class Held:
    """A lease that this process holds: since when, and `steps` of a training.

    `trusted` is the number of pauses at which it was last seen to be there, `after_deaths` says whether processes died
    that held it before, and `wrote` whether the cell got on since.
    """

    name: str
    since: float
    trusted: int
    after_deaths: bool = False
    wrote: bool = False
    steps: float | None = None


class Holder:
    """This process as a holder of the leases of one store. It beats, in a thread of its own, while it holds any.

    `pauses` counts how often it stood still for so long that others may have thought it dead.
    """

    def __init__(self, files: LeaseFiles, seconds: float) -> None:
        self.files, self.seconds = files, seconds
        self.name = str(own_name())
        self.held: dict[str, Held] = {}
        self.pauses = 0
        self._counter = 0
        self._last = _own_clock()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_seen = False
        self._process = os.getpid()

    def next_name(self, *, shared: bool) -> str:
        """Return a name that no lease had before; `shared` says that others are computed with it, as a fleet."""
        name = f"{LEASE}{self.name}-{next(_numbers)}{'-fleet' if shared else ''}"
        _in_use.add(name)
        return name

    def give_up(self, name: str) -> None:
        """Note that a name is not used any more."""
        _in_use.discard(name)

    def is_orphan(self, name: str, holder: str) -> bool:
        """Whether a lease is this process's own, and it knows nothing of it: making or removing it went wrong."""
        return holder == self.name and name not in _in_use

    def add(self, place: str, name: str, *, after_deaths: bool) -> None:
        """Note a lease that is held from now on."""
        with self._lock:
            self._look_at_clock()
            self.held[place] = Held(name, _own_clock(), self.pauses, after_deaths)
            if self._thread is None:
                self._thread = start_thread(self._beat_on, "fmbench-heartbeat")
                atexit.register(self.close)

    def drop(self, place: str) -> None:
        """Note that a lease is held no more."""
        with self._lock:
            self.held.pop(place, None)

    def is_doubtful(self, held: Held) -> bool:
        """Whether this process stood still since the lease was last seen to be there."""
        with self._lock:
            self._look_at_clock()
            return held.trusted != self.pauses

    def close(self) -> None:
        """Remove the heartbeat of a process that holds nothing any more."""
        if os.getpid() == self._process and not self.held:
            with suppress(OSError):
                self._hide()

    def _look_at_clock(self) -> None:
        """Note a pause: others may have thought this process dead. The caller holds the lock."""
        if _own_clock() - self._last > self.seconds / 2:
            self.pauses += 1
            self._last = _own_clock()

    def _beat_on(self) -> None:
        time.sleep(min(SOON, self.seconds / BEATS))
        with suppress(Exception):  # whatever a store raises: nothing depends on it
            self._tidy()
        while True:
            with suppress(Exception):  # whatever a store raises: a heart that is not heard has stopped, see `_last`
                if self.held:
                    self._counter += 1
                    self.files.beat(self.name, self.statement())
                    self._is_seen = True
                else:
                    self._hide()
                with self._lock:
                    self._look_at_clock()
                    self._last = _own_clock()
            time.sleep(self.seconds / BEATS)

    def _tidy(self) -> None:
        """Remove the heartbeats of processes of this machine that are gone: their leases lapse without."""
        for text in self.files.holders():
            name = HolderName.parsed(text)
            if name is not None and name.is_here and name.state() == "gone":
                self.files.forget(text)

    def _hide(self) -> None:
        if self._is_seen:
            self.files.forget(self.name)
            self._is_seen = False

    def statement(self) -> bytes:
        """Return the heartbeat: a counter, and for people what is computed here, and for how long."""
        now = _own_clock()
        with self._lock:
            units = [
                [place, round(now - held.since, 1), None if held.steps is None else round(held.steps)]
                for place, held in self.held.items()
            ]
        job = next((os.environ[name] for name in JOB_VARIABLES if os.environ.get(name)), "")
        body = {"counter": self._counter, "seconds": self.seconds, "host": socket.gethostname(), "pid": os.getpid()}
        return json.dumps({**body, "job": job, "held": len(units), "units": units[:MOST_STATED]}).encode()
