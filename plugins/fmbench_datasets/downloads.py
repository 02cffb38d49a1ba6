"""Files of datasets that are downloaded: whole, by one process at a time, or an error that says what to do."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fmbench import DataError

TIMEOUT = 30.0
"""Seconds without an answer after which an address is given up."""


@dataclass(frozen=True)
class Archive:
    """A file as torchvision knows it: its name, its MD5 checksum, and the addresses that have it."""

    name: str
    md5: str
    urls: tuple[str, ...]


def dataset_root(root: str | None) -> Path:
    """Return the folder of downloaded datasets: `root`, or torchvision's own, `datasets/vision` in torch's cache.

    Torch's cache is `TORCH_HOME`, or `torch` in `XDG_CACHE_HOME`, or `~/.cache/torch`.
    """
    if root is not None:
        return Path(root).expanduser()
    import torch

    return Path(torch.hub.get_dir()).parent / "datasets" / "vision"


def fetch(folder: Path, archives: Sequence[Archive], dataset: str) -> list[Path]:
    """Return the archives' paths in a folder, after downloading those that are not there with the right checksum.

    Raises DataError, which says what to do, where one cannot be had.
    """
    if _missing(folder, archives):
        with locked(folder, dataset):
            # Asked again: another process may have downloaded them while this one waited for the lock.
            for archive in _missing(folder, archives):
                failures = _download(archive, folder)
                if failures:
                    needed = ", ".join(f"{each.name} (MD5 {each.md5})" for each in _missing(folder, archives))
                    raise DataError(
                        f"{dataset} needs {needed} in {folder}, but {archive.name} could not be downloaded. "
                        f"{'; '.join(failures)}. Download what is needed on a machine that can and put it there, or "
                        "name a folder of torchvision's datasets that has it as `root`."
                    )
    return [folder / archive.name for archive in archives]


@contextmanager
def locked(folder: Path, dataset: str) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be. Raises DataError where it cannot be written to."""
    from filelock import FileLock

    lock = FileLock(folder / ".fmbench.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{dataset} must be downloaded, and {folder} cannot be written to ({error}). Name another folder as `root`."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _missing(folder: Path, archives: Sequence[Archive]) -> list[Archive]:
    return [archive for archive in archives if not _is_whole(folder / archive.name, archive.md5)]


def _is_whole(path: Path, md5: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:  # key: the checksum stands in the code
        return hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest() == md5


def _download(archive: Archive, folder: Path) -> list[str]:
    """Download an archive from the first address that has it; return what went wrong where none has, else nothing."""
    part = folder / f".{archive.name}.part"
    failures = []
    try:
        for url in archive.urls:
            try:
                _retrieve(url, part)
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error or type(error).__name__}")
                continue
            if _is_whole(part, archive.md5):
                part.replace(folder / archive.name)
                return []
            failures.append(f"{url}: what it sent is not that file")
    finally:
        part.unlink(missing_ok=True)
    return failures


def _retrieve(url: str, path: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "fmbench"})
    # key: the checksum of what comes stands in the code
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file)
