"""The folder of one cell: its key's parts, files, result, failure and lease."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import stat
from collections.abc import Container, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from fmbench.errors import DamagedFile, StoreError
from fmbench.io.file_lock import StoppedWaiting
from fmbench.io.json_forms import OBJECT, Form, fitted
from fmbench.io.regular_files import kind_of, set_aside, size_and_sum
from fmbench.store.atomic_files import (
    Reading,
    content,
    explained,
    read_sealed,
    sealed_bytes,
    write_atomically,
)
from fmbench.store.checkpoints import NAME, Checkpoints
from fmbench.store.file_forms import CELL, FAILURE, HISTORY, METRICS, RESULT, RESULTS
from fmbench.store.group_commit import GroupCommit
from fmbench.store.holder import LEASE_NAME
from fmbench.store.lease_files import LEASE
from fmbench.store.leases import Leases, leases_in
from fmbench.store.mirrored import CellMirror

_HASH_LIMIT = 64 * 2**20
"""A larger file is only checked for its size when the store is scanned, and hashed when it is read."""
SEALED = ("cell.json", "metrics.json", "result.json", "failure.json")
"""The files of a cell that carry their own checksum and name their place."""
CELL_FILE = re.compile(
    rf"(cell|result|failure|metrics|history|alone)\.json|(weights|study|portrait|samples)\.safetensors|{NAME.pattern}"
    rf"|{LEASE_NAME.pattern}|\.lock|\.filelock-probe-[0-9a-f]+|\.\S+\.\d+\.tmp"
)
"""What fmbench itself writes into a cell's folder, and its lock in earlier versions: nothing else is ever removed."""
log = logging.getLogger(__name__)


