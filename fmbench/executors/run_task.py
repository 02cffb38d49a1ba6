"""Computes tasks unit by unit. A unit that fails is recorded in the store and said, and the next one follows."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from functools import partial
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save as safetensors_bytes

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import canonical
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Dataset, Metric, TDistribution, TrainingFacts
from fmbench.components.dataset_checks import check_together, splits_of
from fmbench.errors import CellFailure, DamagedFile, DataError, ProcessChanged, StoreError, UserError
from fmbench.evaluation import evaluate, flow_snapshots
from fmbench.evaluation.batched_sampling import NotBatchedError, draw_batched, in_order, worth_it
from fmbench.evaluation.given_samples import read_samples, score_samples
from fmbench.evaluation.kept_samples import kept_samples
from fmbench.evaluation.noise_floor import measure_floor
from fmbench.evaluation.oracle import measure_oracle
from fmbench.evaluation.sampler_timing import measure_sampler
from fmbench.evaluation.sampling import Drawn, what_samples
from fmbench.evaluation.training_metrics import measure_training
from fmbench.executors.messages import Event
from fmbench.executors.tasks import (
    EvaluateFleetTask,
    EvaluateTask,
    MeasureTask,
    PrepareTask,
    ProbeTask,
    ReferenceTask,
    ReferenceWork,
    Task,
    TrainTask,
    Unit,
    Work,
)
from fmbench.isolation import global_random
from fmbench.isolation.plugin_traceback import MOST_SHOWN, lines_here, own_line, to_blame
from fmbench.isolation.process_state import foreign_code_ran, watch_all
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.runtime.environment import measured_on
from fmbench.runtime.failures import describe_failure
from fmbench.store.atomic_files import write_atomically, write_sealed
from fmbench.store.cache_files import real_samples, t_density
from fmbench.store.cell_folder import CellFolder
from fmbench.store.snapshots import lacking_snapshots, snapshot_folder
from fmbench.training import given_models, loop
from fmbench.training.fleet_size import tune_fleet_size

log = logging.getLogger(__name__)

Cell = TrainingCell | ReferenceCell
Step = tuple[Unit, Cell, Callable[[], None]]
"""A unit, the cell whose seed it has, and what computes it."""
MOST_WARNINGS = 100
"""Different ones that a worker says."""
MOST_ALIKE = 3
"""Different ones that a worker says of one line of code: a loop may make up any number of them."""
T_PARTS = 200
"""The density of a t-distribution is kept at so many times."""
AT_ONCE = 2**28
"""Bytes of samples of a fleet that wait for their metrics."""


class SpoiltProcess(Exception):
    """Nothing more may be computed in this process: a component changed it, or left something running in it."""


class Computer:
    """Computes tasks into the worker context's store, and says what happens through `say`."""

    def __init__(self, context: WorkerContext, say: Callable[[Event], None]) -> None:
        self.context = context
        self._send = say
        self._unit: Unit = ("", "")
        self._warnings: deque[str] = deque()
        self._warned: set[str] = set()
        self._alike: Counter[str] = Counter()
        self._trained: Trained | None = None
        self._drawn: dict[str, Drawn] = {}

    def say(self, event: Event) -> None:
        """Say what happens, after what libraries have warned of until then."""
        while self._warnings:
            self._send(Event("warned", *self._unit, text=self._warnings.popleft()))
        if event.what == "started":
            self._unit = (event.section, event.key)
        self._send(event)

    def warned(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
    ) -> None:
        """Take a warning, in place of `warnings.showwarning`: it is said once, with the component whose code it is."""
        lines = lines_here()
        own, blamed = own_line(lines), to_blame(lines, self.context.components)
        where = str(own) if blamed and own else f"{Path(filename).name}, line {lineno}"
        said = " ".join(str(message).split())[:MOST_SHOWN]
        text = f"{blamed}: {category.__name__}: {said} ({where})".removeprefix(": ")
        if text in self._warned or len(self._warned) >= MOST_WARNINGS:
            return
        self._alike[where] += 1
        if self._alike[where] <= MOST_ALIKE:
            self._warned.add(text)
            last = "; more of this line are not shown" if self._alike[where] == MOST_ALIKE else ""
            self._warnings.append(f"{text}{last}")

    def __call__(self, task: Task) -> None:
        """Compute a task. Raises StoreError when the store itself cannot be used, UserError when preparing fails.

        Raises SpoiltProcess, where a component changed the process, after the unit that did so has been recorded.
        """
        if isinstance(task, PrepareTask):
            self._prepare(task)
        elif isinstance(task, ProbeTask):
            self._probe(task)
        elif isinstance(task, EvaluateFleetTask):
            self._evaluate_fleet(task)
        elif isinstance(task, TrainTask) and len(task.cells) > 1:
            self._train_fleet(task)
        else:
            for (section, key), cell, compute in self._steps(task):
                folder = self.context.store.folder(section, key)
                threads = set(threading.enumerate())
                with folder.lock():
                    self.say(Event("started", section, key))
                    global_random.seed(seed_for(cell.seed, f"unit/{section}", cell.dataset.text))
                    self.say(self._attempt(section, key, folder, compute))
                if self.context.spoilt:
                    raise SpoiltProcess(self.context.spoilt)
                if left := lingering(threads):
                    raise SpoiltProcess(f"{section} {key} left threads running: {', '.join(left)}")

    def _steps(self, task: TrainTask | EvaluateTask | ReferenceTask) -> Iterator[Step]:
        if isinstance(task, TrainTask):
            yield from ((("training", cell.key), cell, partial(self._train, cell)) for cell in task.cells)
        elif isinstance(task, ReferenceTask):
            for wanted in task.work:
                yield (wanted.cell.section, wanted.cell.key), wanted.cell, partial(self._reference, wanted)
        else:
            yield from self._evaluate_steps(task)

    def _prepare(self, task: PrepareTask) -> None:
        for spec in task.components:
            title = f"{spec.kind} {spec}"
            self.say(Event("started", "preparing", title))
            try:
                with self.context.unchanged("it"):
                    self._prepare_component(spec, task.chooses)
            except UserError:
                raise
            except BaseException as error:
                raise UserError(f"{title} cannot be used: {describe_failure(error)}") from error
            self.say(Event("finished", "preparing", title))
        for cell, n in task.samples:
            title = f"samples {cell.network}"
            self.say(Event("started", "preparing", title))
            read_samples(cell, n, self.context)
            self.say(Event("finished", "preparing", title))

    def _prepare_component(self, spec: ComponentSpec, chooses: ComponentSpec | None) -> None:
        component = self.context.build(spec)
        if isinstance(component, Metric):
            component.prepare()
        if isinstance(component, Dataset):
            train, test, *third = (self.context.load(spec, split) for split in splits_of(component))
            check_together(str(spec), component, train, test, self.context.device, *third)
            if chooses is not None and third:
                self._check_enough(spec, len(third[0][0]), chooses)
            x, _ = test
            kept = min(len(x), kept_samples(self.context, x))
            payload = safetensors_bytes({"samples": x[:kept].cpu().contiguous()})
            write_atomically(real_samples(self.context.store.root, spec), payload)
        if isinstance(component, TDistribution):
            middles = (torch.arange(T_PARTS, dtype=torch.float64) + 0.5) / T_PARTS
            found = {"density": component.density(middles).tolist()}
            write_sealed(t_density(self.context.store.root, spec), found)

    def _check_enough(self, dataset: ComponentSpec, n: int, chooses: ComponentSpec) -> None:
        least = self.context.build(chooses).minimum_samples
        if n < least:
            raise DataError(
                f"tune: settings are chosen by {chooses}, which needs {least} validation examples, and {dataset} has "
                f"{n}. Hold more out, or choose by another metric: tune.metric."
            )

    def _probe(self, task: ProbeTask) -> None:
        """Measure how many cells a fleet should have. Whatever goes wrong: they train alone, which says more of it."""
        section, key = task.units[0]
        self.say(Event("started", section, key))
        global_random.seed(seed_for(task.cell.seed, "probe", task.cell.dataset.text))
        try:
            with self.context.unchanged("a component of its cells"):
                found = tune_fleet_size(task.cell, task.members, self.context)
        except BaseException as error:
            text = f"{self._explain(error)}; its cells train alone"
            self.say(Event("failed", section, key, status="error", text=text))
            if isinstance(error, ProcessChanged):
                raise SpoiltProcess(str(error)) from error
            return
        write_sealed(Path(task.file), asdict(found))
        self.say(Event("finished", section, key))

    def _train_fleet(self, task: TrainTask) -> None:
        """Train cells as one; where the fleet fails as a whole, one by one, so that only those fail that must."""
        with ExitStack() as locks:
            keys = sorted(cell.key for cell in task.cells)  # one order everywhere: two runs cannot block each other
            for key in keys:
                locks.enter_context(self.context.store.folder("training", key).lock())
            fleet = [cell for cell in task.cells if not self._is_trained(cell)]
            if not fleet:
                return
            self.say(Event("started", "training", fleet[0].key, fleet=tuple(cell.key for cell in fleet)))
            ended: set[str] = set()
            folders = {cell.key: self.context.store.folder("training", cell.key) for cell in fleet}
            trained = {key for key, folder in folders.items() if folder.recorded() is not None}
            threads = set(threading.enumerate())

            def advanced(steps: int) -> None:
                self.say(Event("advanced", "training", fleet[0].key, steps))

            def failed(cell: TrainingCell, failure: CellFailure) -> None:
                folder = self.context.store.folder("training", cell.key)
                folder.fail(failure.status, str(failure))
                ended.add(cell.key)
                self.say(Event("failed", "training", cell.key, status=failure.status, text=str(failure)))

            try:
                for cell in fleet:
                    self.context.store.folder("training", cell.key).begin(cell.parts())
                with self.context.unchanged("a member of the fleet"):
                    loop.train(fleet, self.context, advanced, failed, task.size)
            except StoreError:
                raise
            except ProcessChanged as error:
                for key in {cell.key for cell in fleet} - ended - trained:
                    self.context.store.folder("training", key).discard()  # nobody knows what was computed before that
                raise SpoiltProcess(str(error)) from error
            except Exception as error:
                why = f"a fleet of {len(fleet)} failed ({self._explain(error)}), so its cells train one by one"
                self.say(Event("slowed", "training", fleet[0].key, text=why))
            except BaseException as error:
                raise SpoiltProcess(f"a member of the fleet raised {type(error).__name__}") from error
            left = [cell for cell in fleet if cell.key not in ended and not self._is_trained(cell)]
            if running := lingering(threads):
                raise SpoiltProcess(f"a fleet left threads running: {', '.join(running)}")
        for cell in left:
            self(TrainTask((cell,)))

    def _is_trained(self, cell: TrainingCell) -> bool:
        """Whether a cell is done; if so, that is said. What is damaged is said, too, and removed."""
        folder = self.context.store.folder("training", cell.key)
        try:
            folder.check()
        except DamagedFile as error:
            self.say(Event("damaged", "training", cell.key, text=str(error)))
            folder.discard()
        if folder.result() is None or self._lacks_snapshots(cell):
            return False
        self.say(Event("finished", "training", cell.key))
        return True

    def _lacks_snapshots(self, cell: TrainingCell) -> bool:
        """Whether weights that a training is to keep are not there. What is damaged of them is said, and goes."""
        for snapshot in cell.snapshots:
            folder = snapshot_folder(self.context.store, cell.key, snapshot)
            try:
                folder.check()
            except DamagedFile as error:
                self.say(Event("damaged", "snapshot", folder.path.name, text=str(error)))
                folder.discard()
        return bool(lacking_snapshots(self.context.store, cell))

    def _attempt(self, section: str, key: str, folder: CellFolder, compute: Callable[[], None]) -> Event:
        watch, kept = watch_all(), None
        try:
            try:
                folder.check()
                kept = folder.metrics() if folder.recorded() is not None else None
                compute()
            except DamagedFile as error:
                self.say(Event("damaged", section, key, text=str(error)))
                kept = None
                folder.discard()
                compute()
            if not self.context.spoilt:  # by a metric, which has failed already
                watch.check("a component of this cell")
                if changed := self._changed_components():
                    raise ProcessChanged(f"somebody changed {changed}")
        except (StoreError, SpoiltProcess):
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
        return Event("finished", section, key)

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

    def _train(self, cell: TrainingCell) -> None:
        folder = self.context.store.folder("training", cell.key)
        if folder.result() is not None and not self._lacks_snapshots(cell):
            return  # another process finished it while this one waited for the lock
        folder.begin(cell.parts())
        if cell.is_given:
            given_models.take(cell, self.context)
            return
        loop.train([cell], self.context, lambda steps: self.say(Event("advanced", "training", cell.key, steps)))

    def _evaluate_steps(self, task: EvaluateTask) -> Iterator[Step]:
        if task.training_metrics:
            yield ("training", task.training.key), task.training, partial(self._training_metrics, task)
        if task.flow_snapshot:
            yield ("portrait", task.flow_snapshot), task.training, partial(self._take_flow_snapshot, task)
        for work in task.work:
            yield (task.section, work.key), task.training, partial(self._evaluate, task, work)
        if self._trained is not None:
            self._trained.forget()  # or the next training would be said to take this memory

    def _training_metrics(self, task: EvaluateTask) -> None:
        folder = self.context.store.folder("training", task.training.key)
        if metrics := missing(folder, task.training_metrics):
            measure_training(self._load(task.training), metrics)
            self._check_measured(folder, metrics)

    def _take_flow_snapshot(self, task: EvaluateTask) -> None:
        folder = self.context.store.folder("portrait", task.flow_snapshot)
        if folder.result() is None:
            folder.begin({"training": task.training.key})
            flow_snapshots.take_flow_snapshot(self._load(task.training), folder)

    def _evaluate(self, task: EvaluateTask, work: Work) -> None:
        folder = self.context.store.folder(task.section, work.key)
        if isinstance(task, MeasureTask) and not self._measured_here(folder):
            folder.discard()
        again = isinstance(task, MeasureTask) and task.again
        metrics = list(work.metrics) if again else missing(folder, work.metrics)
        if folder.result() is not None and not metrics:
            return
        folder.begin(work.cell.parts())
        if work.cell.training.samples is not None:
            score_samples(work.cell, metrics, self.context)
            self._check_measured(folder, metrics)
            return
        trained = self._load(work.cell.training)
        if isinstance(task, MeasureTask):
            measure_sampler(trained, work.cell, metrics, work.key, again=again)
        else:
            evaluate.evaluate(trained, work.cell, metrics, self._drawn.pop(work.key, None))
        self._check_measured(folder, metrics)

    def _evaluate_fleet(self, task: EvaluateFleetTask) -> None:
        """Draw together what pays, then evaluate cell by cell; while it draws, all of them are at work."""
        if keys := tuple(key for section, key in task.units if section == "evaluation"):
            self.say(Event("started", "evaluation", keys[0], fleet=keys))
        try:
            self._draw_together(task)
            for own in task.tasks:
                self(own)
        finally:
            self._drawn.clear()

    def _draw_together(self, task: EvaluateFleetTask) -> None:
        """Draw what several cells draw with the same sampler, if that is faster; what is not drawn here is drawn later.

        Whatever goes wrong: the cells are evaluated one by one, which says more of it.
        """
        samplers: dict[str, list[EvaluationCell]] = {}
        for work in (work for own in task.tasks for work in own.work):
            if self.context.store.folder("evaluation", work.key).result() is None:
                same_but_for_training = canonical({**work.cell.parts(), "training": None})
                samplers.setdefault(same_but_for_training, []).append(work.cell)
        shared = [cells for cells in samplers.values() if len(cells) > 1]
        try:
            if not shared:
                return
            with self.context.unchanged("a network of the fleet"):
                trained = {own.training.key: load_trained(own.training, self.context) for own in task.tasks}
                pays = worth_it(in_order(list(trained.values())), Path(task.file))
            if not pays:
                return
            left = AT_ONCE
            for cells in shared:
                shape = self.context.build(cells[0].training.dataset).shape
                left -= 4 * len(cells) * int(cells[0].settings["samples"]) * prod(shape)
                if left >= 0:
                    global_random.seed(seed_for(cells[0].training.seed, "together", cells[0].training.dataset.text))
                    with self.context.unchanged(what_samples(cells[0])):
                        self._draw_all(cells, trained)
        except StoreError:
            raise
        except ProcessChanged as error:
            raise SpoiltProcess(str(error)) from error
        except Exception as error:
            why = f"{len(task.tasks)} cells are evaluated one by one: {self._explain(error)}"
            self.say(Event("slowed", "evaluation", task.tasks[0].training.key, text=why))
        except BaseException as error:
            raise SpoiltProcess(f"a solver raised {type(error).__name__}") from error

    def _draw_all(self, cells: Sequence[EvaluationCell], trained: dict[str, Trained]) -> None:
        """Draw the samples of cells that share a sampler, unless the solver will not have that."""
        keys = {cell.training.key: cell.key for cell in cells}
        members = in_order([trained[key] for key in keys])
        first = next(cell for cell in cells if cell.training.key == members[0].cell.key)
        try:
            found = draw_batched(members, first)
        except NotBatchedError as error:
            log.info("%s: %s", first.solver, error)
            return
        self._drawn |= {keys[member.cell.key]: drawn for member, drawn in zip(members, found, strict=True)}

    def _reference(self, work: ReferenceWork) -> None:
        folder = self.context.store.folder(work.cell.section, work.cell.key)
        if metrics := missing(folder, work.metrics):
            folder.begin(work.cell.parts())
            measure = measure_floor if work.cell.section == "floor" else measure_oracle
            measure(work.cell, metrics, self.context)
            self._check_measured(folder, metrics)

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


def lingering(before: Collection[threading.Thread]) -> list[str]:
    """Return the names of threads that somebody has left running since; torch's own may stay."""
    new = [thread for thread in threading.enumerate() if thread not in before]
    return [thread.name for thread in new if not _made_by_torch(thread)]


def _made_by_torch(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    return any((getattr(each, "__module__", None) or "").startswith("torch.") for each in (target, type(thread)))


def missing(folder: CellFolder, metrics: Sequence[ComponentSpec]) -> list[ComponentSpec]:
    """Return the metrics that a folder does not hold yet."""
    there = folder.metrics()
    return [metric for metric in metrics if metric.digest not in there]
