"""Tracker: what a run of a suite tells MLflow. Results are in the store first; nothing here can fail a cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmbench.cells.cells import TrainingCell
from fmbench.io.printable_text import count
from fmbench.results.records import EvaluationRecord, Records, TrainingRecord
from fmbench.tracking.background_writer import Writer
from fmbench.tracking.cell_runs import Common, evaluation_contents, training_content
from fmbench.tracking.configuration_runs import configuration_contents
from fmbench.tracking.credentials import shown
from fmbench.tracking.experiment import Server
from fmbench.tracking.ledger import Ledger
from fmbench.tracking.logged_models import NetworkToLog, TrainedNetworks
from fmbench.tracking.run_content import RunContent
from fmbench.tracking.run_links import RunLinks
from fmbench.tracking.run_names import varying_axes
from fmbench.tracking.server_check import check
from fmbench.tracking.summary_run import summary_content

PATIENCE = 10.0
"""Seconds without progress after which `finish` stops waiting for a server that fails."""

PASSING = 10.0
"""Seconds that a problem must last before it is said."""


@dataclass(frozen=True)
class TrackingSummary:
    """What became of the runs of a suite: how many were logged now, were there before, and are not there yet.

    `uri` is without its password. `problem` says why some are not, "" when all are. `experiment` is MLflow's id, ""
    when no server has answered yet.
    """

    uri: str
    suite: str
    logged: int
    unchanged: int
    pending: int
    problem: str = ""
    experiment: str = ""

    def __str__(self) -> str:
        text = f"MLflow at {self.uri}: {count(self.logged, 'run')} logged, {self.unchanged} unchanged"
        if not self.pending:
            return text
        return f"{text}, {self.pending} not logged ({self.problem})"


class Tracker:
    """Logs a suite to MLflow while it runs, from one thread of its own. Making one costs nothing and imports no mlflow.

    `uri` is what `resolve_uri` returns, `ledger` a file in the store, `settings` the suite as plain values and
    `environment` holds `git_commit`. `command` makes the suite's records, `report` is its report's page, and `data`
    says by label what datasets read. With `networks`, trained networks are logged as models. `patience` is in seconds.
    """

    def __init__(
        self,
        uri: str,
        suite: str,
        ledger: Path,
        description: str = "",
        settings: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, Any] | None = None,
        command: str = "",
        report: str = "",
        data: Mapping[str, str] | None = None,
        networks: TrainedNetworks | None = None,
        patience: float = PATIENCE,
        force: bool = False,
    ) -> None:
        self.uri, self.suite, self.ledger = uri, suite, ledger
        self._settings = settings or {}
        self._about: dict[str, Any] = {"command": command, "report": report, "data": data or {}}
        self._common = self._make_common(environment or {})
        self._force, self._networks = force, networks
        self._complained = False
        self._made: tuple[Records, list[RunContent]] | None = None
        self._memory = Ledger(ledger, uri, suite)
        self._writer = Writer(Server(uri, suite, description), self._memory, patience)

    def start(self) -> None:
        """Read the ledger. A server that is not there is no error here; see `check`."""
        if self._force:
            self._memory.disregard()
        else:
            self._memory.load()

    def check(self) -> None:
        """Raise TrackingError, with the URI and the next step, within a few seconds, when nothing can be logged."""
        check(self.uri)

    def log(self, training: TrainingRecord, evaluations: Sequence[EvaluationRecord]) -> None:
        """Queue what is known of a training cell and of some or all of its evaluations; returns at once.

        May be called again as more becomes known. Evaluations of a failed training get no run: its own says it all.
        """
        self._writer.put(self._contents(training, evaluations, self._common))

    def complaint(self) -> str:
        """Return, once, what keeps runs from being logged, if anything has for some time; else ""."""
        progress = self._writer.progress
        if self._complained or not progress.problem or time.monotonic() - progress.since < PASSING:
            return ""
        self._complained = True
        return (
            f"nothing can be logged to MLflow at {shown(self.uri)} now: {progress.problem}. It is tried again while "
            "the run goes on, and what is not logged at its end can be logged later: nothing is lost."
        )

    def links(self) -> RunLinks:
        """Return where MLflow has the cells' runs, as far as they are logged."""
        return self._writer.links()

    def open_ahead(self) -> None:
        """Import mlflow and open the server in the background, since something is going to be logged."""
        self._writer.open_ahead()

    def log_all(self, records: Records) -> None:
        """Queue whatever of a suite is not logged yet; returns at once. `finish` adds the summary run and waits."""
        self._writer.put(self._runs(records))

    @contextmanager
    def at_rest(self) -> Iterator[bool]:
        """Write nothing inside, so that the writer disturbs no timing; what waits is written afterwards.

        Yields False where a run that was being written took longer than `patience`, so that it may disturb after all.
        """
        rested = self._writer.rest()
        try:
            yield rested
        finally:
            self._writer.go_on()

    def drain(self) -> bool:
        """Wait until the queue is written. False when the server fails."""
        return self._writer.settle()

    def finish(
        self, records: Records, report: Path | None, progress: Callable[[int, int], None] | None = None
    ) -> TrackingSummary:
        """Log whatever is not logged yet, and the summary run; `report` is the report's folder or page.

        `progress(done, total)` is called from this thread. Waits until all is logged, or for `patience` seconds without
        progress; what is left then is counted, and `sync` logs it later.
        """
        contents = self._runs(records)
        common = self._make_common(records.environment)
        writer = self._writer
        writer.put([*contents, summary_content(records, contents, common, report)])
        writer.settle(progress)
        writer.close()
        problem = next(iter(writer.progress.failed.values()), writer.progress.problem or "the server does not answer")
        return TrackingSummary(
            uri=shown(self.uri),
            suite=self.suite,
            logged=len(writer.progress.logged),
            unchanged=len(writer.seen.keys() - writer.progress.logged - writer.unlogged),
            pending=len(writer.unlogged),
            problem=problem if writer.unlogged else "",
            experiment=self._memory.experiment,
        )

    def _runs(self, records: Records) -> list[RunContent]:
        """Return the runs of all cells of a suite; those of the same records are made once."""
        if self._made is not None and self._made[0] is records:
            return self._made[1]
        common = self._make_common(records.environment)
        of_training: dict[str, list[EvaluationRecord]] = {r.cell.key: [] for r in records.trainings}
        for record in records.evaluations:
            of_training.setdefault(record.cell.training.key, []).append(record)
        contents = [c for r in records.trainings for c in self._contents(r, of_training[r.cell.key], common)]
        if self._networks is not None:
            trained = {r.cell.key: r.cell for r in records.trainings if r.status == "ok" and _has_network(r.cell)}
            contents = [
                replace(c, network=NetworkToLog(trained[c.cell], self._networks)) if c.cell in trained else c
                for c in contents
            ]
        contents += configuration_contents(contents, records, common)
        self._made = records, contents
        return contents

    def _contents(
        self, training: TrainingRecord, evaluations: Sequence[EvaluationRecord], common: Common
    ) -> list[RunContent]:
        below = list(evaluation_contents(training, evaluations, common)) if training.status in {"ok", "missing"} else []
        if training.status == "missing" and not below:
            return []
        return [training_content(training, common), *below]

    def _make_common(self, environment: Mapping[str, Any]) -> Common:
        commit = str(environment.get("git_commit") or "")
        notes = {"mlflow.source.git.commit": commit} if commit else {}
        return Common(self.suite, varying_axes(self._settings), notes, **self._about)


def _has_network(cell: TrainingCell) -> bool:
    """Whether a cell's own training made a network: given models are somebody's already."""
    return cell.samples is None and not cell.is_given


def sync(
    records: Records,
    uri: str,
    ledger: Path,
    report: Path | None,
    progress: Callable[[int, int], None] | None = None,
    *,
    networks: TrainedNetworks | None = None,
    force: bool = True,
    patience: float = PATIENCE,
) -> TrackingSummary:
    """Bring MLflow up to date with records. With `force` the ledger does not count: the server is asked what it has.

    Raises TrackingError when the server is not there.
    """
    tracker = Tracker(
        uri,
        records.suite,
        ledger,
        records.description,
        records.settings,
        command=records.command,
        report=str(report / "index.html") if report is not None and report.is_dir() else "",
        data=records.data,
        networks=networks,
        patience=patience,
        force=force,
    )
    tracker.check()
    tracker.start()
    return tracker.finish(records, report, progress)
