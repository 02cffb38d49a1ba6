"""The objects of a store by URL: listed, read, written and removed through fsspec, with retries and plain errors."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fmbench.errors import StoreError
from fmbench.io.whole_files import temporary_name
from fmbench.store.remote.address import shown, without_secrets
from fmbench.store.remote.file_system import BUCKETED, Object, object_of, opened

PATIENCE = "FMBENCH_STORE_PATIENCE"
"""The environment variable with the seconds for which a store that does not answer is tried again."""
USUAL_PATIENCE, FIRST_PATIENCE = 60.0, 8.0
"""Seconds; the second is that of the first look, so that a mistake is said soon."""
AWAY = 30.0
"""For so many seconds after one request was given up, others are tried once."""
AT_ONCE = 64
"""Objects that are read or written by one call."""
LARGE = 32 * 2**20
"""Larger objects are sent from their files, one by one."""
_FINAL = (
    *(FileNotFoundError, PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError),
    *(ImportError, TypeError, NotImplementedError),
)
_FINAL_NAMES = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"})
"""Errors that no second try mends; botocore's are known by name, for it is not imported here."""
_T = TypeVar("_T")


class Objects:
    """The objects below a URL, by their names relative to it. Every method raises StoreError where it cannot be done.

    What fails for want of an answer is tried again for `patience` seconds.
    """

    def __init__(self, url: str) -> None:
        self.url, self.shown = url, shown(url)
        self.patience = _patience()
        self._made: set[str] = set()
        self._gave_up = -math.inf
        self._has_answered = False
        self._protocol, self._files, self._root = opened(url)

    @property
    def is_bucketed(self) -> bool:
        """Whether the file system has buckets and no folders."""
        return self._protocol in BUCKETED

    def begin_threads(self) -> None:
        """Begin the threads that fsspec would begin while it first works: one that waits, and one that finds hosts."""
        if not getattr(self._files, "async_impl", False):
            return
        self._files.loop.set_default_executor(pool := ThreadPoolExecutor(1, "fmbench-store-hosts"))
        pool.submit(lambda: None).result()

    def look(self) -> list[str]:
        """Return the names at the root, as the first thing that is asked: says soon what keeps from using the store."""

        def names() -> list[str]:
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                bucket = self._root.partition("/")[0]
                if self.is_bucketed and not self._files.exists(bucket):
                    bucket = without_secrets(bucket, self.url)
                    raise StoreError(
                        f"the store {self.shown} cannot be used: there is no bucket {bucket!r}; make it, or choose "
                        "another store with --home or FMBENCH_HOME"
                    ) from None
                return []
            return sorted({str(name).rstrip("/").rpartition("/")[2] for name in found} - {""})

        return self._tried("be listed", names, min(self.patience, FIRST_PATIENCE))

    def list(self, folder: str) -> dict[str, Object]:
        """Return the objects in a folder and below it, by name relative to the folder."""
        return self._tried(f"be listed ({folder})", lambda: self._find(folder), self.patience)

    def list_each(self, folders: Sequence[str]) -> dict[str, dict[str, Object]]:
        """Return what `list` does of several folders, of many at a time where the file system can."""
        if not getattr(self._files, "async_impl", False) or len(folders) < 2:
            return {folder: self.list(folder) for folder in folders}
        from fsspec.asyn import sync

        async def find(folder: str) -> dict[str, Any]:
            try:
                parent, _, last = self._at(folder).rpartition("/")
                by_prefix = self._protocol in ("s3", "s3a")
                place, more = (parent, {"prefix": f"{last}/"}) if by_prefix else (self._at(folder), {})
                found: dict[str, Any] = await self._files._find(place, detail=True, **more)
            except FileNotFoundError:
                return {}
            return found

        def all_of(some: Sequence[str]) -> list[dict[str, Any]]:
            async def gathered() -> list[dict[str, Any]]:
                return list(await asyncio.gather(*map(find, some)))

            found: list[dict[str, Any]] = sync(self._files.loop, gathered)
            return found

        listed: dict[str, dict[str, Object]] = {}
        for some in _parts(folders):
            found = self._tried("be listed", partial(all_of, some), self.patience)
            listed |= {folder: self._below(folder, each) for folder, each in zip(some, found, strict=True)}
        return listed

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of objects; those that are not there are left out."""
        found: dict[str, bytes] = {}
        for some in _parts(names):
            found |= self._tried("be read", partial(self._cat, some), self.patience)
        return found

    def fetch(self, name: str, target: Path) -> bool:
        """Copy an object to a file, whole or not at all; return whether it is there."""
        temporary = temporary_name(target)

        def get() -> bool:
            try:
                self._files.get_file(self._at(name), str(temporary))
            except FileNotFoundError:
                return False
            return True

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if found := self._tried(f"be read ({name})", get, self.patience):
                temporary.replace(target)
            return found
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, files: Mapping[str, Path]) -> dict[str, Object]:
        """Write files as objects, each whole or not at all; return what listings will say of them.

        A file that is gone by now is left out.
        """
        written: dict[str, Object] = {}
        small: dict[str, bytes] = {}
        for name, path in files.items():
            try:
                size = path.stat().st_size
                if size <= LARGE:
                    small[name] = path.read_bytes()
                    continue
                self._make_folder(name)
                send = partial(self._files.put_file, str(path), self._at(name))
                self._tried(f"be written ({name})", send, self.patience)
                written[name] = self._status(name)
            except FileNotFoundError:
                continue
        for some in _parts(list(small)):
            payloads = {name: small[name] for name in some}
            self._tried("be written", partial(self._pipe, payloads), self.patience)
            written |= {name: self._written(name, payload) for name, payload in payloads.items()}
        return written

    def put(self, name: str, payload: bytes) -> None:
        """Write an object."""
        self._tried(f"be written ({name})", lambda: self._pipe({name: payload}), self.patience)

    def create(self, name: str, payload: bytes) -> bool:
        """Write an object where there is none of this name; return whether it was written, by one request.

        After an answer that was lost, an object with this very content is taken for written by the first try.
        """

        def make() -> bool:
            self._make_folder(name)
            try:
                self._files.pipe_file(self._at(name), payload, mode="create")
            except FileExistsError:
                return tries > 1 and self._files.cat_file(self._at(name)) == payload
            return True

        tries = 0

        def counted() -> bool:
            nonlocal tries
            tries += 1
            return make()

        return self._tried(f"be written ({name})", counted, self.patience)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are none."""

        def gone(some: Sequence[str]) -> None:
            try:
                self._files.rm([self._at(name) for name in some])
            except FileNotFoundError:
                for name in some:
                    with contextlib.suppress(FileNotFoundError):
                        self._files.rm_file(self._at(name))

        for some in _parts(list(names)):
            self._tried("be changed", partial(gone, some), self.patience)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _find(self, folder: str) -> dict[str, Object]:
        parent, _, last = folder.rpartition("/")
        try:
            if self._protocol in ("s3", "s3a") and parent:  # one request; s3fs asks twice more where nothing is found
                found = self._files.find(self._at(parent), prefix=f"{last}/", detail=True)
            else:
                found = self._files.find(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        return self._below(folder, found)

    def _below(self, folder: str, found: Mapping[str, Any]) -> dict[str, Object]:
        """Return what was found below a folder; an object that has the folder's own name is not."""
        begins = self._at(folder) + "/"
        return {path[len(begins) :]: object_of(status) for path, status in found.items() if path.startswith(begins)}

    def _cat(self, names: Sequence[str]) -> dict[str, bytes]:
        found = self._files.cat([self._at(name) for name in names], on_error="return")
        contents: dict[str, bytes] = {}
        for name in names:
            content = found.get(self._at(name))
            if isinstance(content, bytes):
                contents[name] = content
            elif isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return contents

    def _pipe(self, payloads: Mapping[str, bytes]) -> None:
        for name in payloads:
            self._make_folder(name)
        self._files.pipe({self._at(name): payload for name, payload in payloads.items()})

    def _make_folder(self, name: str) -> None:
        folder = self._at(name).rpartition("/")[0]
        if not self.is_bucketed and folder not in self._made:
            self._files.makedirs(folder, exist_ok=True)
            self._made.add(folder)

    def _written(self, name: str, payload: bytes) -> Object:
        """Return what listings will say of an object; where that is not known before, it is asked."""
        if self._protocol in ("s3", "s3a"):  # where the server encrypts it is another, and the object is read once more
            return Object(len(payload), hashlib.md5(payload, usedforsecurity=False).hexdigest())
        return self._status(name)

    def _status(self, name: str) -> Object:
        return self._tried(f"be read ({name})", lambda: object_of(self._files.info(self._at(name))), self.patience)

    def _tried(self, what: str, work: Callable[[], _T], patience: float) -> _T:
        """Do something, and again after a pause where the store did not answer, for so many seconds."""
        is_away = time.monotonic() - self._gave_up < AWAY  # several things that are to be sent do not all wait
        until, pause = time.monotonic() + (0.0 if is_away else patience), 0.25
        while True:
            try:
                found = work()
                self._has_answered = True
                return found
            except StoreError:
                raise
            except Exception as error:  # of any file system
                left = until - time.monotonic()
                if _is_final(error) or left <= 0:
                    self._gave_up = -math.inf if _is_final(error) else time.monotonic()
                    raise self._explained(what, error) from None  # whose own text may show a secret
                time.sleep(min(pause * random.uniform(0.75, 1.25), left))
                pause = min(2 * pause, 8.0)

    def _explained(self, what: str, error: Exception) -> StoreError:
        name, text = type(error).__name__, without_secrets(" ".join(str(error).split()), self.url)[:300]
        advice = "check the network and the address of its server (AWS_ENDPOINT_URL for S3)"
        if isinstance(error, PermissionError):
            advice = "check the credentials and what they permit"
        elif name in _FINAL_NAMES:
            advice = "set credentials in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
        elif isinstance(error, FileNotFoundError):
            advice = "see that its bucket is there"
        kept = "; what was computed and is not sent is kept, and the next run sends it" if self._has_answered else ""
        return StoreError(
            f"the store {self.shown} cannot {what}: {name}: {text}; {advice}, or choose another store with --home or "
            f"FMBENCH_HOME{kept}"
        )


def _is_final(error: Exception) -> bool:
    return isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES


def _patience() -> float:
    """Return the seconds for which a store that does not answer is tried again."""
    text = os.environ.get(PATIENCE, "")
    try:
        return max(0.0, float(text)) if text else USUAL_PATIENCE
    except ValueError:
        raise StoreError(f"{PATIENCE} is a number of seconds, 60 say; found {text!r}") from None


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    yield from (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE))
