"""Computes tasks unit by unit. A unit that fails is recorded in the store and said, and the next one follows."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import fields
from functools import partial

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import TrainingFacts
from fmbench.errors import CellFailure, DamagedFile, LeaseLost, ProcessChanged, StoreError, WorkerDied
from fmbench.evaluation import evaluate, flow_snapshots
from fmbench.evaluation.given_samples import score_samples
from fmbench.evaluation.noise_floor import measure_floor
from fmbench.evaluation.oracle import measure_oracle
from fmbench.evaluation.sampler_timing import measure_sampler
from fmbench.evaluation.sampling import Drawn
from fmbench.evaluation.training_metrics import measure_training
from fmbench.executors.evaluate_fleet import draw_together
from fmbench.executors.jobs import sampled_together
from fmbench.executors.library_warnings import LibraryWarnings
from fmbench.executors.messages import ELSEWHERE, Event, Say
from fmbench.executors.out_of_memory import batch_at_work, halve_batch_once, with_advice
from fmbench.executors.preemption import Preempted, Preemption
from fmbench.executors.prepare import prepare, probe
from fmbench.executors.process_health import SpoiltProcess, lingering
from fmbench.executors.quiet_machine import QuietMachine
from fmbench.executors.tasks import (
    EvaluateFleetTask,
    EvaluateTask,
    MeasureTask,
    PrepareTask,
    ProbeTask,
    ReferenceTask,
    ReferenceWork,
    Task,
    TrainAndEvaluateTask,
    TrainTask,
    Unit,
    Work,
)
from fmbench.executors.train_fleet import lacks_snapshots, train_fleet
from fmbench.executors.unit_ending import UnitEnding
from fmbench.executors.unit_leases import UnitLeases, why_given_up
from fmbench.io.file_lock import StoppedWaiting
from fmbench.isolation import global_random
from fmbench.isolation.process_state import foreign_code_ran, watch_all
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import NOISE_BLOCK, Trained, load_trained
from fmbench.runtime.environment import measured_on
from fmbench.runtime.failures import describe_failure, is_out_of_memory
from fmbench.runtime.memory import free_unused
from fmbench.store.cell_folder import CellFolder
from fmbench.store.fleet_records import complete_endings
from fmbench.store.group_commit import GroupCommit
from fmbench.training import given_models, loop

log = logging.getLogger(__name__)

Cell = TrainingCell | ReferenceCell
Step = tuple[Unit, Cell, Callable[[], bool]]
"""A unit, the cell whose seed it has, and what computes it, which returns whether anything was left to compute."""


class Computer:
    """Computes tasks into the worker context's store, and says what happens through `say`."""

    def __init__(self, context: WorkerContext, say: Say) -> None:
        self.context = context
        self.preemption = Preemption(context)
        self._send = say
        self._unit: Unit = ("", "")
        self._fleet: list[str] = []
        self.warnings = LibraryWarnings(lambda: context.components)
        self._trained: Trained | None = None
        self._drawn: dict[str, Drawn] = {}
        self._leases = UnitLeases(context.store)
        self._machine = QuietMachine(context.store, lambda text: self.say(Event("slowed", "sampler", text=text)))

    def say(self, event: Event) -> None:
        """Say what happens, after what libraries have warned of until then."""
        self._say_warnings()
        if event.what == "started":
            self._unit = (event.section, event.key)
            self._fleet = [f"{event.section}/{key}" for key in event.fleet or (event.key,)]
        elif event.what == "advanced":
            self.context.store.leases.advance(self._fleet, event.amount)
        self._send(event)

    def _say_warnings(self) -> None:
        for text in self.warnings.new():
            self._send(Event("warned", *self._unit, text=text))

    def __call__(self, task: Task) -> None:
        """Compute a task. Raises StoreError when the store itself cannot be used, UserError when preparing fails.

        Raises SpoiltProcess, where a component changed the process, after the unit that did so has been recorded, and
        Preempted where the process was asked to make room.
        """
        if isinstance(task, PrepareTask):
            prepare(task, self.context, self.say)
        elif isinstance(task, ProbeTask):
            probe(task, self.context, self.say)
        elif isinstance(task, EvaluateFleetTask):
            self._evaluate_fleet(task)
        elif isinstance(task, TrainAndEvaluateTask):
            self._train_and_evaluate(task)
        elif isinstance(task, TrainTask) and (len(task.cells) > 1 or task.size > 1):
            self._train_fleet(task)
        elif isinstance(task, MeasureTask):
            with self._machine.alone():
                self._compute_all(task)
        else:
            self._compute_all(task)

    def _compute_all(self, task: TrainTask | EvaluateTask | ReferenceTask) -> None:
        """Compute the units of a task one by one; what another process is at, or went on with, is said to be held.

        What is evaluated is written together: many cells of small files. While samplers are timed, the disk is at rest.
        """
        together = not isinstance(task, TrainTask | MeasureTask)
        with self.context.store.group_commit() if together else nullcontext() as group:
            for step in self._steps(task):
                self.preemption.check()
                try:
                    self._compute(*step, group)
                except (StoppedWaiting, LeaseLost) as held:
                    self.say(Event("held", *step[0], text=str(held)))

    def _train_fleet(self, task: TrainTask) -> None:
        self.preemption.check()
        try:
            with self.preemption.saving():
                left = train_fleet(task, self.context, self.say)
            if left:
                free_unused(self.context.device)  # what the fleet had that failed
            for each in left:
                self(each)
        except (StoppedWaiting, LeaseLost) as held:
            for unit in task.units:
                self.say(Event("held", *unit, text=str(held)))

    def _compute(self, unit: Unit, cell: Cell, compute: Callable[[], bool], group: GroupCommit | None) -> None:
        """Compute a unit. It is said to have ended once what it wrote is on the disk: with a `group`, later.

        Raises StoppedWaiting where another process is at it.
        """
        section, key = unit
        with ExitStack() as leases:
            folder = leases.enter_context(self._leases.at_work(unit))
            threads = set(threading.enumerate())
            self.say(Event("started", section, key))
            global_random.seed(seed_for(cell.seed, f"unit/{section}", cell.dataset.text))
            ended = self._attempt(section, key, folder, compute)
            if group is not None:
                self._say_warnings()
                group.end_cell(UnitEnding(folder, ended, leases.pop_all(), self._send))
        if group is None:
            self.say(ended)  # when a store by URL has what was computed, too
        if self.context.spoilt:
            raise SpoiltProcess(self.context.spoilt)
        if running := lingering(threads):
            raise SpoiltProcess(f"{section} {key} left threads running: {', '.join(running)}")

    def _steps(self, task: TrainTask | EvaluateTask | ReferenceTask) -> Iterator[Step]:
        if isinstance(task, TrainTask):
            yield from ((("training", cell.key), cell, partial(self._train, cell)) for cell in task.cells)
        elif isinstance(task, ReferenceTask):
            for wanted in task.work:
                folder = self.context.store.folder(wanted.cell.section, wanted.cell.key)
                samples = int(wanted.cell.settings["samples"])
                compute = partial(self._with_less_memory, folder, samples, partial(self._reference, wanted))
                yield (wanted.cell.section, wanted.cell.key), wanted.cell, compute
        else:
            yield from self._evaluate_steps(task)

    def _with_less_memory(self, folder: CellFolder, samples: int, compute: Callable[[], bool]) -> bool:
        """Compute a unit, once more with half the batch where memory runs out (see `halve_batch_once`)."""

        def say(text: str) -> None:
            self.say(Event("slowed", folder.section, folder.path.name, text=text))

        batch = partial(batch_at_work, self.context, lambda: self._trained, samples)
        return halve_batch_once(compute, folder, self.context, batch, self._forget, say)

    def _forget(self) -> None:
        """Let go of all that is kept between units and can be had again."""
        self._drawn = {}
        if self._trained is not None:
            self._trained.forget()

    def _attempt(self, section: str, key: str, folder: CellFolder, compute: Callable[[], bool]) -> Event:
        if why := why_given_up(folder):
            folder.fail(WorkerDied.status, why)
            return Event("failed", section, key, status=WorkerDied.status, text=why)
        watch, kept = watch_all(), None
        try:
            try:
                folder.check()
                # another process's, since this unit was given out; what a sampler costs is asked for again at will
                if section != "sampler" and (failed := folder.failure()) is not None:
                    return Event("failed", section, key, status=failed["status"], text=failed["error"])
                kept = folder.metrics() if folder.recorded() is not None else None
                worked = compute()
            except DamagedFile as error:
                self.say(Event("damaged", section, key, text=str(error)))
                kept = None
                folder.discard()
                worked = compute()
            if not self.context.spoilt:  # by a metric, which has failed already
                watch.check("a component of this cell")
                if changed := self._changed_components():
                    raise ProcessChanged(f"somebody changed {changed}")
        except (StoreError, SpoiltProcess, LeaseLost, Preempted):
            raise
        except BaseException as error:
            failure = self._explain(error)
            if isinstance(error, ProcessChanged) or watch.changes() or self._changed_components():
                self.context.spoilt = f"{section} {key}: {failure}"
                if kept is None:  # nobody knows what of it was computed before the change
                    folder.discard()
                else:  # nor of its new metrics
                    folder.set_metrics(kept)
            folder.fail(failure.status, str(failure), traceback.format_exc())
            return Event("failed", section, key, status=failure.status, text=str(failure))
        return Event("finished", section, key, status="" if worked else ELSEWHERE)

    def _changed_components(self) -> str:
        """Say what somebody changed of the components or the trained network; "" where nobody did.

        They are compared where code has run that is not fmbench's.
        """
        if not foreign_code_ran():
            return ""
        if altered := self.context.altered():
            return f"{altered}, which others use: a component may change only itself"
        if self._trained is not None and not self._trained.is_intact():
            return "the weights, the mode or the hooks of the trained network, which others use: copy it first"
        return ""

    def _check_measured(self, folder: CellFolder, metrics: Sequence[ComponentSpec]) -> None:
        """Raise SpoiltProcess where a metric changed the process, so that others are left for another one."""
        if self.context.spoilt and missing(folder, metrics):
            raise SpoiltProcess(self.context.spoilt)

    def _explain(self, error: BaseException) -> CellFailure:
        return describe_failure(error, self.context.components)

    def _train(self, cell: TrainingCell) -> bool:
        folder = self.context.store.folder("training", cell.key)
        complete_endings(self.context.store.root, {cell.key: folder})
        if folder.result() is not None and not lacks_snapshots(cell, self.context, self.say):
            return False  # another process has finished it meanwhile
        folder.begin(cell.parts())
        if cell.is_given:
            given_models.take(cell, self.context)
            return True
        try:
            with self.preemption.saving():
                loop.train([cell], self.context, lambda steps: self.say(Event("advanced", "training", cell.key, steps)))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise with_advice(self._explain(error), cell) from error
        return True

    def _evaluate_steps(self, task: EvaluateTask) -> Iterator[Step]:
        if task.training_metrics:
            folder = self.context.store.folder("training", task.training.key)
            compute = partial(self._with_less_memory, folder, NOISE_BLOCK, partial(self._training_metrics, task))
            yield ("training", task.training.key), task.training, compute
        if task.flow_snapshot:
            yield ("portrait", task.flow_snapshot), task.training, partial(self._take_flow_snapshot, task)
        for work in task.work:
            compute = partial(self._evaluate, task, work)
            if not isinstance(task, MeasureTask):  # the batch at which a sampler is timed is part of what is measured
                folder, samples = self.context.store.folder(task.section, work.key), int(work.cell.settings["samples"])
                compute = partial(self._with_less_memory, folder, samples, compute)
            yield (task.section, work.key), task.training, compute
        if self._trained is not None:
            self._trained.forget()  # or the next training would be said to take this memory

    def _training_metrics(self, task: EvaluateTask) -> bool:
        folder = self.context.store.folder("training", task.training.key)
        if metrics := missing(folder, task.training_metrics):
            measure_training(self._load(task.training), metrics)
            self._check_measured(folder, metrics)
        return bool(metrics)

    def _take_flow_snapshot(self, task: EvaluateTask) -> bool:
        folder = self.context.store.folder("portrait", task.flow_snapshot)
        if folder.result() is not None:
            return False
        folder.begin({"training": task.training.key})
        flow_snapshots.take_flow_snapshot(self._load(task.training), folder)
        return True

    def _evaluate(self, task: EvaluateTask, work: Work) -> bool:
        folder = self.context.store.folder(task.section, work.key)
        if isinstance(task, MeasureTask) and not self._measured_here(folder):
            folder.discard()
        again = isinstance(task, MeasureTask) and task.again
        anew = isinstance(task, MeasureTask) and task.anew
        metrics = list(work.metrics) if again or anew else missing(folder, work.metrics)
        if folder.result() is not None and not metrics:
            return False
        folder.begin(work.cell.parts())
        if work.cell.training.samples is not None:
            score_samples(work.cell, metrics, self.context)
            self._check_measured(folder, metrics)
            return True
        trained = self._load(work.cell.training)
        if isinstance(task, MeasureTask):
            measure_sampler(trained, work.cell, metrics, work.key, again=again)
        else:
            evaluate.evaluate(trained, work.cell, metrics, self._drawn.pop(work.key, None))
        self._check_measured(folder, metrics)
        return True

    def _evaluate_fleet(self, task: EvaluateFleetTask) -> None:
        """Draw together what can be, then evaluate cell by cell; while it draws, all of them are at work."""
        try:
            evaluations = [unit for unit in task.units if unit[0] == "evaluation"]
            held = self._leases.take_ahead(evaluations)
            for unit in sorted(held):
                self.say(Event("held", *unit))
            task = task.without(held)
            if keys := tuple(key for _, key in evaluations if ("evaluation", key) not in held):
                self.say(Event("started", "evaluation", keys[0], fleet=keys))
            self._drawn = draw_together(task, self.context, self.say)
            for own in task.tasks:
                self(own)
        finally:
            self._drawn = {}
            self._leases.release()

    def _train_and_evaluate(self, task: TrainAndEvaluateTask) -> None:
        """Train, then evaluate what was trained; of the rest, the driver knows that its training failed."""
        self(task.training)
        trained = [
            each
            for each in task.evaluations
            if self.context.store.folder("training", each.training.key).recorded() is not None
        ]
        together = sampled_together(self.context.device, len(trained))
        for evaluation in [EvaluateFleetTask(tuple(trained))] if together else trained:
            self(evaluation)

    def _reference(self, work: ReferenceWork) -> bool:
        folder = self.context.store.folder(work.cell.section, work.cell.key)
        metrics = missing(folder, work.metrics)
        if not metrics and folder.result() is not None:  # it lacks one where a process ended after the metrics
            return False
        folder.begin(work.cell.parts())
        measure = measure_floor if work.cell.section == "floor" else measure_oracle
        measure(work.cell, metrics, self.context)
        self._check_measured(folder, metrics)
        return True

    def _measured_here(self, folder: CellFolder) -> bool:
        """Whether the times in a folder were taken on this hardware, with this torch."""
        facts = (folder.result() or {}).get("facts", {})
        return all(facts.get(name) == value for name, value in measured_on(self.context.device).items())

    def _load(self, cell: TrainingCell) -> Trained:
        if self._trained is None or self._trained.cell.key != cell.key:
            folder = self.context.store.folder("training", cell.key)
            try:
                if (recorded := folder.recorded()) is None:
                    raise CellFailure("somebody removed its training meanwhile; `fmbench retry` trains it again")
                facts = recorded.get("facts", {})
                # an older fmbench's would have another key
                if lacking := [each.name for each in fields(TrainingFacts) if each.name not in facts]:
                    raise DamagedFile(f"{folder.path / 'result.json'} lacks the facts {', '.join(lacking)}")
                self._trained = load_trained(cell, self.context)
            except DamagedFile as error:
                folder.discard()
                raise CellFailure(f"{error}; `fmbench retry` trains the cell again") from error
        return self._trained


def missing(folder: CellFolder, metrics: Sequence[ComponentSpec]) -> list[ComponentSpec]:
    """Return the metrics that a folder does not hold yet."""
    there = folder.metrics()
    return [metric for metric in metrics if metric.digest not in there]
