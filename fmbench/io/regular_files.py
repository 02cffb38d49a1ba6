"""Reading files that others may have put there: nothing but regular files is opened, and no more is read than there is.

A pipe without a writer, a terminal or a device would be waited for, or read, for ever. Where a file is not what it must
be, these functions raise OSError with a `strerror` for people, as the system does where there is no file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

MOST_BYTES = 2**28
"""A text that is larger is none of ours: 256 MiB."""
BLOCK = 2**20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularError(OSError):
    """What has a file's name is a folder, a pipe, a socket or a device, or holds more than a file of its kind can."""


def expanded(name: str) -> Path:
    """Return the path that a person wrote, ~ being the home folder. Raises OSError for what no path can be."""
    try:
        if "\0" in name:
            raise ValueError
        os.fsencode(name)
        return Path(name).expanduser()
    except ValueError:
        raise OSError(errno.EINVAL, "it holds a character that no file's name can", name) from None
    except RuntimeError:
        user = Path(name).parts[0]
        raise OSError(errno.ENOENT, f"no home folder is known for {user}: write the path out", name) from None


def names_in(folder: Path) -> list[str]:
    """Return the names of what lies in a folder; nothing where there is none. Raises OSError."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def kind_of(mode: int) -> str:
    """Return in words what a mode of `os.stat` says that something is."""
    return next((words for test, words in _KINDS if test(mode)), "a file")


def check_regular(path: Path) -> None:
    """Raise NotRegularError where a path leads to something that is no regular file, and OSError where to nothing."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise NotRegularError(number, f"it is {kind_of(mode)}, and must be a regular file", str(path))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, unbuffered. Raises NotRegularError, and OSError as `open` does."""
    return cast(BinaryIO, os.fdopen(_opened(path)[0], "rb", buffering=0))


def _opened(path: Path) -> tuple[int, int]:
    """Open a regular file for reading; return its descriptor and its size in bytes."""
    check_regular(path)  # before it is opened: that alone can have effects on a device
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise NotRegularError(errno.EINVAL, "it is no regular file any more", str(path))
    return descriptor, status.st_size


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file. Raises NotRegularError, also where it has more than `most` bytes."""
    descriptor, size = _opened(path)
    try:
        if size > most:
            raise NotRegularError(errno.EFBIG, f"it is larger than {most / 1e6:.0f} MB", str(path))
        content = os.read(descriptor, size + 1)
        while len(content) < size and (more := os.read(descriptor, size + 1 - len(content))):
            content += more
    finally:
        os.close(descriptor)
    if len(content) > size:
        raise NotRegularError(errno.EFBIG, "it goes on beyond its size, as files of /proc do", str(path))
    return content


def blocks_of(handle: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes that an open file had when this began: some files of /proc, of no size, never end."""
    left = os.fstat(handle.fileno()).st_size
    while left and (block := handle.read(min(left, BLOCK))):
        left -= len(block)
        yield block


def size_and_sum(path: Path) -> tuple[int, str]:
    """Return the size of a regular file and the SHA-256 of its content. Raises NotRegularError and OSError."""
    hashed, size = hashlib.sha256(), 0
    with open_regular(path) as handle:
        for block in blocks_of(handle):
            hashed.update(block)
            size += len(block)
    return size, hashed.hexdigest()


def set_aside(path: Path) -> Path:
    """Give what is at a path, and is not followed where it is a link, another name beside it; return that."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.aside-{number}")):
        number += 1
    path.rename(aside)
    return aside


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to nothing or in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def why_no_folder(entry: os.DirEntry[str]) -> str:
    """Say what an entry is that should be the folder of a cell."""
    if is_folder(entry):
        return "is not named as a cell is"
    try:
        return f"is {kind_of(entry.stat().st_mode)}, where folders of cells lie"
    except OSError as error:
        return f"leads nowhere: {error.strerror}"
