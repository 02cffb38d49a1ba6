"""The store: finished and half-finished cells on disk, by key. It is the truth; MLflow and reports are made from it.

```
<root>/training/<key>/    cell.json  weights.safetensors  history.json  metrics.json  result.json
<root>/study/<key>/       cell.json  study.safetensors  result.json
<root>/portrait/<key>/    cell.json  portrait.safetensors  result.json
<root>/snapshot/<key>/    cell.json  weights.safetensors  result.json
<root>/course/<key>/      cell.json  checkpoint-<step>-<checksum>.pt
<root>/evaluation/<key>/  cell.json  samples.safetensors  metrics.json  result.json
<root>/sampler/<key>/     cell.json  metrics.json  result.json
<root>/floor/<key>/       cell.json  metrics.json  result.json
<root>/oracle/<key>/      cell.json  metrics.json  result.json
```

"study" is what couplings learnt from teachers, and "portrait" the flow snapshots: the names of earlier versions, kept.
"snapshot" holds weights of a training other than its last, and "course" the states from which longer trainings go on.

`result.json` is written last and holds the checksum of every file beside it; JSON files carry their own, which is made
over their place in the store, too: a file or a folder that was copied or moved to another cell's place is damaged, and
so is what an earlier fmbench wrote, which named no place. Each file is written to a temporary name, flushed and
renamed. A failed cell has `failure.json` in place of `result.json`, and a training under way has
`checkpoint-<step>-<checksum>.pt`. One process at a time works on a cell: the one that holds its lease, which `leases`
describes; `holders` has the heartbeats of those processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.io.regular_files import (
    is_folder,
    why_no_folder,
)
from fmbench.store.atomic_files import check_writable, explained
from fmbench.store.cell_folder import CellFolder
from fmbench.store.file_forms import is_key
from fmbench.store.group_commit import GroupCommit, group_commit
from fmbench.store.lease_files import FolderLeaseFiles, LeaseFiles
from fmbench.store.leases import Leases, leases_of

if TYPE_CHECKING:
    from fmbench.store.remote.mirror import Mirror

SECTIONS = ("training", "study", "portrait", "snapshot", "course", "evaluation", "sampler", "floor", "oracle")


class Store:
    """The folder of all cells. `root` is made when it is first written to; leases lie in `lease_files`, else there.

    Of a store by URL, `root` is its cache on this disk, which the `mirror` keeps as the store is.
    """

    APART = "leases/"
    """How the places begin of leases that are no cell's."""

    def __init__(self, root: Path, lease_files: LeaseFiles | None = None, mirror: Mirror | None = None) -> None:
        self.root = root
        self._lease_files = lease_files
        self.mirror = mirror
        self._group: GroupCommit | None = None

    @property
    def url(self) -> str:
        """The URL of a store by URL, which may hold a password: `str` of the store is to be shown; "" of a folder."""
        return "" if self.mirror is None else self.mirror.objects.url

    def __str__(self) -> str:
        return str(self.root) if self.mirror is None else self.mirror.objects.shown

    @cached_property
    def leases(self) -> Leases:
        """Who works on which cell."""
        return leases_of(self._lease_files or FolderLeaseFiles(self.root))

    def folder(self, section: str, key: str) -> CellFolder:
        """Return the folder of the cell `key`; section is one of SECTIONS."""
        return CellFolder(self.root / section / key, f"{section}/{key}", self.leases, self._group, self.mirror)

    @contextmanager
    def group_commit(self) -> Iterator[GroupCommit]:
        """Have the cells whose folders are asked for inside written together: see `fmbench.store.group_commit`."""
        with group_commit() as self._group:
            try:
                yield self._group
            finally:
                self._group = None

    @contextmanager
    def alone(self, what: str, goes_on: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Hold the lease of something that is no cell, as a report is; waits as long as `goes_on()` holds.

        Raises StoppedWaiting then, and StoreError where nothing can be written.
        """
        with ExitStack() as stack:
            with explained(self.root):
                stack.enter_context(self.leases.held(f"{self.APART}{what}", goes_on))
            yield

    @contextmanager
    def alone_here(self, what: str) -> Iterator[None]:
        """Hold something of this machine, as a report on its disk is, whoever uses the store elsewhere."""
        with self.alone(what) if self.mirror is None else self.mirror.synced.lock(f"{self.APART}{what}"):
            yield

    def keys(self, section: str) -> list[str]:
        """Return the keys that have a folder in a section; `passed_over` tells what else lies there."""
        try:
            with os.scandir(self.root / section) as entries:
                here = [entry.name for entry in entries if is_key(section, entry.name) and is_folder(entry)]
        except OSError:
            here = []
        if self.mirror is not None:
            here = [key for key in {*here, *self.mirror.keys(section)} if is_key(section, key)]
        return sorted(here)

    def look_anew(self) -> None:
        """Have what others did in a store by URL count from the next look on; a disk shows it anyway."""
        if self.mirror is not None:
            self.mirror.look_anew()

    def pull(self, section: str, keys: Iterable[str]) -> None:
        """Have cells of a store by URL here, many at a time, before they are looked at one by one."""
        if self.mirror is not None:
            self.mirror.pull(f"{section}/{key}" for key in keys)

    def pull_all(self) -> None:
        """Have all files of a store by URL here."""
        if self.mirror is not None:
            for section in SECTIONS:
                self.mirror.pull((f"{section}/{key}" for key in self.keys(section)), whole=True)
            self.pull_shared(whole=True)

    def pull_shared(self, *, whole: bool = False) -> None:
        """Have files of a store by URL here that are no cell's and that all machines have."""
        for shared in self.mirror.shared.values() if self.mirror is not None else ():
            shared.pull(whole=whole)

    def send_shared(self) -> None:
        """Send those of these files that are new here to a store by URL."""
        for shared in self.mirror.shared.values() if self.mirror is not None else ():
            shared.send()

    def agree_on(self, path: Path) -> None:
        """Have a shared file that was just written be that of all machines; where one was before, take that in place.

        A file of a folder is that of all already.
        """
        if self.mirror is not None:
            self.mirror.shared[path.parent.name].agree(path.name)

    def send_left(self) -> int:
        """Send to a store by URL what earlier runs computed and could not send; return of how many cells."""
        if self.mirror is None:
            return 0
        return self.mirror.send_left(lambda place: self.folder(*place.split("/")).lock(wait=False))

    def shared_file(self, path: Path) -> Path | None:
        """Return the path of a shared file, None where there is none; one by URL is fetched when it is opened."""
        if self.mirror is not None:
            return self.mirror.shared[path.parent.name].file(path.name)
        return path if path.is_file() else None

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
