"""The store: finished and half-finished cells on disk, by key. It is the truth; MLflow and reports are made from it.

```
<root>/training/<key>/    cell.json  weights.safetensors  history.json  metrics.json  result.json
<root>/study/<key>/       cell.json  study.safetensors  result.json
<root>/portrait/<key>/    cell.json  portrait.safetensors  result.json
<root>/evaluation/<key>/  cell.json  samples.safetensors  metrics.json  result.json
<root>/sampler/<key>/     cell.json  metrics.json  result.json
```

`result.json` is written last and holds the checksum of every file beside it; JSON files carry their own, which is made
over their place in the store, too: a file or a folder that was copied or moved to another cell's place is damaged, and
so is what an earlier fmbench wrote, which named no place. Each file is written to a temporary name, flushed and
renamed. A failed cell has `failure.json` in place of `result.json`, and a training under way has
`checkpoint-<step>-<checksum>.pt`. One process at a time works on a cell: the one that holds its lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fmbench.cells import canonical
from fmbench.errors import DamagedFile, EarlierFile, StoreError
from fmbench.files import (
    MOST_BYTES,
    NotRegularError,
    blocks_of,
    is_folder,
    kind_of,
    open_lock,
    open_regular,
    read_regular,
    set_aside,
    size_and_sum,
    why_no_folder,
)
from fmbench.forms import OBJECT, Form, check, fitted, parsed
from fmbench.stored_forms import CELL, FAILURE, HISTORY, METRICS, RESULT, RESULTS, is_key
from fmbench.texts import encodable

log = logging.getLogger(__name__)

SECTIONS = ("training", "study", "portrait", "evaluation", "sampler", "floor", "oracle")
SEALED = ("cell.json", "metrics.json", "result.json", "failure.json")
"""The files of a cell that carry their own checksum and name their place."""
_HASH_LIMIT = (
    64 * 2**20
)  # a larger file is only checked for its size when the store is scanned, and hashed when it is read
_CHECKPOINT = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.pt")
_CELL_FILE = re.compile(
    rf"(cell|result|failure|metrics|history)\.json|(weights|study|portrait|samples)\.safetensors|{_CHECKPOINT.pattern}"
    r"|\.lock|\.\S+\.\d+\.tmp"
)
"""What fmbench itself writes into a cell's folder: nothing else is ever removed."""


class Store:
    """The folder of all cells. `root` is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, section: str, key: str) -> CellFolder:
        """Return the folder of the cell `key`; section is one of SECTIONS."""
        return CellFolder(self.root / section / key)

    def keys(self, section: str) -> list[str]:
        """Return the keys that have a folder in a section; `passed_over` tells what else lies there."""
        try:
            with os.scandir(self.root / section) as entries:
                return sorted(entry.name for entry in entries if is_key(section, entry.name) and is_folder(entry))
        except OSError:
            return []

    def passed_over(self) -> list[str]:
        """Say what in the sections is no cell's folder, and so is neither read nor removed; see `keys`."""
        found = []
        for section in SECTIONS:
            place = self.root / section
            try:
                with os.scandir(place) as entries:
                    strange = sorted((e.name, e) for e in entries if not (is_key(section, e.name) and is_folder(e)))
                    found += [f"{place / name} {why_no_folder(entry)}" for name, entry in strange]
            except FileNotFoundError:
                if place.is_symlink():
                    found.append(f"{place} is a link to nothing")
            except OSError as error:
                found.append(f"{place} cannot be listed: {error.strerror}")
        return found

    def cache(self) -> Path:
        """Return the folder for reference statistics and other files that can be made again."""
        with explained(self.root):
            (self.root / "cache").mkdir(parents=True, exist_ok=True)
        return self.root / "cache"

    def check_writable(self) -> None:
        """Raise StoreError when nothing can be written under the root."""
        check_writable(self.root / "cache")


