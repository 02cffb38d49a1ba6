"""Runs a suite: plan, train, evaluate, measure, log, report. What is done is skipped; what fails becomes a row."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fmbench.cells import ComponentSpec, EvaluationCell, TrainingCell, canonical
from fmbench.executors.local import LocalExecutor, jobs_and_threads
from fmbench.executors.tasks import (
    EvaluateTask,
    Event,
    MeasureTask,
    PrepareTask,
    TrainTask,
    Work,
    WorkerConfig,
)
from fmbench.records import Records
from fmbench.session import Options, Session, absolute_plugins, open_session
from fmbench.store import read_sealed, write_sealed
from fmbench.survey import Survey, sampler_key
from fmbench.tracking import Tracker, TrackingSummary, resolve_uri

STAGES = ("preparing", "training", "evaluation", "timing", "logging")
STAGE_OF = {"evaluation": "evaluation", "sampler": "timing"}


class Observer(Protocol):
    """Is told how a run gets on. `stage` names one of STAGES."""

    def say(self, text: str) -> None:
        """Something that the user should read."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage begins, of so many units."""

    def advance(self, stage: str, amount: int = 1) -> None:
        """So many units are done."""

    def end(self, stage: str) -> None:
        """A stage has ended."""


class Silent:
    """The observer of a run that nobody watches."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Show nothing."""

    def advance(self, stage: str, amount: int = 1) -> None:
        """Show nothing."""

    def end(self, stage: str) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class RunResult:
    """What a run leaves behind. `computed` counts the units that were computed: training, evaluation, sampler."""

    records: Records
    report: Path
    computed: dict[str, int]
    tracking: TrackingSummary | None
    fresh_report: bool


def run(suite: str | Path, options: Options | None = None, observer: Observer | None = None) -> RunResult:
    """Run a suite to its report. Raises UserError for input at fault; failed cells are rows of the records.

    Example:
        >>> result = fmbench.run("suites/smoke.yaml")  # doctest: +SKIP
        >>> result.records.frame()  # doctest: +SKIP
    """
    return run_session(open_session(suite, options), observer or Silent())


def run_session(session: Session, observer: Observer) -> RunResult:
    """Run a suite that is already planned."""
    survey = session.survey()
    for text in survey.damaged:
        observer.say(f"damaged, so computed again: {text}")
    tracker = make_tracker(session) if session.options.tracking else None
    if tracker is not None:
        tracker.start()
    computed = Computation(session, survey, observer, tracker).run()
    if computed:
        survey = session.survey()
    records = session.records(survey)
    report, fresh = write_report_if_changed(session, records)
    summary = None
    if tracker is not None:
        summary = tracker.finish(records, report.parent, lambda done, total: observer.begin("logging", total, done))
        observer.end("logging")
    return RunResult(records, report, computed, summary, fresh)


def make_tracker(session: Session) -> Tracker:
    """Return the tracker of a session; it touches nothing yet."""
    uri = resolve_uri(session.options.tracking_uri, Path())
    name = hashlib.sha256(uri.encode()).hexdigest()[:12]
    ledger = session.store.root / "tracking" / f"{session.suite.name}-{name}.json"
    return Tracker(uri, session.suite.name, ledger, session.suite.description, session.suite.settings())


