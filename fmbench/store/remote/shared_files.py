"""Files of a store by URL that are no cell's and that several machines need: what SHARED names."""

from __future__ import annotations

import re
from pathlib import Path

from fmbench.io.regular_files import names_in
from fmbench.io.whole_files import write_whole
from fmbench.store.remote.differences import is_alike, is_small, stamp
from fmbench.store.remote.file_system import Object
from fmbench.store.remote.lazy_file import LazyFile
from fmbench.store.remote.objects import Objects
from fmbench.store.remote.synced import File, Synced, cached

SHARED = {
    "cache": re.compile(r"real-[^/]*\.safetensors|(t-density|fleet|together)-[^/]*\.json|contents-of-models\.json"),
    "fleets": re.compile(r"[0-9a-f]+-\d+\.json"),
}
"""The files that all machines have, by the folder that they lie in: what reports show, and who trains with whom."""


class SharedFiles:
    """The files of one folder of a store that SHARED names."""

    def __init__(self, objects: Objects, root: Path, synced: Synced, folder: str) -> None:
        self.objects, self.synced, self.path = objects, synced, root / folder
        self.folder, self._pattern = folder, SHARED[folder]
        self._record = f"{folder}/all"
        self._there: dict[str, Object] = {}

    def pull(self, *, whole: bool = False) -> None:
        """Have the small files here, or all where they are wanted `whole`; others are fetched when they are opened."""
        listed = self.objects.list(self.folder).items()
        self._there = {name: found for name, found in listed if self._pattern.fullmatch(name)}
        with self.synced.lock(self._record):
            known = self.synced.files(self._record)
            others = {n: each for n, each in self._there.items() if not is_alike(self.path / n, each, known.get(n))}
            contents = self.objects.read([f"{self.folder}/{name}" for name in others if is_small(name)])
            for name, found in others.items():
                path, content = self.path / name, contents.get(f"{self.folder}/{name}")
                if content is not None:
                    with cached(path):
                        write_whole(path, content, flush=False)
                elif is_small(name) or not (whole or path.exists()) or not self._fetch(name):
                    continue
                known[name] = File(found, stamp(path))
            if others:
                self.synced.note(self._record, known)

    def send(self) -> None:
        """Send those that are new here, or were changed since they were sent or fetched."""
        with self.synced.lock(self._record):
            known = self.synced.files(self._record)
            stamps = {name: stamp(self.path / name) for name in names_in(self.path) if self._pattern.fullmatch(name)}
            new = [name for name, when in stamps.items() if name not in known or known[name].stamp != when]
            written = self.objects.write({f"{self.folder}/{name}": self.path / name for name in new})
            for name in new:
                if (found := written.get(f"{self.folder}/{name}")) is not None:
                    known[name], self._there[name] = File(found, stamps[name]), found
            if new:
                self.synced.note(self._record, known)

    def agree(self, name: str) -> None:
        """Have a file that was just written here be the one of all machines, or take theirs in its place."""
        if not self.objects.create(f"{self.folder}/{name}", (self.path / name).read_bytes()):
            self._fetch(name)
        found = self.objects.list(self.folder)[name]
        with self.synced.lock(self._record):
            alike = {**self.synced.files(self._record), name: File(found, stamp(self.path / name))}
            self.synced.note(self._record, alike)

    def file(self, name: str) -> Path | None:
        """Return the path of a file, which is fetched when it is opened; None where there is none."""
        path = self.path / name
        if path.is_file():
            return path
        return LazyFile(path, lambda: self._fetch(name)) if name in self._there else None

    def _fetch(self, name: str) -> bool:
        return self.objects.fetch(f"{self.folder}/{name}", self.path / name)