class CellFolder:
    """One cell on disk. `place` is its section and key, "training/abc": what its files say that they belong to."""

    def __init__(self, path: Path, place: str = "") -> None:
        self.path = path
        self.place = place or f"{path.parent.name}/{path.name}"

    @property
    def section(self) -> str:
        """The section of the store that the cell belongs to."""
        return self.place.partition("/")[0]

    def sealed(self, name: str, form: Form = OBJECT) -> dict[str, Any] | None:
        """Return the content of one of SEALED, None where it is not there. Raises DamagedFile."""
        return read_sealed(self.path / name, form, f"{self.place}/{name}")

    def seal(self, name: str, body: Mapping[str, Any]) -> None:
        """Write one of SEALED."""
        write_sealed(self.path / name, body, f"{self.place}/{name}")

    def begin(self, parts: Mapping[str, Any]) -> None:
        """Write down what the cell is (see `TrainingCell.parts`), once."""
        if not (self.path / "cell.json").exists():
            self.seal("cell.json", parts)

    def cell(self) -> dict[str, Any] | None:
        """Return what `begin` wrote, or None."""
        return self.sealed("cell.json", CELL)

    def write(self, name: str, payload: bytes) -> None:
        """Write a file that `finish` will vouch for."""
        write_atomically(self.path / name, payload)

    def finish(self, result: Mapping[str, Any], files: tuple[str, ...]) -> None:
        """Declare the cell done: checksums of `files` and the result, in one file; checkpoints and failures go."""
        sums = {name: list(size_and_sum(self.path / name)) for name in files}
        self.seal("result.json", {**result, "files": sums})
        cut_off = self.path.glob(".checkpoint-*.tmp")  # of a process that was killed while it wrote
        for leftover in [*self.path.glob("checkpoint-*.pt"), *cut_off, self.path / "failure.json"]:
            leftover.unlink(missing_ok=True)

    def result(self, *, thorough: bool = False) -> dict[str, Any] | None:
        """Return the result when the cell is done and whole, None when it is not done.

        Raises DamagedFile when a file is missing or does not have the checksum on record; with `thorough`, large files
        are read for that, too.
        """
        result = self.recorded()
        for name, recorded in (result or {}).get("files", {}).items():
            self._verify(name, recorded, thorough=thorough or recorded[0] <= _HASH_LIMIT)
        if result is not None and "history.json" in result["files"]:
            self.history()
        return result

    def recorded(self) -> dict[str, Any] | None:
        """Return the result of a cell that is done, without a look at the files that it vouches for."""
        return self.sealed("result.json", RESULTS.get(self.section, RESULT))

    def history(self) -> list[tuple[int, float]]:
        """Return the steps and losses of a finished training."""
        file = self.path / "history.json"
        return [(step, loss) for step, loss in fitted(_content(file), HISTORY, file)]

    def check(self) -> None:
        """Raise DamagedFile when anything in the folder is not what was written."""
        self.cell(), self.result(), self.failure(), self.metrics()

    def read(self, name: str) -> bytes:
        """Return the content of a file of a finished cell, after checking it against the record."""
        recorded = (self.recorded() or {}).get("files", {}).get(name)
        if recorded is None:
            raise DamagedFile(f"{self.path / name} is not on record")
        try:
            content = _content(self.path / name, recorded[0])
        except FileNotFoundError as error:
            raise DamagedFile(f"{self.path / name} is missing") from error
        if [len(content), hashlib.sha256(content).hexdigest()] != recorded:
            raise DamagedFile(f"{self.path / name} does not have the checksum on record")
        return content

    def _verify(self, name: str, recorded: list[Any], *, thorough: bool) -> None:
        path = self.path / name
        try:
            with _readable(path):
                same = path.stat().st_size == recorded[0] and (not thorough or list(size_and_sum(path)) == recorded)
        except FileNotFoundError as error:
            raise DamagedFile(f"{path} is missing") from error
        if not same:
            raise DamagedFile(f"{path} does not have the checksum on record")

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return the metrics computed so far: digest of the metric -> {"name", "values", "identity", "seconds"}."""
        return self.sealed("metrics.json", METRICS) or {}

    def add_metrics(self, computed: Mapping[str, Mapping[str, Any]]) -> None:
        """Add metrics by digest. The caller holds the cell's lock."""
        self.set_metrics({**self.metrics(), **computed})

    def set_metrics(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        """Put these metrics in place of all that are there. The caller holds the cell's lock."""
        self.seal("metrics.json", metrics)

    def failure(self) -> dict[str, Any] | None:
        """Return {"status", "error", "traceback"} when the cell failed and was not computed since."""
        return self.sealed("failure.json", FAILURE)

    def fail(self, status: str, error: str, traceback: str = "") -> None:
        """Record that the cell failed; a checkpoint of it, if there is one, stays for a retry."""
        self.seal("failure.json", {"status": status, "error": error, "traceback": traceback})

    def forgive(self) -> None:
        """Forget a failure and failed metrics, so that they are computed again; a diverged training starts anew."""
        failure = self.failure()
        if failure and failure["status"] == "diverged":
            self.drop_checkpoints()
        (self.path / "failure.json").unlink(missing_ok=True)
        metrics = self.metrics()
        if any("error" in entry for entry in metrics.values()):
            kept = {digest: entry for digest, entry in metrics.items() if "error" not in entry}
            self.set_metrics(kept)

    def save_checkpoint(self, step: int, payload: bytes) -> None:
        """Keep the state of a training after `step` steps; older ones go.

        The checksum in the name is made over the place and the step, too: another cell's checkpoint is damaged here.
        """
        name = f"checkpoint-{step}-{self._checksum(step, payload)}.pt"
        write_atomically(self.path / name, payload)
        for old in self.path.glob("checkpoint-*.pt"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def checkpoint(self) -> bytes | None:
        """Return the newest whole checkpoint, or None; damaged ones are said and removed."""
        for step, checksum, path in self._checkpoints():
            payload = _checkpoint_content(path)
            if payload is not None and self._checksum(step, payload) == checksum:
                return payload
            log.warning("%s is not what was written for this cell, so the training does not go on from it", path)
            set_aside(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        return None

    def newest_checkpoint(self) -> tuple[int, Path | None]:
        """Return step and file of the newest whole checkpoint, 0 and None without one; nothing is removed."""
        for step, checksum, path in self._checkpoints():
            payload = _checkpoint_content(path)
            if payload is not None and self._checksum(step, payload) == checksum:
                return step, path
        return 0, None

    def _checkpoints(self) -> list[tuple[int, str, Path]]:
        """Return step, checksum by name, and file of every checkpoint, newest first; none of them is read."""
        found = [
            (int(m[1]), m[2], p) for p in self.path.glob("checkpoint-*.pt") if (m := _CHECKPOINT.fullmatch(p.name))
        ]
        return sorted(found, reverse=True)

    def _checksum(self, step: int, payload: bytes) -> str:
        """Return the checksum of a checkpoint, its place and its step."""
        checksum = hashlib.sha256(f"{self.place}/checkpoint-{step}\n".encode())
        checksum.update(payload)
        return checksum.hexdigest()

    def drop_checkpoints(self) -> None:
        """Remove all checkpoints."""
        for path in self.path.glob("checkpoint-*.pt"):
            path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all that is known of the cell but its lock, for it is damaged. What fmbench did not write stays."""
        with explained(self.path):
            for entry in self._entries():
                if entry.is_dir(follow_symlinks=False):
                    if _CELL_FILE.fullmatch(entry.name):  # it stands where a file must be written
                        set_aside(Path(entry.path))
                elif entry.name != ".lock" and _CELL_FILE.fullmatch(entry.name):
                    Path(entry.path).unlink()

    def strange(self) -> str:
        """Say why the folder is not one that `remove` removes, "" where it is: a folder with files of a cell alone."""
        try:
            mode = self.path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                return "is a link" if stat.S_ISLNK(mode) else f"is {kind_of(mode)}"
            others = [e.name for e in self._entries() if not _CELL_FILE.fullmatch(e.name) or e.is_dir()]
        except OSError as error:
            return f"cannot be looked into: {error.strerror}"
        return f"holds {others[0]!r}, which is not of fmbench" if others else ""

    def remove(self) -> None:
        """Remove the folder. Raises StoreError where it is `strange`, and BlockingIOError where it is worked on."""
        if why := self.strange():
            raise StoreError(f"{self.path} {why}, so it is not removed")
        with self.lock(wait=False), explained(self.path):
            for entry in self._entries():
                Path(entry.path).unlink(missing_ok=True)
            self.path.rmdir()

    def size(self) -> int:
        """Return the bytes that the folder takes; links are not followed."""
        return sum(entry.stat(follow_symlinks=False).st_size for entry in self._entries())

    def _entries(self) -> list[os.DirEntry[str]]:
        """Return what lies in the folder; nothing where there is none."""
        try:
            with os.scandir(self.path) as entries:
                return list(entries)
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[None]:
        """Wait until no other process works on the cell. The system drops the lock of a process that dies.

        Raises BlockingIOError where another works on it, and it is not to be waited for.
        """
        handle = self._locked(wait)
        while not self._is_lock(handle):  # whoever had it has removed the folder meanwhile
            os.close(handle)
            handle = self._locked(wait)
        try:
            yield
        finally:
            os.close(handle)

    def _locked(self, wait: bool) -> int:
        """Return the descriptor of the lock's file, locked; the folder is made where it is not there."""
        with explained(self.path):
            self._make_way()
            self.path.mkdir(parents=True, exist_ok=True)
            handle = open_lock(self.path / ".lock")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _is_lock(self, handle: int) -> bool:
        """Whether a descriptor is of the file that stands for the lock now."""
        try:
            return os.path.samestat(os.fstat(handle), (self.path / ".lock").lstat())
        except FileNotFoundError:
            return False

    def _make_way(self) -> None:
        """Give another name to what stands where the folder must be: a file, a link to none, a folder without entry."""
        if os.path.lexists(self.path) and not (self.path.is_dir() and os.access(self.path, os.R_OK | os.X_OK)):
            log.warning("%s is no folder that can be used; it is now called %s", self.path, set_aside(self.path).name)


def check_writable(folder: Path) -> None:
    """Raise StoreError when no file can be made in a folder, which is made where it is not there."""
    probe = folder / f".probe-{os.getpid()}"
    write_atomically(probe, b"")
    probe.unlink()


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file so that it is either wholly there or not at all, also after a power cut. Raises StoreError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as handle:
                handle.write(payload)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file as `write_atomically` writes one. Raises StoreError, and the OSError of a source not readable."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with open_regular(source) as reading:
        try:
            with explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                writing = temporary.open("wb")
            with writing:
                for block in blocks_of(reading):
                    with explained(target):
                        writing.write(block)
                with explained(target):
                    writing.flush()
                    os.fsync(writing.fileno())
            with explained(target):
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def write_sealed(path: Path, body: Mapping[str, Any], place: str = "") -> None:
    """Write JSON with a checksum of its own, made over content and place. Non-finite floats are kept.

    `place` says where in the store the file belongs: "training/abc/result.json"; else its folder and name.
    """
    text, place = canonical(dict(body)), place or _place(path)
    seal = json.dumps({"checksum": _seal(place, text), "place": place})
    write_atomically(path, f'{seal[:-1]},"body":{text}}}\n'.encode())


def read_sealed(path: Path, form: Form = OBJECT, place: str = "") -> dict[str, Any] | None:
    """Return what `write_sealed` wrote, None when there is no such file.

    Raises DamagedFile, also for another form and for what was written for another place, and EarlierFile for what names
    none, as an earlier fmbench left it.
    """
    try:
        text = _content(path)
    except FileNotFoundError:
        return None
    try:
        sealed = parsed(text)
        body: dict[str, Any] = sealed["body"]
        belongs = str(sealed.get("place", ""))
        intact = _seal(belongs, canonical(body)) == sealed["checksum"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(f"{path} is not the JSON that was written") from error
    if not intact:
        raise DamagedFile(f"{path} does not have the checksum on record")
    if not belongs:
        raise EarlierFile(f"{path} does not say what it belongs to: an earlier version of fmbench wrote it")
    if belongs != (lies := place or _place(path)):
        raise DamagedFile(f"{path} belongs to {belongs} and lies in {lies}: somebody copied or moved it")
    check(body, form, path)
    return encodable(body) if b"\\ud" in text else body


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _seal(place: str, text: str) -> str:
    """Return the checksum of a text and its place; of the text alone where there is none, as earlier versions did."""
    return hashlib.sha256((f"{place}\n{text}" if place else text).encode()).hexdigest()


def _checkpoint_content(path: Path) -> bytes | None:
    """Return what is in a checkpoint's file, None where it is no regular file or not there any more."""
    try:
        return read_regular(path, path.stat().st_size)
    except (NotRegularError, FileNotFoundError):
        return None


def _content(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what is in a file of so many bytes at most. Raises FileNotFoundError, and else as `_readable`."""
    with _readable(path):
        return read_regular(path, most)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn an OSError of reading a cell's file into DamagedFile where the cell is at fault, else into StoreError."""
    try:
        yield
    except FileNotFoundError:
        if path.is_symlink():
            raise DamagedFile(f"{path} is a link to nothing") from None
        raise
    except OSError as error:
        cell, root = path.parent, path.parent.parent.parent
        closed = error.errno == errno.EACCES and not os.access(cell, os.R_OK | os.X_OK)
        of_cell = os.access(root, os.X_OK) and (closed or error.errno in (errno.ELOOP, errno.ENOTDIR))
        if of_cell or isinstance(error, NotRegularError):
            raise DamagedFile(f"{path} cannot be used: {error.strerror}") from error
        raise StoreError(
            f"{path} cannot be read: {error.strerror}; choose another store with --home or FMBENCH_HOME"
        ) from error


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError of writing into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = {
            errno.ENOSPC: "free some space (`fmbench clean` removes old cells)",
            errno.EDQUOT: "free some of your quota (`fmbench clean` removes old cells)",
        }.get(error.errno or 0, "make it writable, or choose another folder with --home (the store) or --reports")
        raise StoreError(f"{path} cannot be written: {error.strerror}; {advice}, then run again") from error