class Computation:
    """Computes what a survey found lacking, on the local executor."""

    def __init__(self, session: Session, survey: Survey, observer: Observer, tracker: Tracker | None) -> None:
        self.session, self.survey, self.observer, self.tracker = session, survey, observer, tracker
        self.work = self._evaluation_work()
        self.computed: dict[str, int] = defaultdict(int)
        self._training_of = {cell.key: cell.training for cell in session.plan.evaluations}
        self._open = {key: {piece.key for piece in pieces} for key, pieces in self.work.items()}

    def run(self) -> dict[str, int]:
        """Compute everything that can be computed; return how many units of each section were."""
        to_train = [
            c for c in self.session.plan.trainings if self.survey.trainings[c.key].result is None and self._may(c)
        ]
        tasks = len(to_train) + len(self.work)
        if tasks:
            self.session.store.check_writable()
            self._train_and_evaluate(to_train)
        self._measure()
        return dict(self.computed)

    def _may(self, cell: TrainingCell) -> bool:
        return self.survey.trainings[cell.key].failure is None

    def _evaluation_work(self) -> dict[str, list[Work]]:
        """What is to be evaluated, by training key."""
        work: dict[str, list[Work]] = {}
        for cell in self.session.plan.evaluations:
            state = self.survey.evaluations[cell.key]
            training = self.survey.trainings[cell.training.key]
            lost = training.result is None and training.failure is not None
            if state.todo and not lost:
                wanted = self.survey.wanted(cell.training, "evaluation")
                work.setdefault(cell.training.key, []).append(Work(cell.key, cell, wanted))
        for cell in self.session.plan.trainings:
            if self.survey.trainings[cell.key].todo:
                work.setdefault(cell.key, [])
        return work

    def _train_and_evaluate(self, to_train: list[TrainingCell]) -> None:
        executor = self._executor(self.session.options.jobs, max(len(to_train), len(self.work)))
        cells = {cell.key: cell for cell in self.session.plan.trainings}
        pending = {cell.key for cell in to_train}
        evaluations = sum(len(work) for work in self.work.values())
        try:
            self.observer.begin("preparing", 1)
            executor.submit(PrepareTask(self._components()))
            for event in executor.events():
                self._note(event)
            self.observer.end("preparing")
            if to_train:
                self.observer.begin("training", sum(cell.settings["steps"] for cell in to_train))
            for cell in to_train:
                executor.submit(TrainTask((cell,)))
            for key in self.work.keys() - pending:
                executor.submit(self._evaluate_task(cells[key]))
            if evaluations:
                self.observer.begin("evaluation", evaluations)
            for event in executor.events():
                self._note(event)
                if event.section == "training" and event.key in pending and event.what in {"finished", "failed"}:
                    pending.discard(event.key)
                    self._trained(executor, cells[event.key], event)
        finally:
            executor.close()
            self.observer.end("training")
            self.observer.end("evaluation")

    def _trained(self, executor: LocalExecutor, cell: TrainingCell, event: Event) -> None:
        if event.what == "finished":
            executor.submit(self._evaluate_task(cell))
        else:
            self.observer.advance("evaluation", len(self.work.get(cell.key, [])))

    def _evaluate_task(self, cell: TrainingCell) -> EvaluateTask:
        return EvaluateTask(cell, self.survey.wanted(cell, "training"), tuple(self.work.get(cell.key, ())))

    def _measure(self) -> None:
        """Measure what samplers cost, one at a time, with every core and nothing else of the suite at work."""
        work: dict[str, Work] = {}
        for cell in self.session.plan.evaluations:
            key = sampler_key(cell)
            if (
                key in self.survey.samplers
                and self.survey.samplers[key].todo
                and key not in work
                and self._usable(cell)
            ):
                work[key] = Work(key, cell, self.survey.wanted(cell.training, "sampler"))
        if not work:
            return
        if self.tracker is not None:
            self.tracker.drain()  # the writer would disturb the times
        executor = self._executor("1", 1)
        by_training: dict[str, list[Work]] = defaultdict(list)
        for piece in work.values():
            by_training[piece.cell.training.key].append(piece)
        for pieces in by_training.values():
            executor.submit(MeasureTask(pieces[0].cell.training, (), tuple(pieces)))
        self.observer.begin("timing", len(work))
        try:
            for event in executor.events():
                self._note(event)
        finally:
            executor.close()
            self.observer.end("timing")

    def _usable(self, cell: EvaluationCell) -> bool:
        """Whether the cell's training is in the store by now, so that a sampler can be measured with it."""
        return self.session.store.folder("training", cell.training.key).result() is not None

    def _note(self, event: Event) -> None:
        """Count, show and log one event."""
        if event.what == "advanced":
            self.observer.advance("training", event.amount)
        elif event.what == "damaged":
            self.observer.say(f"damaged, so computed again: {event.text}")
        elif event.what in {"finished", "failed"}:
            self.computed[event.section] += 1
            if event.what == "failed":
                self.observer.say(f"{event.section} {event.key}: {event.status}: {event.text}")
            if event.section in STAGE_OF:
                self.observer.advance(STAGE_OF[event.section])
            if event.section == "evaluation":
                self._log_when_complete(event.key)

    def _log_when_complete(self, key: str) -> None:
        """Hand a training cell to the tracker when the last of its evaluations has ended."""
        training = self._training_of[key]
        self._open[training.key].discard(key)
        if self._open[training.key] or self.tracker is None:
            return
        evaluations = self.session.plan.evaluations_of(training)
        self.survey.look_again(training, evaluations)
        self.tracker.log(
            self.survey.training_record(training), [self.survey.evaluation_record(cell) for cell in evaluations]
        )

    def _components(self) -> tuple[ComponentSpec, ...]:
        """Return every component that the plan uses, once."""
        specs: dict[str, ComponentSpec] = {}
        for cell in self.session.plan.trainings:
            specs |= {spec.digest: spec for spec in cell.components}
        for evaluation in self.session.plan.evaluations:
            specs[evaluation.solver.digest] = evaluation.solver
            if evaluation.grid is not None:
                specs[evaluation.grid.digest] = evaluation.grid
        for metric in self.session.plan.metrics:
            specs[metric.digest] = metric
        return tuple(specs.values())

    def _executor(self, jobs: str, tasks: int) -> LocalExecutor:
        options, evaluation = self.session.options, self.session.suite.evaluation
        processes, threads = jobs_and_threads(jobs, tasks, self.session.device)
        config = WorkerConfig(
            plugins=absolute_plugins(options.plugins),
            fingerprints=self.session.registry.fingerprints(),
            store=str(self.session.store.root.resolve()),
            device=self.session.device,
            threads=threads,
            jobs=processes,
            checkpoint_seconds=options.checkpoint_seconds,
            evaluation_batch=evaluation.batch_size,
            keep_samples=evaluation.keep_samples,
        )
        return LocalExecutor(config, options.timeout)


def write_report_if_changed(session: Session, records: Records) -> tuple[Path, bool]:
    """Write the suite's report unless the one that is there was made from the same records. Return it, and whether."""
    page = session.report_folder / "index.html"
    content = {
        "rows": [record.row() for record in records.evaluations],
        "trainings": [(record.cell.key, record.status, record.error) for record in records.trainings],
        "rest": [records.description, records.command, records.left_out, records.baseline, records.environment],
        "folder": str(session.report_folder.resolve()),
    }
    stamp = {"digest": hashlib.sha256(canonical(content).encode()).hexdigest()}
    noted = session.store.root / "reports" / f"{session.suite.name}.json"
    if page.exists() and read_sealed(noted) == stamp:
        return page, False
    from fmbench.report import write_report

    page = write_report(records, session.report_folder)
    write_sealed(noted, stamp)
    return page, True
