"""What this disk and the objects of a store had alike when they were last compared, a small file for each cell.

A mark beside it stands while the cell's folder here may hold what the objects do not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fmbench.errors import StoreError
from fmbench.io.file_lock import held
from fmbench.io.json_forms import parsed
from fmbench.io.regular_files import read_regular
from fmbench.io.whole_files import write_whole
from fmbench.store.remote.file_system import Object

UNSENT = ".unsent"


class File(NamedTuple):
    """An object, and the file's time of change (ns) when both were alike; 0 where it was not fetched."""

    object: Object
    stamp: int = 0


class Synced:
    """The records in a folder, by place: section and key, "training/abc"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, place: str) -> dict[str, File]:
        """Return what was alike of a cell, by name; nothing where no record is, or none that is whole."""
        try:
            content = parsed(read_regular(self._path(place, ".json")))
            return {name: File(Object(size, identity), stamp) for name, (size, identity, stamp) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def note(self, place: str, files: Mapping[str, File]) -> None:
        """Write the record of a cell; none where nothing is left of it."""
        path = self._path(place, ".json")
        with cached(path):
            if not files:
                path.unlink(missing_ok=True)
                return
            body = {name: [file.object.size, file.object.identity, file.stamp] for name, file in files.items()}
            write_whole(path, json.dumps(body).encode(), flush=False)

    def mark_unsent(self, place: str) -> None:
        """Note that the cell's folder may hold from now on what the objects do not."""
        path = self._path(place, UNSENT)
        with cached(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def is_unsent(self, place: str) -> bool:
        """Whether the cell's folder may hold what the objects do not."""
        return self._path(place, UNSENT).exists()

    def mark_sent(self, place: str) -> None:
        """Take the mark away."""
        self._path(place, UNSENT).unlink(missing_ok=True)

    def unsent(self) -> Iterator[str]:
        """Yield the places that have the mark."""
        for path in sorted(self.folder.glob(f"*/*{UNSENT}")):
            yield f"{path.parent.name}/{path.name.removesuffix(UNSENT)}"

    @contextmanager
    def lock(self, place: str, goes_on: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Hold the right of this machine's processes to change the folder of a cell; see `held`."""
        path = self._path(place, ".lock")
        with contextlib.ExitStack() as stack:
            with cached(path):
                stack.enter_context(held(path, goes_on))
            yield

    def _path(self, place: str, suffix: str) -> Path:
        return self.folder / f"{place}{suffix}"


@contextmanager
def cached(path: Path) -> Iterator[None]:
    """Turn an OSError of writing to the cache into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}; it is the cache of a store by URL: free some space, or "
            "choose another folder with FMBENCH_CACHE, then run again"
        ) from error
