"""Records: what is known of every cell of a suite, as data. Reports and MLflow read nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.io.printable_text import visible

if TYPE_CHECKING:
    import pandas as pd

COMPONENT_AXES = ("dataset", "path", "coupling", "t_distribution", "objective", "network")
TRAINING_AXES = (*COMPONENT_AXES, *SETTING_AXES)
"""What names a training but for its seed. A setting of which the suite has one value has no label, and no column."""
SAMPLER_AXES = ("solver", "grid", "weights", "guidance")
AXES = (*COMPONENT_AXES, "seed", *SAMPLER_AXES, "nfe_budget")
"""The columns of records.csv that name an evaluation cell; settings with several values come before the seed."""

COLUMNS = (*AXES, "nfe", "status", "error", "key")
"""The columns of records.csv before the metrics."""

TIMES = ("s", "ms", "us", "µs", "ns", "min", "h")
MEMORY = ("B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB")
"""Units of times and of memory, alone or before a slash, as in "ms/sample"."""


@dataclass(frozen=True)
class MetricFacts:
    """What a report must know of a metric, under the name of one of its values.

    `label` is the metric as the suite names it, `scope` and `better` as in `fmbench.Metric`. `over` is what the value
    is one of a series over ("t", say), in the order of the series; "" for a value that stands alone.
    """

    name: str
    better: str
    unit: str
    scope: str
    label: str
    version: int = 1
    over: str = ""

    @property
    def is_time(self) -> bool:
        """Whether it is a time, by its unit."""
        return self._amount in TIMES

    @property
    def is_cost(self) -> bool:
        """Whether it is a time or an amount of memory, which depend on what else the machine does."""
        return self._amount in (*TIMES, *MEMORY)

    @property
    def _amount(self) -> str:
        return self.unit.partition("/")[0].strip()


@dataclass(frozen=True)
class TrainingRecord:
    """A training cell and what became of it.

    `status` is ok, error, diverged, oom, timeout or missing. `history` is `(step, loss)`, each loss the mean since the
    previous entry. `facts` are those of `TrainingFacts`, with `hardware`, `torch` and `finished` (ISO time). `metrics`
    hold the training-scope metrics. `identities` say, by metric, what two values must share to be comparable.
    `flow_snapshot` is the safetensors file with the cell's trajectories and velocity field, where its data are points
    in the plane and figures show it (see `fmbench.evaluation.flow_snapshots.take_flow_snapshot`).
    """

    cell: TrainingCell
    status: str
    error: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    history: Sequence[tuple[int, float]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    flow_snapshot: Path | None = None


@dataclass(frozen=True)
class Timing:
    """What a sampler costs on one hardware: values and their identities, by metric."""

    hardware: str
    metrics: Mapping[str, float]
    identities: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class EvaluationRecord:
    """An evaluation cell and what became of it.

    `nfe` is the measured mean number of network calls a sample. `metrics` hold those of all three scopes. `samples` is
    the safetensors file with the first samples (tensor "samples", float32 `(n, *shape)`), from the same noise for every
    cell of a seed; None where there are none. `oracle` is the key of the oracle that it is read against, if any. The
    metrics of scope "sampler" were measured on `hardware`; those that were measured on other hardware are in
    `elsewhere`, for times of two machines are never values of one metric. `training_steps` and `training_seconds` say
    how long its weights were trained, in a suite that evaluates several steps of its trainings; else they are None.
    """

    cell: EvaluationCell
    status: str
    error: str = ""
    nfe: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    samples: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    oracle: str = ""
    hardware: str = ""
    elsewhere: tuple[Timing, ...] = ()
    training_steps: int | None = None
    training_seconds: float | None = None

    def row(self) -> dict[str, Any]:
        """Return the flat row of records.csv: COLUMNS, then the metrics.

        Where a sampler was measured on several hardware, `sampler_hardware` names that of the plain columns, and each
        value of the others has a column "metric (hardware)".
        """
        cell, training = self.cell, self.cell.training
        trained = {"at_step": self.training_steps, "training_seconds": self.training_seconds}
        others = {f"{name} ({t.hardware})": value for t in self.elsewhere for name, value in t.metrics.items()}
        row = {
            **{spec.axis: str(spec) for spec in (*training.components, *training.varied)},
            "seed": training.seed,
            "solver": str(cell.solver),
            "grid": str(cell.grid) if cell.grid else "",
            "weights": cell.weights if training.samples is None else "",
            "guidance": self._guidance,
            "nfe_budget": cell.nfe,
            "nfe": self.nfe,
            "status": self.status,
            "error": self.error,
            "key": cell.key,
            **self.metrics,
            **(trained if self.training_steps is not None else {}),
            **({"sampler_hardware": self.hardware, **others} if others else {}),
        }
        return _shown(row)

    @property
    def _guidance(self) -> float | str | None:
        """What the column of that name holds: a weight, a component's label, nothing for samples made elsewhere."""
        guidance = None if self.cell.training.samples is not None else self.cell.guidance
        return str(guidance) if isinstance(guidance, ComponentSpec) else guidance


