"""Computes what the store lacks of a plan: tasks to the executor, events to the observer and to MLflow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from itertools import chain

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.executors.base import Executor
from fmbench.executors.choose import make_executor
from fmbench.executors.devices import workers_a_gpu
from fmbench.executors.jobs import jobs_and_threads, remote_jobs_and_threads, sampled_together
from fmbench.executors.messages import ELSEWHERE, Event, WorkerConfig
from fmbench.executors.tasks import (
    EvaluateFleetTask,
    EvaluateTask,
    MeasureTask,
    PrepareTask,
    ReferenceTask,
    ReferenceWork,
    TrainAndEvaluateTask,
    TrainTask,
    Work,
)
from fmbench.io.printable_text import count
from fmbench.plugins.guidance import guidance_spec
from fmbench.results.cell_keys import flow_snapshot_key, sampler_key
from fmbench.results.cell_state import unsteady
from fmbench.results.collect import ResultsIndex
from fmbench.results.eta import steps_ahead
from fmbench.runner.failure_messages import FailureMessages
from fmbench.runner.fleets import Fleets
from fmbench.runner.forecast import Forecast
from fmbench.runner.progress import STAGES, Observer
from fmbench.runner.session import Session
from fmbench.runtime.device import device_type
from fmbench.store.store_mark import claim
from fmbench.tracking import Tracker

STAGE_OF = {"evaluation": "evaluation", "floor": "evaluation", "oracle": "evaluation", "sampler": "timing"}
REFERENCES_A_TASK = 16
"""Floors and oracles are quick, so that a worker takes many at once."""


class _FirstFailure(Exception):
    """A cell failed in a run that is to end there."""


class Scheduler:
    """Computes what the store lacks of a plan, on the executor that the session's options name.

    `computed` counts the units that were computed, by section, and as "measurement" the trained cells that lacked a
    metric; `elsewhere` counts those that other drivers on this store computed meanwhile. `worked` says whether the
    store changed at all. `stopped` says where a run ended that was to end at its first failure, "" where it went to
    its end.
    """

    def __init__(
        self, session: Session, results_index: ResultsIndex, observer: Observer, tracker: Tracker | None
    ) -> None:
        self.session, self.results_index, self.observer, self.tracker = session, results_index, observer, tracker
        self.work = self._evaluation_work()
        self.references = self._reference_work()
        self.failure_messages = FailureMessages(observer.say)
        self.computed: dict[str, int] = defaultdict(int)
        self.elsewhere: dict[str, int] = defaultdict(int)
        self.worked, self.stopped = False, ""
        self._steps: dict[str, int] = defaultdict(int)
        self._leads: dict[str, str] = {}
        self._untrained = {key for key, state in results_index.trainings.items() if state.is_untrained}
        self._unmeasured = sum(s.todo and not s.is_untrained for s in results_index.trainings.values())
        self._training_of = {piece.key: piece.cell.training for pieces in self.work.values() for piece in pieces}
        self._mates: dict[str, tuple[set[str], list[EvaluateTask]]] = {}
        self._open = {key: {piece.key for piece in pieces} for key, pieces in self.work.items()}
        self._chained: dict[str, list[Work]] = {}
        self._held: list[EvaluateTask | EvaluateFleetTask] = []

    def run(self) -> dict[str, int]:
        """Compute everything that can be computed; return how many units of each section were."""
        tasks = len(self._untrained | self.work.keys()) + len(self.references)
        if not tasks and not any(state.todo for state in self.results_index.samplers.values()):
            return dict(self.computed)
        config = self.config
        try:
            with self._executor(config, STAGES[:-1]) as executor:
                if tasks:
                    claim(self.session.store)
                    self.session.store.pull_shared()
                    executor.warm_up(tasks)
                    self._prepare(executor)
                    self._train_and_evaluate(executor, config)
                self._measure(executor)
        except _FirstFailure as failure:
            self.stopped = str(failure)
        if self._unmeasured:
            self.computed["measurement"] = self._unmeasured
        return dict(self.computed)

    def time_again(self, cells: Iterable[EvaluationCell]) -> None:
        """Measure the samplers of cells at one more moment, beside what the store holds of them."""
        with self._executor(self._timing_config, ("timing",)) as executor:
            self._time(executor, self._sampler_work(cells, again=True), again=True)

    @contextmanager
    def _executor(self, config: WorkerConfig, stages: Iterable[str]) -> Iterator[Executor]:
        """Return an executor, which is closed in the end; so are messages and stages."""
        executor = make_executor(self.session.options.executor, config, self.session.options)
        executor.expected_seconds = Forecast(self.results_index).seconds
        try:
            yield executor
        finally:
            executor.close()
            self.failure_messages.end()
            for stage in stages:
                self.observer.end(stage)

    @property
    def config(self) -> WorkerConfig:
        """The configuration of the suite's trainings."""
        # from the whole plan, not from what is left of it: a resumed training must have the threads that it began with
        return self._config(self.session.options.jobs, len(self.session.plan.trainings))

    @property
    def _timing_config(self) -> WorkerConfig:
        """The configuration under which samplers are timed: one worker, with a machine and all its cores for itself."""
        options = self.session.options
        processes, threads = jobs_and_threads("1", 1, self.session.device)
        return replace(self._config(options.jobs, 1), jobs=processes, threads=threads, alone=True)

    def _evaluation_work(self) -> dict[str, list[Work]]:
        """What is to be evaluated, by training key."""
        work: dict[str, list[Work]] = {}
        for cell in self.session.plan.evaluations:
            training = self.results_index.trainings[cell.training.key]
            lost = training.result is None and training.failure is not None
            if not lost and self.results_index.evaluation(cell).todo:
                wanted = self.results_index.wanted_of(cell)
                work.setdefault(cell.training.key, []).append(Work(cell.key, cell, wanted))
        for training_cell in self.session.plan.trainings:
            training = self.results_index.trainings[training_cell.key]
            if training.todo or (training.result is not None and self._lacks_flow_snapshot(training_cell)):
                work.setdefault(training_cell.key, [])
        return work

    def _reference_work(self) -> list[ReferenceWork]:
        """What is to be measured of floors and oracles."""
        states = ((cell, self.results_index.reference(cell)) for cell in self.results_index.references.cells)
        return [ReferenceWork(cell, state.wanted) for cell, state in states if state.todo]

    def _lacks_flow_snapshot(self, cell: TrainingCell) -> bool:
        """Whether figures show the cell, and its flow snapshot was neither made nor tried."""
        return cell.key in self.results_index.flow_snapshots and self.results_index.flow_snapshots[cell.key].todo

    def _train_and_evaluate(self, executor: Executor, config: WorkerConfig) -> None:
        cells = {cell.key: cell for cell in self.session.plan.trainings}
        to_train = [cell for key, cell in cells.items() if key in self._untrained]
        if to_train:
            self.observer.begin("training", sum(steps_ahead(self.results_index, cell) for cell in to_train))
        if evaluations := sum(len(work) for work in self.work.values()) + len(self.references):
            self.observer.begin("evaluation", evaluations)
        states = self.results_index.trainings.items()
        failed = {key: str(state.failure["status"]) for key, state in states if state.failure}
        fleets = Fleets(self.session.store.root, config, list(cells.values()), self._untrained, failed)
        for task in fleets.probes():
            executor.submit(task)
        if to_train:
            for event in executor.events():
                self._note(event)
        self._submit_fleets(executor, fleets)
        for key in [key for key in cells if key in self.work.keys() - self._untrained]:
            self._submit(executor, self._evaluate_task(cells[key]))
        for first in range(0, len(self.references), REFERENCES_A_TASK):
            executor.submit(ReferenceTask(tuple(self.references[first : first + REFERENCES_A_TASK])))
        for event in executor.events():
            if event.what in {"finished", "failed"} and event.section == "training" and event.key in self._untrained:
                self._untrained.discard(event.key)
                self._count(event, cells[event.key].unit)
                if event.status == ELSEWHERE:
                    self.observer.advance("training", steps_ahead(self.results_index, cells[event.key]))
                trained = event.what == "finished" or self.results_index.trainings[event.key].result is not None
                if not trained:
                    self._lost(cells[event.key])
                ended = self._evaluate_tasks(cells[event.key], trained=trained)
                held, self._held = self._held, []
                for evaluation in (*held, *ended):
                    self._submit(executor, evaluation)
                fleets.ended(event.key)
                self._submit_fleets(executor, fleets)
            self._note(event)

    def _submit(self, executor: Executor, task: EvaluateTask | EvaluateFleetTask) -> None:
        """Have trained cells evaluated, once the weaker models that guide them have been trained, or failed."""
        tasks = task.tasks if isinstance(task, EvaluateFleetTask) else (task,)
        weaker = {work.cell.weaker.key for each in tasks for work in each.work if work.cell.weaker is not None}
        if weaker & self._untrained:
            self._held.append(task)
        else:
            executor.submit(task)

    def _prepare(self, executor: Executor) -> None:
        """Have one worker build and check everything, so that a user's mistake is known before the first step."""
        self.observer.begin("preparing", 1)
        tuning = self.session.plan.tuning
        executor.submit(PrepareTask(self._components, self._samples, tuning.metric.spec if tuning else None))
        for event in executor.events():
            self._note(event)
        self.observer.advance("preparing")
        self.observer.end("preparing")

    def _lost(self, training: TrainingCell) -> None:
        """Count the evaluations of a failed training as over, and have the failure logged."""
        if lost := len(self.work.pop(training.key, [])):
            self.observer.advance("evaluation", lost)
        self._log(training)

    def _evaluate_task(self, cell: TrainingCell) -> EvaluateTask:
        """Return the evaluations of a cell that were not given out with its training."""
        if cell.key in self._chained:
            return EvaluateTask(cell, (), self._in_order(self._chained[cell.key]))
        work = self._in_order(self.work.get(cell.key, ()))
        flow_snapshot = flow_snapshot_key(cell.key) if self._lacks_flow_snapshot(cell) else ""
        return EvaluateTask(cell, self.results_index.wanted(cell, "training"), work, flow_snapshot)

    def _in_order(self, pieces: Iterable[Work]) -> tuple[Work, ...]:
        """Return evaluations of a cell, those of the same weights one after the other, so that each are read once."""
        return tuple(sorted(pieces, key=lambda piece: piece.cell.weights_name))

    def _submit_fleets(self, executor: Executor, fleets: Fleets) -> None:
        """Have those fleets trained that can begin, whose members are to be evaluated together."""
        for fleet in fleets.ready():
            mates = [cell.key for cell in fleet.cells]
            self._mates |= dict.fromkeys(mates, (set(mates), []))
            executor.submit(self._chain(fleet) if executor.chains else fleet)

    def _chain(self, fleet: TrainTask) -> TrainAndEvaluateTask:
        """Return a fleet with the evaluations that follow, but for those that wait for other trainings."""
        tasks = []
        for task in map(self._evaluate_task, fleet.cells):
            waiting = [piece for piece in task.work if piece.cell.weaker and piece.cell.weaker.key in self._untrained]
            self._chained[task.training.key] = waiting
            tasks.append(task.without({("evaluation", piece.key) for piece in waiting}))
        return TrainAndEvaluateTask(fleet, tuple(task for task in tasks if task.units))

    def _evaluate_tasks(self, cell: TrainingCell, *, trained: bool) -> list[EvaluateTask | EvaluateFleetTask]:
        """Return what can be evaluated after a training has ended: nothing, until its whole fleet has."""
        training, ended = self._mates.pop(cell.key)
        training.discard(cell.key)
        ended.extend([task] if trained and (task := self._evaluate_task(cell)).units else [])
        if training or not ended:
            return []
        together = sampled_together(self.session.device, len(ended))
        return [EvaluateFleetTask(tuple(ended))] if together else list(ended)

    def _measure(self, executor: Executor) -> None:
        """Measure what samplers cost, one at a time, with every core and nothing else of the suite at work."""
        if not (work := self._sampler_work(self.session.plan.evaluations)):
            return
        # the writer would disturb the times
        with self.tracker.at_rest() if self.tracker is not None else nullcontext(True) as rested:
            if not rested:
                self.observer.say("MLflow is still being written to: the times that are measured now may be too long")
            self._time(executor, work)

    def _sampler_work(self, cells: Iterable[EvaluationCell], *, again: bool = False) -> dict[str, Work]:
        """Return what is to be measured of the samplers of cells, by `sampler_key`; `again` also what was measured."""
        work: dict[str, Work] = {}
        for cell in cells:
            key = sampler_key(cell)
            state = self.results_index.samplers.get(key)
            if state is not None and (again or state.todo) and key not in work and self._usable(cell):
                work[key] = Work(state.folder.path.name, cell, self.results_index.wanted(cell.training, "sampler"))
        return work

    def _time(self, executor: Executor, work: Mapping[str, Work], *, again: bool = False) -> None:
        executor.reconfigure(self._timing_config)
        by_training: dict[str, list[Work]] = defaultdict(list)
        for piece in work.values():
            by_training[piece.cell.training.key].append(piece)
        for pieces in by_training.values():
            executor.submit(MeasureTask(pieces[0].cell.training, (), tuple(pieces), again=again))
        self.observer.begin("timing", len(work))
        measured: set[str] = set()
        for event in executor.events():
            self._note(event)
            if event.what == "finished" and event.status != ELSEWHERE:
                measured.add(event.key)
        if not again:
            self._time_unsteady(executor, work, measured)

    def _time_unsteady(self, executor: Executor, work: Mapping[str, Work], measured: Collection[str]) -> None:
        """Measure those samplers once more whose times are no facts, for the machine was busy with something else;
        others look at what they `measured` themselves.
        """
        folders = {key: self.session.store.folder("sampler", piece.key) for key, piece in work.items()}
        found = unsteady([(piece.cell, folders[key]) for key, piece in work.items()])
        busy = [cell for cell in found if work[sampler_key(cell)].key in measured]
        if not busy:
            return
        self.observer.say(f"{len(busy)} of {len(work)} times are unsteady: they are measured once more")
        for cell in busy:
            executor.submit(MeasureTask(cell.training, (), (work[sampler_key(cell)],), anew=True))
        for event in executor.events():
            if event.what == "failed":  # said, and counted before
                self.failure_messages.failed(event.section, event.key, event.status, event.text)

    def _usable(self, cell: EvaluationCell) -> bool:
        """Whether what the cell calls is in the store by now, so that a sampler can be measured with it."""
        called = (cell.training, *([cell.weaker] if cell.weaker else []))
        self.session.store.pull("training", [each.key for each in called])
        return all(self.session.store.folder("training", each.key).result() is not None for each in called)

    def _note(self, event: Event) -> None:
        """Count, show and log one event."""
        self.worked = True
        self._tell_unit(event)
        if event.what == "started" and event.key in self._untrained:
            if lost := self._steps.pop(self._leads.get(event.key, event.key), 0):  # it begins again, alone perhaps
                self.observer.advance("training", -lost)
            self._leads |= dict.fromkeys(event.fleet or (event.key,), event.key)
        elif event.what == "advanced":
            self._steps[event.key] += event.amount
            self.observer.advance("training", event.amount)
        elif event.what == "damaged":
            if not self.results_index.is_told(event.section, event.key):
                self.observer.say(f"damaged, so computed again: {event.text}")
        elif event.what == "again":
            self.observer.say(f"{event.section} {event.key}: {event.text}; it is tried once more")
        elif event.what == "waiting":
            self.observer.say(f"waiting for {count(event.amount, 'cell')} that others compute: {event.text}")
        elif event.what == "warned":
            self.failure_messages.warned(event.section, event.key, event.text)
        elif event.what == "slowed" or (event.what, event.section) == ("failed", "probe"):
            self.failure_messages.slowed(event.text)
        elif event.what == "failed":
            self.failure_messages.failed(event.section, event.key, event.status, event.text)
        if event.what in {"finished", "failed"} and event.section in STAGE_OF:
            self._count(event, event.section)
            self.observer.advance(STAGE_OF[event.section])
            if event.section == "evaluation":
                self._evaluated(event.key)

        if self.session.options.fail_fast and (failure := self._failure(event)):
            raise _FirstFailure(failure)

    def _tell_unit(self, event: Event) -> None:
        """Tell the observer which cell a worker has begun, or ended."""
        if event.section not in ("training", *STAGE_OF):
            return
        for key in event.fleet or (event.key,):
            if event.what == "started":
                training = self._training_of.get(key) if event.section != "training" else self._cells.get(key)
                self.observer.began(f"{event.section} {key}", f"{event.section} {training or key}")
            elif event.what in {"finished", "failed", "again", "held", "preempted"}:
                self.observer.ended(f"{event.section} {key}", failed=event.what == "failed")

    def _count(self, event: Event, name: str) -> None:
        """Count a unit that has ended, as computed here or elsewhere."""
        counts = self.elsewhere if event.status == ELSEWHERE else self.computed
        counts[name] += 1

    def _failure(self, event: Event) -> str:
        """Say what failed, by an event: a cell, or one of its metrics; "" where nothing did."""
        if event.section in {"", "probe", "preparing"} or event.what not in {"failed", "finished"}:
            return ""
        text = event.text
        if event.what == "finished":
            metrics = self.session.store.folder(event.section, event.key).metrics()
            text = next((str(entry["error"]) for entry in metrics.values() if "error" in entry), "")
        return f"{event.section} {event.key}: {text}" if text else ""

    def _evaluated(self, key: str) -> None:
        """Hand a training cell to the tracker when the last of its evaluations has ended."""
        training = self._training_of[key]
        self._open[training.key].discard(key)
        if not self._open[training.key]:
            self._log(training)

    def _log(self, training: TrainingCell) -> None:
        if self.tracker is None:
            return
        evaluations = self.session.plan.evaluations_of(training)
        self.results_index.look_again(training, evaluations)
        records = [self.results_index.evaluation_record(cell) for cell in evaluations if not cell.on_validation]
        self.tracker.log(self.results_index.training_record(training), records)
        if complaint := self.tracker.complaint():
            self.observer.say(complaint)

    @cached_property
    def _cells(self) -> dict[str, TrainingCell]:
        """The training cells by their key."""
        return {cell.key: cell for cell in self.session.plan.trainings}

    @cached_property
    def _components(self) -> tuple[ComponentSpec, ...]:
        """Return every component that the plan uses, once."""
        plan = self.session.plan
        trained = (spec for cell in plan.trainings for spec in cell.components)
        sampled = (spec for cell in plan.evaluations for spec in (cell.solver, cell.grid) if spec is not None)
        choices = {cell.guidance for cell in plan.evaluations}
        guided = [spec for each in choices if (spec := guidance_spec(each, self.session.registry)) is not None]
        used = chain(trained, sampled, sorted(guided, key=str), plan.metrics)
        return tuple({spec.digest: spec for spec in used if spec.is_registered}.values())

    @property
    def _samples(self) -> tuple[tuple[TrainingCell, int], ...]:
        """Return the cells of samples made elsewhere that are to be scored, and how many samples of each."""
        pieces = (piece.cell for pieces in self.work.values() for piece in pieces if piece.cell.training.samples)
        return tuple((cell.training, int(cell.settings["samples"])) for cell in pieces)

    def _config(self, jobs: str, tasks: int) -> WorkerConfig:
        options, evaluation = self.session.options, self.session.suite.evaluation
        processes, threads = self._jobs_and_threads(jobs, tasks)
        needed = tuple(sorted({(spec.kind, spec.name) for spec in self._components}))
        return WorkerConfig(
            plugins=self.session.registry.plugins,
            fingerprints=self.session.registry.fingerprints(needed),
            store=str(self.session.store.root.resolve()),
            store_url=self.session.store.url,
            device=self.session.device,
            threads=threads,
            jobs=processes,
            checkpoint_seconds=options.checkpoint_seconds,
            evaluation_batch=evaluation.batch_size,
            keep_samples=evaluation.keep_samples,
            trains=bool(self._untrained),
            components=needed,
            resources=self.session.resources,
            gpus=self.session.gpus.devices,
        )

    def _jobs_and_threads(self, wanted: str, tasks: int) -> tuple[int, int]:
        """Return how many workers there are at most, and threads each. Raises UserError for a wrong option."""
        cpu = dict(self.session.resources).get("cpu")
        if self.session.is_remote:
            return remote_jobs_and_threads(wanted, cpu)
        on_gpus = max(1, len(self.session.gpus.devices)) * self._workers_a_gpu
        return jobs_and_threads(wanted, tasks, self.session.device, cpu, on_gpus)

    @cached_property
    def _workers_a_gpu(self) -> int:
        """How many workers share a GPU: as many as are wanted, or fit by what trainings took; fewer are said."""
        results = [state.result for state in self.results_index.trainings.values() if state.result is not None]
        facts = [result["facts"] for result in results]
        taken = [each["peak_memory"] for each in facts if device_type(each.get("device", "")) == "cuda"]
        number, why = workers_a_gpu(self.session.options.per_gpu, max(taken, default=None), self.session.gpus.memory)
        if why:
            self.observer.say(why)
        return number
