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
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fmbench.cells import canonical
from fmbench.errors import DamagedFile, StoreError

log = logging.getLogger(__name__)

SECTIONS = ("training", "study", "portrait", "evaluation", "sampler", "floor", "oracle")
SEALED = ("cell.json", "metrics.json", "result.json", "failure.json")
"""The files of a cell that carry their own checksum and name their place."""
_HASH_LIMIT = (
    64 * 2**20
)  # a larger file is only checked for its size when the store is scanned, and hashed when it is read
_CHECKPOINT = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.pt")


class Store:
    """The folder of all cells. `root` is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, section: str, key: str) -> CellFolder:
        """Return the folder of the cell `key`; section is one of SECTIONS."""
        return CellFolder(self.root / section / key)

    def keys(self, section: str) -> list[str]:
        """Return the keys that have a folder in a section."""
        place = self.root / section
        if not place.is_dir():
            return []
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())

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

    def sealed(self, name: str) -> dict[str, Any] | None:
        """Return the content of one of SEALED, None where it is not there. Raises DamagedFile."""
        return read_sealed(self.path / name, f"{self.place}/{name}")

    def seal(self, name: str, body: Mapping[str, Any]) -> None:
        """Write one of SEALED."""
        write_sealed(self.path / name, body, f"{self.place}/{name}")

    def begin(self, parts: Mapping[str, Any]) -> None:
        """Write down what the cell is (see `TrainingCell.parts`), once."""
        if not (self.path / "cell.json").exists():
            self.seal("cell.json", parts)

    def cell(self) -> dict[str, Any] | None:
        """Return what `begin` wrote, or None."""
        return self.sealed("cell.json")

    def write(self, name: str, payload: bytes) -> None:
        """Write a file that `finish` will vouch for."""
        write_atomically(self.path / name, payload)

    def finish(self, result: Mapping[str, Any], files: tuple[str, ...]) -> None:
        """Declare the cell done: checksums of `files` and the result, in one file; checkpoints and failures go."""
        sums = {name: _size_and_sum(self.path / name) for name in files}
        self.seal("result.json", {**result, "files": sums})
        cut_off = self.path.glob(".checkpoint-*.tmp")  # of a process that was killed while it wrote
        for leftover in [*self.path.glob("checkpoint-*.pt"), *cut_off, self.path / "failure.json"]:
            leftover.unlink(missing_ok=True)

    def result(self, *, thorough: bool = False) -> dict[str, Any] | None:
        """Return the result when the cell is done and whole, None when it is not done.

        Raises DamagedFile when a file is missing or does not have the checksum on record; with `thorough`, large files
        are read for that, too.
        """
        result = self.sealed("result.json")
        for name, recorded in (result or {}).get("files", {}).items():
            self._verify(name, recorded, thorough=thorough or recorded[0] <= _HASH_LIMIT)
        return result

    def check(self) -> None:
        """Raise DamagedFile when anything in the folder is not what was written."""
        self.cell(), self.result(), self.failure(), self.metrics()

    def read(self, name: str) -> bytes:
        """Return the content of a file of a finished cell, after checking it against the record."""
        result = self.sealed("result.json") or {}
        recorded = result.get("files", {}).get(name)
        if recorded is None:
            raise DamagedFile(f"{self.path / name} is not on record")
        self._verify(name, recorded, thorough=True)
        return (self.path / name).read_bytes()

    def _verify(self, name: str, recorded: list[Any], *, thorough: bool) -> None:
        path = self.path / name
        if not path.is_file():
            raise DamagedFile(f"{path} is missing")
        if path.stat().st_size != recorded[0] or (thorough and _size_and_sum(path) != recorded):
            raise DamagedFile(f"{path} does not have the checksum on record")

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return the metrics computed so far: digest of the metric -> {"name", "values", "identity", "seconds"}."""
        return self.sealed("metrics.json") or {}

    def add_metrics(self, computed: Mapping[str, Mapping[str, Any]]) -> None:
        """Add metrics by digest. The caller holds the cell's lock."""
        self.seal("metrics.json", {**self.metrics(), **computed})

    def failure(self) -> dict[str, Any] | None:
        """Return {"status", "error", "traceback"} when the cell failed and was not computed since."""
        return self.sealed("failure.json")

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
            self.seal("metrics.json", kept)

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
            payload = path.read_bytes()
            if self._checksum(step, payload) == checksum:
                return payload
            log.warning("%s is not what was written for this cell, so the training does not go on from it", path)
            path.unlink()
        return None

    def newest_checkpoint(self) -> tuple[int, Path | None]:
        """Return step and file of the newest whole checkpoint, 0 and None without one; nothing is removed."""
        for step, checksum, path in self._checkpoints():
            if self._checksum(step, path.read_bytes()) == checksum:
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
        """Remove everything that is known of the cell but its lock, for it is damaged."""
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def size(self) -> int:
        """Return the bytes that the folder takes."""
        return sum(p.stat().st_size for p in self.path.iterdir()) if self.path.is_dir() else 0

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[None]:
        """Wait until no other process works on the cell. The system drops the lock of a process that dies.

        Raises BlockingIOError where another works on it, and it is not to be waited for.
        """
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / ".lock").open("w")
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield


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
    with source.open("rb") as reading:
        try:
            with explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                writing = temporary.open("wb")
            with writing:
                while block := reading.read(2**20):
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


def read_sealed(path: Path, place: str = "") -> dict[str, Any] | None:
    """Return what `write_sealed` wrote, None when there is no such file.

    Raises DamagedFile, also for what was written for another place, and for what names none, as an earlier fmbench left
    it.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}; choose another store with --home or FMBENCH_HOME"
        ) from error
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path} is not text") from error
    try:
        sealed = json.loads(text)
        body: dict[str, Any] = sealed["body"]
        belongs = str(sealed.get("place", ""))
        intact = _seal(belongs, canonical(body)) == sealed["checksum"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(f"{path} is not the JSON that was written") from error
    if not belongs:
        raise DamagedFile(f"{path} does not say what it belongs to: an earlier version of fmbench wrote it")
    if not intact:
        raise DamagedFile(f"{path} does not have the checksum on record")
    if belongs != (lies := place or _place(path)):
        raise DamagedFile(f"{path} belongs to {belongs} and lies in {lies}: somebody copied or moved it")
    return body


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _seal(place: str, text: str) -> str:
    return hashlib.sha256(f"{place}\n{text}".encode()).hexdigest()


def _size_and_sum(path: Path) -> list[Any]:
    with path.open("rb") as handle:
        checksum = hashlib.file_digest(handle, "sha256").hexdigest()
    return [path.stat().st_size, checksum]


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
