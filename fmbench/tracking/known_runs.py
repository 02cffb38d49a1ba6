"""What a tracking server has of the runs of an experiment: found once, kept up to date, one run a cell.

Two runs may be of one cell, when two processes made it at the same moment on a server: one that something was logged to
counts before one that is empty, and then the older; the other is its double. Several cells may be one configuration,
when the code of a component has changed: the run that was made last counts, and supersedes the others. Both stand in a
tag and in the run's name.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fmbench.tracking.run_content import CONFIGURATION, CURRENT, KIND, SUPERSEDED, VARIANT
from fmbench.tracking.run_params import NAME_LENGTH, configuration, cut

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CELL, CONTENT = "fmbench.cell", "fmbench.content"
DOUBLE = "double of "
"""How SUPERSEDED begins in a double."""

PAGE = 500
"""Runs that are asked for at once."""

LOOKS, BETWEEN_LOOKS = 20, 0.1
"""How often, and seconds after which, it is looked what became of a run that somebody else made at the same moment."""


@dataclass
class KnownRun:
    """What the server has of a run; kept up to date with what is written.

    `metrics` are the last values by name. `points` are values by name and step, as far as they are known: all of a run
    that was made here, and of another those of the metrics that were asked for.
    """

    id: str
    start: int
    artifacts: str
    name: str = ""
    status: str = "RUNNING"
    metrics: dict[str, float] = field(default_factory=dict)
    params: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    configuration: str = ""
    has_dataset: bool = False
    points: dict[str, dict[int, float]] = field(default_factory=dict)
    made_here: bool = False

    @property
    def counts(self) -> bool:
        """Whether no other run stands in this one's place."""
        return self.tags.get(SUPERSEDED, CURRENT) == CURRENT

    @property
    def is_double(self) -> bool:
        """Whether another run of the same cell counts."""
        return self.tags.get(SUPERSEDED, "").startswith(DOUBLE)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was logged to the run yet."""
        return not self.params and not self.metrics


class KnownRuns:
    """The runs of one experiment, by cell.

    `complete` tells that all of them have been read, `sure` that nobody else can have made one since. Every method may
    raise what mlflow raises.
    """

    def __init__(self, client: MlflowClient, experiment: str, *, complete: bool = False, sure: bool = False) -> None:
        self.client, self.experiment = client, experiment
        self.complete, self.sure = complete, sure
        self._of_cell: dict[str, KnownRun] = {}
        self._versions: dict[str, dict[str, KnownRun]] = {}
        """By configuration and cell."""

    def add(self, cell: str, run: KnownRun) -> None:
        """Remember a run."""
        self._of_cell[cell] = run
        if run.configuration:
            self._versions.setdefault(run.configuration, {})[cell] = run

    def find(self, cell: str, run_id: str | None, *, alone: bool, search: bool = True) -> KnownRun | None:
        """Return a cell's run, or None; `run_id` is what the ledger says, `alone` whether nobody else can make one now.

        Looks where it costs least: among the known, by its id, and then among all runs of the experiment, once. When
        others may have made runs since, the cell is searched for, unless `search` is false, as `confirm` does that.
        """
        if cell not in self._of_cell and run_id is not None:
            run = self._get(run_id)
            if run is not None:
                self.add(cell, run)
        if cell not in self._of_cell and not self.complete:
            self._list(alone=alone)
        if cell not in self._of_cell and search and not self.sure:
            self._search(_of(cell))
        return self._of_cell.get(cell)

    def confirm(self, cell: str, made: KnownRun) -> KnownRun:
        """Return the run that counts of a cell for which one has just been made, where others can make some too.

        The run that was made gives way, and is deleted, to one that something was logged to, and to one that comes
        before it. Whoever made one that comes after it gives way, too, or has not seen it and soon logs something.
        """
        for _ in range(LOOKS):
            others = [run for run in self._read(_of(cell)) if not (run.is_double or run.id == made.id)]
            if not others:
                return made
            counts = min(others, key=lambda run: (run.is_empty, run.start, run.id))
            if not counts.is_empty or (counts.start, counts.id) < (made.start, made.id):
                self.client.delete_run(made.id)
                self.add(cell, counts)
                self.complete = False  # who made it may have made more
                return counts
            time.sleep(BETWEEN_LOOKS)
        self._search(_of(cell))
        return self._of_cell[cell]

    def supersede(self, run: KnownRun, *, alone: bool) -> tuple[str, ...]:
        """Mark the runs whose place a run takes: the same configuration, computed by other code. Return their cells."""
        if not run.configuration:
            return ()
        if not self.complete:
            self._list(alone=alone)
        versions = self._versions.get(run.configuration, {}).values()
        others = [other for other in versions if other.counts and other.id != run.id]
        for other in others:
            self._mark(other, f"by {run.id}", "superseded")
        return tuple(other.tags[CELL] for other in others)

    def retire(self, variant: str, keeps: Collection[str], *, alone: bool) -> tuple[str, ...]:
        """Mark the configurations that a variant of a suite has no more; return their cells."""
        if not self.complete:
            self._list(alone=alone)
        left = [
            run
            for run in self._of_cell.values()
            if run.tags.get(KIND) == "configuration"
            and run.tags.get(VARIANT) == variant
            and run.counts
            and run.configuration not in keeps
        ]
        for run in left:
            self._mark(run, "left the suite", "left the suite")
        return tuple(run.tags[CELL] for run in left)

    def restore(self, run: KnownRun, name: str, *, alone: bool) -> tuple[str, ...]:
        """Let a run count again whose code is back; return the cells whose place it takes."""
        if run.counts:
            return ()
        self.client.set_tag(run.id, SUPERSEDED, CURRENT)
        self.client.update_run(run.id, name=name)
        run.tags[SUPERSEDED], run.name = CURRENT, name
        run.tags.pop(CONTENT, None)  # so that it is written again
        return self.supersede(run, alone=alone)

    def _get(self, run_id: str) -> KnownRun | None:
        """Return a run by its id, unless it was deleted or is a double."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        run = known(found)
        return None if found.info.lifecycle_stage != "active" or run.is_double else run

    def _list(self, *, alone: bool) -> None:
        """Read all runs of the experiment."""
        self._search("")
        self.complete, self.sure = True, alone

    def _search(self, where: str) -> None:
        """Learn what runs there are. Of two runs of a cell one counts; the other is marked as its double."""
        seen: dict[str, list[KnownRun]] = {}
        for run in self._read(where):
            if (cell := run.tags.get(CELL)) is not None:
                seen.setdefault(cell, []).append(run)
        for cell, runs in seen.items():
            counts = min(runs, key=lambda run: (run.is_double, run.is_empty))  # of these the first, which is the oldest
            for run in runs:
                if run is not counts and not run.is_double:
                    self._mark(run, f"{DOUBLE}{counts.id}", "double")
            if cell not in self._of_cell or self._of_cell[cell].id != counts.id:
                self.add(cell, counts)

    def _read(self, where: str) -> Iterator[KnownRun]:
        """Yield what the experiment has of runs, the oldest first."""
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment], where, max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
            yield from map(known, page)
            token = page.token
            if not token:
                break

    def _mark(self, run: KnownRun, what: str, word: str) -> None:
        """Say in a run's tag, and in its name, that another counts in its place."""
        suffix = f" ({word} {run.id[:6]})"
        name = cut(run.name, NAME_LENGTH - len(suffix)) + suffix
        self.client.set_tag(run.id, SUPERSEDED, what)
        self.client.update_run(run.id, name=name)
        run.tags[SUPERSEDED], run.name = what, name


def _of(cell: str) -> str:
    return f"tags.`{CELL}` = '{cell}'"


def known(run: Run) -> KnownRun:
    """Return what mlflow says of a run."""
    info, data = run.info, run.data
    tags, params = dict(data.tags), dict(data.params)
    of_earlier_fmbench = configuration(tags.get(KIND, ""), params) if params else ""
    return KnownRun(
        info.run_id,
        info.start_time,
        info.artifact_uri,
        info.run_name or "",
        info.status,
        dict(data.metrics),
        set(params),
        tags,
        tags.get(CONFIGURATION, of_earlier_fmbench),
        has_dataset=bool(run.inputs is not None and run.inputs.dataset_inputs),
    )
