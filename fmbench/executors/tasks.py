"""Tasks: what a worker is asked to compute, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import ReferenceCell

Unit = tuple[str, str]
"""What fails or succeeds as one: the store's section and the key."""


LINE_LOST = 79
"""The exit code of a worker that cannot report any more: a component closed its connection to the driver."""


@dataclass(frozen=True)
class Work:
    """An evaluation cell and the metrics that are wanted of it, under the key of the folder that they go to."""

    key: str
    cell: EvaluationCell
    metrics: tuple[ComponentSpec, ...]


@dataclass(frozen=True)
class PrepareTask:
    """Build every component once and have every metric check its needs, before anything is trained.

    A component that cannot be built, data that cannot be had or weights that are absent end the run ("fatal"). Each
    component is a unit of the section "preparing", which has a time of its own and no folder in the store. For
    figures, some real test data of each dataset is left in the store's cache, at `real_samples`, and the density of
    each t-distribution, at `t_density`. `samples` that were made elsewhere, the first so many of each cell, are read.
    Settings that a metric `chooses` need validation data enough for it.
    """

    components: tuple[ComponentSpec, ...]
    samples: tuple[tuple[TrainingCell, int], ...] = ()
    chooses: ComponentSpec | None = None

    @property
    def units(self) -> list[Unit]:
        """Nothing is reported on."""
        return []

    def without(self, ended: Collection[Unit]) -> PrepareTask:
        """Return the task."""
        return self


@dataclass(frozen=True)
class ProbeTask:
    """Find how many cells like `cell` a fleet should have; leave that in a file, at `fleet_size_file`.

    It is the executor's unit "probe", which fails without a row: cells then train alone.
    """

    cell: TrainingCell
    file: str

    @property
    def units(self) -> list[Unit]:
        """What the task will report on."""
        return [("probe", self.cell.fleet_key)]

    def without(self, ended: Collection[Unit]) -> ProbeTask | TrainTask:
        """Return what is left: nothing, when the probe has ended in any way."""
        return TrainTask(()) if set(self.units) <= set(ended) else self


@dataclass(frozen=True)
class TrainTask:
    """Train cells: one alone, or several that share their `fleet_key` as a fleet.

    `size` is that of the largest fleet that the plan's cells of this `fleet_key` were shared out to: what stands beside
    their times, so that these can be compared though fleets differ by a member. `ghosts` are members that diverged
    before the fleet was interrupted (see `fmbench.training.loop.train`): nothing is reported on them.
    """

    cells: tuple[TrainingCell, ...]
    size: int = 1
    ghosts: tuple[TrainingCell, ...] = ()

    @property
    def units(self) -> list[Unit]:
        """What the task will report on."""
        return [("training", cell.key) for cell in self.cells]

    def without(self, ended: Collection[Unit]) -> TrainTask:
        """Return the task without some units."""
        return replace(self, cells=tuple(c for c in self.cells if ("training", c.key) not in ended))

    def one_by_one(self) -> list[TrainTask]:
        """Return a task for each cell alone."""
        return [TrainTask((cell,)) for cell in self.cells]


@dataclass(frozen=True)
class EvaluateTask:
    """Compute training-scope metrics and evaluations of one trained cell, whose weights are loaded once.

    `flow_snapshot` is the key of the cell's flow snapshot, where that is not there yet and is to be made, else empty.
    """

    training: TrainingCell
    training_metrics: tuple[ComponentSpec, ...]
    work: tuple[Work, ...]
    flow_snapshot: str = ""
    section = "evaluation"

    @property
    def units(self) -> list[Unit]:
        """What the task will report on; the training-scope metrics and the flow snapshot go first, under the cell's
        key.
        """
        own = [("training", self.training.key)] if self.training_metrics else []
        own += [("portrait", self.flow_snapshot)] if self.flow_snapshot else []
        return own + [(self.section, work.key) for work in self.work]

    def without(self, ended: Collection[Unit]) -> EvaluateTask:
        """Return the task without some units."""
        metrics = () if ("training", self.training.key) in ended else self.training_metrics
        flow_snapshot = "" if ("portrait", self.flow_snapshot) in ended else self.flow_snapshot
        work = tuple(w for w in self.work if (self.section, w.key) not in ended)
        return replace(self, training_metrics=metrics, flow_snapshot=flow_snapshot, work=work)


@dataclass(frozen=True)
class EvaluateFleetTask:
    """Evaluate trained cells of one `fleet_key`; what samplers they share is drawn for all at once."""

    tasks: tuple[EvaluateTask, ...]

    @property
    def units(self) -> list[Unit]:
        """What the task will report on."""
        return [unit for task in self.tasks for unit in task.units]

    def without(self, ended: Collection[Unit]) -> EvaluateFleetTask:
        """Return the task without some units."""
        left = (task.without(ended) for task in self.tasks)
        return replace(self, tasks=tuple(task for task in left if task.units))

    def one_by_one(self) -> list[EvaluateTask]:
        """Return a task for each cell alone."""
        return list(self.tasks)


@dataclass(frozen=True)
class TrainAndEvaluateTask:
    """Train a fleet, then evaluate those of its cells that were trained: for a worker that is far away.

    `evaluations` has one task a cell at most; several may become an EvaluateFleetTask (see `sampled_together`).
    """

    training: TrainTask
    evaluations: tuple[EvaluateTask, ...]

    @property
    def units(self) -> list[Unit]:
        """What the task will report on. A cell with metrics of its training is there twice: trained, and measured."""
        return [*self.training.units, *(unit for task in self.evaluations for unit in task.units)]

    def without(self, ended: Counter[Unit]) -> TrainAndEvaluateTask:
        """Return the task without some units; of a cell that has ended once, the training, which comes first."""
        measured = ended - Counter(self.training.units)
        left = (task.without(measured) for task in self.evaluations)
        return replace(self, training=self.training.without(ended), evaluations=tuple(t for t in left if t.units))

    def one_by_one(self) -> list[TrainAndEvaluateTask]:
        """Return a task for each cell alone."""
        cells = {cell.key: cell for cell in (*self.training.cells, *(task.training for task in self.evaluations))}
        to_train = {cell.key for cell in self.training.cells}
        return [
            TrainAndEvaluateTask(
                TrainTask((cell,) if key in to_train else ()),
                tuple(task for task in self.evaluations if task.training.key == key),
            )
            for key, cell in cells.items()
        ]


@dataclass(frozen=True)
class MeasureTask(EvaluateTask):
    """Measure what samplers cost. Run while nothing else is computed.

    With `again`, what is measured already is measured at one more moment (see `fmbench.store.sampler_timings.joined`),
    and with `anew`, the new measurement takes the place of the old one.
    """

    again: bool = False
    anew: bool = False
    section = "sampler"


@dataclass(frozen=True)
class ReferenceWork:
    """A floor or an oracle, and the metrics that are wanted of it."""

    cell: ReferenceCell
    metrics: tuple[ComponentSpec, ...]


@dataclass(frozen=True)
class ReferenceTask:
    """Measure floors and oracles, one after the other."""

    work: tuple[ReferenceWork, ...]

    @property
    def units(self) -> list[Unit]:
        """What the task will report on."""
        return [(work.cell.section, work.cell.key) for work in self.work]

    def without(self, ended: Collection[Unit]) -> ReferenceTask:
        """Return the task without some units."""
        return ReferenceTask(tuple(w for w in self.work if (w.cell.section, w.cell.key) not in ended))


Task = PrepareTask | ProbeTask | TrainTask | EvaluateTask | EvaluateFleetTask | TrainAndEvaluateTask | ReferenceTask
