"""Files that are whole or absent: written under a temporary name and renamed, and sealed with a checksum."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.errors import DamagedFile, EarlierFile, StoreError
from fmbench.io.json_forms import OBJECT, Form, check, parsed
from fmbench.io.printable_text import encodable
from fmbench.io.regular_files import (
    MOST_BYTES,
    NotRegularError,
    blocks_of,
    open_regular,
    read_regular,
)
from fmbench.io.whole_files import temporary_name, write_whole, write_whole_once

ROOM = {
    errno.ENOSPC: "free some space (`fmbench clean` removes old cells), then run again",
    errno.EDQUOT: "free some of your quota (`fmbench clean` removes old cells), then run again",
}
"""What to do where a disk is full, by the number of the system's error."""
ELSEWHERE = "make it writable, or choose another folder with --home (the store) or --reports"


def check_writable(folder: Path) -> None:
    """Raise StoreError when no file can be made in a folder, which is made where it is not there."""
    probe = folder / f".probe-{os.getpid()}"
    write_atomically(probe, b"")
    probe.unlink()


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file so that it is either wholly there or not at all, also after a power cut. Raises StoreError."""
    with explained(path):
        write_whole(path, payload)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file as `write_atomically` writes one. Raises StoreError, and the OSError of a source not readable."""
    temporary = temporary_name(target)
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
    write_atomically(path, sealed_bytes(body, place or _place(path)))


def write_sealed_once(path: Path, body: Mapping[str, Any]) -> bool:
    """Write a sealed file unless there is one; return whether it is this one. Of several that try, one writes."""
    with explained(path):
        return write_whole_once(path, sealed_bytes(body, _place(path)))


def sealed_bytes(body: Mapping[str, Any], place: str) -> bytes:
    """Return what `write_sealed` writes in a place."""
    text = canonical(dict(body))
    seal = json.dumps({"checksum": _seal(place, text), "place": place})
    return f'{seal[:-1]},"body":{text}}}\n'.encode()


def read_sealed(path: Path, form: Form = OBJECT, place: str = "") -> dict[str, Any] | None:
    """Return what `write_sealed` wrote, None when there is no such file.

    Raises DamagedFile, also for another form and for what was written for another place, and EarlierFile for what names
    none, as an earlier fmbench left it.
    """
    try:
        text = content(path)
    except FileNotFoundError:
        return None
    try:
        sealed = parsed(text)
        body: dict[str, Any] = sealed["body"]
        belongs = str(sealed.get("place", ""))
        intact = _is_intact(text, belongs, sealed["checksum"], body)
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


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError of writing into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = ROOM.get(error.errno or 0, f"{ELSEWHERE}, then run again")
        raise StoreError(f"{path} cannot be written: {error.strerror}; {advice}") from error


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _is_intact(text: bytes, place: str, checksum: str, body: Mapping[str, Any]) -> bool:
    """Tell whether the body of a sealed file is the one that was written.

    Its text is hashed as it stands in the file; of a file that somebody has laid out anew, as it would be written.
    """
    head, tail = f'{{"checksum": "{checksum}", "place": "{place}","body":'.encode(errors="replace"), b"}\n"
    if text.startswith(head) and text.endswith(tail):
        hashed = hashlib.sha256(f"{place}\n".encode(errors="replace"))
        hashed.update(text[len(head) : -len(tail)])
        if hashed.hexdigest() == checksum:
            return True
    return _seal(place, canonical(body)) == checksum


def _seal(place: str, text: str) -> str:
    """Return the checksum of a text and its place; of the text alone where there is none, as earlier versions did."""
    return hashlib.sha256((f"{place}\n{text}" if place else text).encode()).hexdigest()


def content(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what is in a file of so many bytes at most. Raises FileNotFoundError, and else as `Reading`."""
    with Reading(path):
        return read_regular(path, most)


class Reading:
    """The reading of a cell's file: turns an OSError into DamagedFile where the cell is at fault, else into StoreError.

    It is entered for each file of a store, so that it is no generator.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        path = self.path
        if isinstance(error, FileNotFoundError):
            if path.is_symlink():
                raise DamagedFile(f"{path} is a link to nothing") from None
        elif isinstance(error, OSError):
            cell, root = path.parent, path.parent.parent.parent
            closed = error.errno == errno.EACCES and not os.access(cell, os.R_OK | os.X_OK)
            of_cell = os.access(root, os.X_OK) and (closed or error.errno in (errno.ELOOP, errno.ENOTDIR))
            if of_cell or isinstance(error, NotRegularError):
                raise DamagedFile(f"{path} cannot be used: {error.strerror}") from error
            raise StoreError(
                f"{path} cannot be read: {error.strerror}; choose another store with --home or FMBENCH_HOME"
            ) from error