class CellFolder:
    """One cell on disk. `place` is its section and key, "training/abc": what its files say that they belong to.

    With a `group` its files are written together with those of other cells. Who reads one that waits for the disk has
    the group committed first. In a store by URL, the `mirror` has the files here before they are read, and sends those
    that are written.
    """

    def __init__(
        self,
        path: Path,
        place: str = "",
        leases: Leases | None = None,
        group: GroupCommit | None = None,
        mirror: CellMirror | None = None,
    ) -> None:
        self.path = path
        self.place = place or f"{path.parent.name}/{path.name}"
        self.leases = leases or leases_in(path.parent.parent)
        self.mirror = mirror
        self._group = group
        self._sums: dict[str, list[int | str]] = {}

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of a training."""
        return Checkpoints(self.path, self.place, self._getting_on, self.mirror)

    @property
    def section(self) -> str:
        """The section of the store that the cell belongs to."""
        return self.place.partition("/")[0]

    def is_there(self) -> bool:
        """Whether anything lies in its place: one look, where to ask for each of its files takes many."""
        if self.mirror is not None:
            self.mirror.look(self.place)
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # who reads a file of it says what is wrong
        return True

    def sealed(self, name: str, form: Form = OBJECT) -> dict[str, Any] | None:
        """Return the content of one of SEALED, None where it is not there. Raises DamagedFile."""
        if self.mirror is not None:
            self.mirror.look(self.place)
        return read_sealed(self._settled(name), form, f"{self.place}/{name}")

    def seal(self, name: str, body: Mapping[str, Any]) -> None:
        """Write one of SEALED. Raises LeaseLost where another took over what this process computed."""
        if name in ("result.json", "metrics.json"):
            self._getting_on()
        elif name != "cell.json":
            self.leases.check(self.place)
        self._write(name, sealed_bytes(body, f"{self.place}/{name}"))
        if self.mirror is not None:
            self.mirror.changed(self.place, name)

    def _getting_on(self) -> None:
        """See that this process may write still, and that what died of the cell before counts no more."""
        self.leases.check(self.place)
        self.leases.wrote(self.place)

    def begin(self, parts: Mapping[str, Any]) -> None:
        """Write down what the cell is (see `TrainingCell.parts`), once."""
        if not self._settled("cell.json").exists():
            self.seal("cell.json", parts)

    def cell(self) -> dict[str, Any] | None:
        """Return what `begin` wrote, or None."""
        return self.sealed("cell.json", CELL)

    def write(self, name: str, payload: bytes) -> None:
        """Write a file that `finish` will vouch for."""
        self._write(name, payload)
        self._sums[name] = [len(payload), hashlib.sha256(payload).hexdigest()]

    def _write(self, name: str, payload: bytes) -> None:
        if self._group is None:
            write_atomically(self.path / name, payload)
        else:
            self._group.write(self.path / name, payload)

    def _settled(self, name: str) -> Path:
        """Return the path of a file, which has its name if it was written at all."""
        path = self.path / name
        if self._group is not None and self._group.holds(path):
            self._group.commit()
        return path

    def finish(self, result: Mapping[str, Any], files: tuple[str, ...]) -> None:
        """Declare the cell done: checksums of `files` and the result, in one file; checkpoints and failures go."""
        self.finish_with(self.vouched(result, files))

    def vouched(self, result: Mapping[str, Any], files: tuple[str, ...]) -> dict[str, Any]:
        """Return a result with the checksums of files: what `finish_with` declares."""
        sums = {name: self._sums.get(name) or list(size_and_sum(self._settled(name))) for name in files}
        return {**result, "files": sums}

    def finish_with(self, body: Mapping[str, Any]) -> None:
        """Declare the cell done with what `vouched` returned; checkpoints and failures go."""
        self.seal("result.json", body)
        self.checkpoints.drop()
        (self.path / "failure.json").unlink(missing_ok=True)

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Add facts to the result of a cell that is done. The caller holds the cell's lock."""
        if (result := self.recorded()) is not None:
            self.seal("result.json", {**result, "facts": {**result.get("facts", {}), **facts}})

    def has(self, name: str) -> bool:
        """Whether the cell has a file of this name, whole or not."""
        return (self.path / name).exists() or (self.mirror is not None and name in self.mirror.status(self.place))

    def file(self, name: str) -> Path:
        """Return the path of a file of the cell; in a store by URL it is fetched when it is opened."""
        return self.path / name if self.mirror is None else self.mirror.file(self.place, name)

    def touched(self) -> float:
        """Return when the cell was last changed (seconds since the epoch). Raises OSError."""
        if self.mirror is not None:
            return max((file.modified for file in self.mirror.status(self.place).values()), default=0.0)
        return self.path.stat().st_mtime

    def result(self, *, thorough: bool = False) -> dict[str, Any] | None:
        """Return the result when the cell is done and whole, None when it is not done.

        Raises DamagedFile when a file is missing or does not have the checksum on record; with `thorough`, large files
        are read for that, too.
        """
        result = self.recorded()
        for name, recorded in (result or {}).get("files", {}).items():
            self._verify_or_fetch(name, recorded, thorough=thorough or recorded[0] <= _HASH_LIMIT)
        if result is not None and "history.json" in result["files"]:
            self.history()
        return result

    def recorded(self) -> dict[str, Any] | None:
        """Return the result of a cell that is done, without a look at the files that it vouches for."""
        return self.sealed("result.json", RESULTS.get(self.section, RESULT))

    def history(self) -> list[tuple[int, float]]:
        """Return the steps and losses of a finished training."""
        file = self._settled("history.json")
        return [(step, loss) for step, loss in fitted(content(file), HISTORY, file)]

    def check(self) -> None:
        """Raise DamagedFile when anything in the folder is not what was written."""
        if self.mirror is not None:
            self.mirror.look(self.place)
        if any(not entry.name.startswith(".") for entry in self._entries()):  # one look, where most cells are new
            self.cell(), self.result(), self.failure(), self.metrics()

    def read(self, name: str) -> bytes:
        """Return the content of a file of a finished cell, after checking it against the record."""
        recorded = (self.recorded() or {}).get("files", {}).get(name)
        if recorded is None:
            raise DamagedFile(f"{self.path / name} is not on record")
        if self.mirror is not None:
            self.mirror.fetch(self.place, name)
        try:
            payload = self._read(name, recorded)
        except DamagedFile:
            if self.mirror is None or not self.mirror.fetch_again(self.place, name):
                raise
            payload = self._read(name, recorded)
        return payload

    def _read(self, name: str, recorded: list[Any]) -> bytes:
        try:
            payload = content(self._settled(name), recorded[0])
        except FileNotFoundError as error:
            raise DamagedFile(f"{self.path / name} is missing") from error
        if [len(payload), hashlib.sha256(payload).hexdigest()] != recorded:
            raise DamagedFile(f"{self.path / name} does not have the checksum on record")
        return payload

    def _verify_or_fetch(self, name: str, recorded: list[Any], *, thorough: bool) -> None:
        """Verify a file; in a store by URL the one that is here may be damaged, and the store's own whole."""
        try:
            self._verify(name, recorded, thorough=thorough)
        except DamagedFile:
            if self.mirror is None or not self.mirror.fetch_again(self.place, name):
                raise
            self._verify(name, recorded, thorough=thorough)

    def _verify(self, name: str, recorded: list[Any], *, thorough: bool) -> None:
        path = self._settled(name)
        if self.mirror is not None and not path.exists():  # as a large file, it is hashed when it is read
            there = self.mirror.status(self.place).get(name)
            if there is None or there.size != recorded[0]:
                raise DamagedFile(f"{path} is missing" if there is None else f"{path} has not the size on record")
            return
        try:
            with Reading(path):
                same = path.stat().st_size == recorded[0] and (not thorough or list(size_and_sum(path)) == recorded)
        except FileNotFoundError as error:
            raise DamagedFile(f"{path} is missing") from error
        if not same:
            raise DamagedFile(f"{path} does not have the checksum on record")

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return the metrics computed so far: digest of the metric -> {"name", "values", "identity", "seconds"}."""
        return self.sealed("metrics.json", METRICS) or {}

    def add_metrics(self, computed: Mapping[str, Mapping[str, Any]]) -> None:
        """Add metrics by digest. The caller holds the cell's lease."""
        self.set_metrics({**self.metrics(), **computed})

    def set_metrics(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        """Put these metrics in place of all that are there. The caller holds the cell's lease."""
        self.seal("metrics.json", metrics)

    def failure(self) -> dict[str, Any] | None:
        """Return {"status", "error", "traceback"} when the cell failed and was not computed since."""
        return self.sealed("failure.json", FAILURE)

    def fail(self, status: str, error: str, traceback: str = "") -> None:
        """Record that the cell failed; a checkpoint of it, if there is one, stays for a retry."""
        self.seal("failure.json", {"status": status, "error": error, "traceback": traceback})

    def leave_fleet(self) -> None:
        """Note that the cell trains alone from now on, for its fleet failed as a whole: also after a restart."""
        self.seal("alone.json", {})

    def has_left_fleet(self) -> bool:
        """Whether the cell's fleet failed as a whole."""
        return self.has("alone.json")

    def clear_failures(self, statuses: Container[str] | None = None) -> None:
        """Forget a failure, failed metrics and deaths, so that all is computed again; a diverged training starts anew.

        With `statuses`, only what failed with one of these. The caller holds the cell's lease.
        """
        self.leases.clear_deaths(self.place)
        failure = self.failure()
        if failure and (statuses is None or failure["status"] in statuses):
            if failure["status"] == "diverged":
                self.checkpoints.drop()
            for name in ("failure.json", "alone.json"):
                (self.path / name).unlink(missing_ok=True)
                if self.mirror is not None and name in self.mirror.status(self.place):
                    self.mirror.drop(self.place, [name])
        metrics = self.metrics()
        failed = {digest: str(entry["status"]) for digest, entry in metrics.items() if "error" in entry}
        again = {digest for digest, status in failed.items() if statuses is None or status in statuses}
        if again:
            self.set_metrics({digest: entry for digest, entry in metrics.items() if digest not in again})

    def discard(self) -> None:
        """Remove all that is known of the cell but its leases, for it is damaged. What fmbench did not write stays."""
        if self._group is not None:
            self._group.forget(self.path)
        self._sums.clear()
        with explained(self.path):
            for entry in self._entries():
                if LEASE_NAME.fullmatch(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if CELL_FILE.fullmatch(entry.name):  # it stands where a file must be written
                        set_aside(Path(entry.path))
                elif CELL_FILE.fullmatch(entry.name):
                    Path(entry.path).unlink()
        if self.mirror is not None:
            self.mirror.discarded(self.place)

    def strange(self) -> str:
        """Say why the folder is not one that `remove` removes, "" where it is: a folder with files of a cell alone, or
        none any more.
        """
        if self.mirror is not None:
            others = [name for name in self.mirror.status(self.place) if not CELL_FILE.fullmatch(name)]
            return f"holds {others[0]!r}, which is not of fmbench" if others else ""
        try:
            mode = self.path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                return "is a link" if stat.S_ISLNK(mode) else f"is {kind_of(mode)}"
            others = [e.name for e in self._entries() if not CELL_FILE.fullmatch(e.name) or e.is_dir()]
        except FileNotFoundError:  # somebody has removed it meanwhile
            return ""
        except OSError as error:
            return f"cannot be looked into: {error.strerror}"
        return f"holds {others[0]!r}, which is not of fmbench" if others else ""

    def remove(self) -> None:
        """Remove the folder, if it is there. Raises StoreError where it is `strange`, StoppedWaiting where it is worked
        on.
        """
        if not self.is_there():
            return
        if why := self.strange():
            raise StoreError(f"{self.path} {why}, so it is not removed")
        with explained(self.path):
            if not (lease := self.leases.take(self.place)):
                raise StoppedWaiting(self.path)
            try:
                if self.mirror is not None:
                    self.mirror.remove(self.place)
                for entry in self._entries():
                    if not entry.name.startswith(LEASE):  # of who asks for the cell at this moment
                        Path(entry.path).unlink(missing_ok=True)
            finally:
                self.leases.release(self.place, lease)
            try:
                self.path.rmdir()
            except OSError as error:  # somebody has begun the cell anew, or removed it
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise

    def size(self) -> int:
        """Return the bytes that the folder takes; links are not followed."""
        if self.mirror is not None:
            return sum(file.size for file in self.mirror.status(self.place).values())
        return sum(entry.stat(follow_symlinks=False).st_size for entry in self._entries())

    def _entries(self) -> list[os.DirEntry[str]]:
        """Return what lies in the folder; nothing where there is none."""
        try:
            with os.scandir(self.path) as entries:
                return list(entries)
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
        """Hold the cell's lease: wait until no other process, on whatever machine, works on it. Makes the folder.

        `shared` says that other cells are computed with it, as a fleet. Raises StoppedWaiting where another works on
        it, and it is not to be waited for.
        """
        with contextlib.ExitStack() as stack:
            with explained(self.path):
                lease = partial(self.leases.held, self.place, lambda: wait, shared=shared)
                try:
                    stack.enter_context(lease())
                except OSError:
                    if not self._make_way():
                        raise
                    stack.enter_context(lease())
            if self.mirror is not None:
                stack.enter_context(self.mirror.working(self.place, partial(self.leases.check, self.place)))
            yield

    def _make_way(self) -> bool:
        """Give another name to what stands where the folder must be: a file, a link to none, a folder without entry.
        Return whether there was such a thing.

        A folder that somebody removes and makes anew at this moment is none of these: what is judged must be the same
        before and after.
        """
        try:
            before = os.lstat(self.path)
            usable = self.path.is_dir() and os.access(self.path, os.R_OK | os.X_OK)
            after = os.lstat(self.path)
        except FileNotFoundError:
            return False
        if usable or not os.path.samestat(before, after) or before.st_ctime_ns != after.st_ctime_ns:
            return False
        log.warning("%s is no folder that can be used; it is now called %s", self.path, set_aside(self.path).name)
        return True
