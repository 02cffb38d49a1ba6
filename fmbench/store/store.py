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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

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

SECTIONS = ("training", "study", "portrait", "snapshot", "course", "evaluation", "sampler", "floor", "oracle")


class Store:
    """The folder of all cells. `root` is made when it is first written to; leases lie in `lease_files`, else there."""

    APART = "leases/"
    """How the places begin of leases that are no cell's."""

    def __init__(self, root: Path, lease_files: LeaseFiles | None = None) -> None:
        self.root = root
        self._lease_files = lease_files
        self._group: GroupCommit | None = None

    @cached_property
    def leases(self) -> Leases:
        """Who works on which cell."""
        return leases_of(self._lease_files or FolderLeaseFiles(self.root))

    def folder(self, section: str, key: str) -> CellFolder:
        """Return the folder of the cell `key`; section is one of SECTIONS."""
        return CellFolder(self.root / section / key, f"{section}/{key}", self.leases, self._group)

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