@dataclass(frozen=True)
class ReferenceRecord:
    """A floor or an oracle (see `fmbench.cells.reference_cell`) and what became of it.

    `scored` says of each value of a floor how many real examples it is of, and whether it was extrapolated from them to
    the suite's number of samples; `left_out` says by metric why there is no value.
    """

    cell: ReferenceCell
    status: str
    error: str = ""
    nfe: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scored: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the flat row of references.csv."""
        cell = self.cell
        specs = {"dataset": cell.dataset, "path": cell.path, "solver": cell.solver, "grid": cell.grid}
        row = {
            "reference": cell.section,
            **{kind: str(spec) if spec else "" for kind, spec in specs.items()},
            "seed": cell.seed,
            "nfe_budget": cell.nfe,
            "nfe": self.nfe,
            "status": self.status,
            "error": self.error,
            **self.metrics,
            **{f"{name}_real_n": n for name, (n, _) in self.scored.items()},
        }
        return _shown(row)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose texts can be seen and encoded."""
    return {visible(name): visible(value) if isinstance(value, str) else value for name, value in row.items()}


@dataclass(frozen=True)
class Tuned:
    """The settings of which each training combination takes its own best, and the metric that chooses by validation."""

    axes: tuple[str, ...]
    metric: str


@dataclass(frozen=True)
class Records:
    """All records of one suite, in the plan's order, with what a reader needs in order to trust them.

    `metrics` describe the columns after COLUMNS, in the suite's order. `real` is one safetensors file a dataset label
    with real test data (tensor "samples"), and `t_densities` the density of each t-distribution, by label, at the
    middles of equal parts of [0, 1], both for figures. `references` are floors and oracles.
    `data` is what datasets say that they read, by label. `code` holds fingerprints by kind and name, of what no cell
    names: the metrics, by label, and the modules of "training code" and "evaluation code".
    `left_out` are `(cell in words, reason)`. `environment` holds
    hardware and versions, `command` the command line that makes these records, `finished` an ISO date.
    `validation` are the evaluations by which the settings that `tuning` names are chosen, and nothing else is said.
    `variant` is what `--set` and `--filter` changed, in words, "" for the suite as it stands. `not_comparable` says why
    the scores stand beside no others: those of a run whose budget was cut. `sources` are what the components and
    metrics say of themselves, by kind and name: a summary, and the paper or library they come from.
    """

    suite: str
    description: str
    trainings: Sequence[TrainingRecord]
    evaluations: Sequence[EvaluationRecord]
    metrics: Sequence[MetricFacts]
    left_out: Sequence[tuple[str, str]] = ()
    real: Mapping[str, Path] = field(default_factory=dict)
    t_densities: Mapping[str, Sequence[float]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    baseline: Mapping[str, Any] | None = None
    command: str = ""
    finished: str = ""
    references: Sequence[ReferenceRecord] = ()
    variant: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    validation: Sequence[EvaluationRecord] = ()
    tuning: Tuned | None = None
    not_comparable: str = ""
    sources: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    @property
    def failed(self) -> list[TrainingRecord | EvaluationRecord]:
        """The records whose status is not ok; an evaluation of a failed training counts with its training."""
        bad: list[TrainingRecord | EvaluationRecord] = [r for r in self.trainings if r.status != "ok"]
        lost = {r.cell.key for r in bad}
        evaluations = (*self.evaluations, *self.validation)
        return bad + [r for r in evaluations if r.status != "ok" and r.cell.training.key not in lost]

    @cached_property
    def last_steps(self) -> Records:
        """The records with the evaluations of each training's last step alone, of those that are evaluated.

        Tables compare these; how scores came about over the training is a figure of its own.
        """
        last: dict[str, float] = {}
        for record in self.evaluations:
            key, step = record.cell.training.key, record.cell.at_step
            last[key] = max(last.get(key, 0), math.inf if step is None else step)
        if all(record.cell.at_step is None for record in self.evaluations):
            return self
        kept = [r for r in self.evaluations if (r.cell.at_step or math.inf) == last[r.cell.training.key]]
        return replace(self, evaluations=kept)

    @property
    def weaker_models(self) -> dict[str, TrainingCell]:
        """The cells, by key, that are there for guidance alone; they may differ from others in their settings only."""
        evaluated = {r.cell.training.key for r in self.evaluations}
        cells = [r.cell.weaker for r in self.evaluations if r.cell.weaker is not None]
        return {cell.key: cell for cell in cells if cell.key not in evaluated}

    @property
    def hardware(self) -> str:
        """What the trainings ran on, one after the other where it was several; else what is at work now."""
        lines = dict.fromkeys(str(r.facts["hardware"]) for r in self.trainings if r.facts.get("hardware"))
        return "; and ".join(lines) or str(self.environment.get("hardware", ""))

    @property
    def lost_references(self) -> list[ReferenceRecord]:
        """The floors and oracles that failed; nothing in the tables is missing but what they would have said."""
        return [r for r in self.references if r.status not in ("ok", "missing")]

    def frame(self) -> pd.DataFrame:
        """Return one row an evaluation cell, with the columns of records.csv."""
        import pandas as pd

        rows = [record.row() for record in self.evaluations]
        names = [m.name for m in self.metrics]
        extra = dict.fromkeys(name for row in rows for name in row)
        settings = [axis for axis in SETTING_AXES if axis in extra]
        known = [*COMPONENT_AXES, *settings, *COLUMNS[len(COMPONENT_AXES) :]]
        frame = pd.DataFrame(rows, columns=[*dict.fromkeys([*known, *names, *extra])])
        return frame.assign(not_comparable=visible(self.not_comparable)) if self.not_comparable else frame
