"""The spool: the folder of the store through which the jobs of one run get their tasks and return their events.

```
<store>/spool/<cluster>-<host>-<process>-<random>/
  events/<task>.<run>.jsonl      what a job says, a file each time that it is begun
  jobs/                          submitit's own: pickled tasks and results, batch scripts, what jobs print
```
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path

from fmbench.executors.slurm.job_states import states_in_slurm
from fmbench.store.atomic_files import explained

KEPT_SECONDS = 7 * 24 * 3600.0
"""So long the spool of a run stays that died, or whose jobs did: who asks why, finds what they printed."""


class Spool:
    """The spool of a run, which is made when it is first needed."""

    def __init__(self, store: Path, cluster: str) -> None:
        host = socket.gethostname().partition(".")[0]
        self.root = store / "spool" / f"{cluster}-{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.events, self.jobs = self.root / "events", self.root / "jobs"

    def make(self) -> None:
        """Make the folders. Raises StoreError where that cannot be."""
        with explained(self.root):
            self.events.mkdir(parents=True, exist_ok=True)
            self.jobs.mkdir(exist_ok=True)

    def printed(self, job: str) -> Path:
        """Return the file of what a job printed."""
        return self.jobs / f"{job}_0_log.err"

    def refresh(self) -> None:
        """Have a network file system look anew at what lies in the folder of events."""
        with explained(self.root):
            probe = self.events / ".looked"
            probe.touch()
            probe.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it, and the folder of all spools where it was the last."""
        shutil.rmtree(self.root, ignore_errors=True)
        with suppress(OSError):
            self.root.parent.rmdir()


def remove_old_spools(store: Path) -> None:
    """Remove the spools that runs left behind a week ago or before, and whose jobs have all ended."""
    for folder in (store / "spool").glob("*-*"):
        try:
            is_old = time.time() - folder.stat().st_mtime > KEPT_SECONDS
        except FileNotFoundError:
            continue
        if is_old and not _has_jobs(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _has_jobs(folder: Path) -> bool:
    """Whether a job of a run is still known to SLURM as one that has not ended."""
    if not folder.name.startswith("slurm-"):
        return False
    ids = [path.name.removesuffix("_submitted.pkl") for path in (folder / "jobs").glob("*_submitted.pkl")]
    states = states_in_slurm(ids)
    return bool(ids) and (not states or not all(state.has_ended for state in states.values()))
