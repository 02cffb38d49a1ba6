"""Result tables: the records of one dataset by row (a combination of axes) and NFE, for tables and figures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ELSEWHERE, SAMPLES, ComponentSpec
from fmbench.cells.guidance import guidance_label
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.results.records import (
    SAMPLER_AXES,
    TRAINING_AXES,
    EvaluationRecord,
    MetricFacts,
    Records,
    ReferenceRecord,
    Timing,
    TrainingRecord,
    Tuned,
)

ROW_AXES = (*TRAINING_AXES, *SAMPLER_AXES)
NETWORK_AXIS, SOLVER_AXIS = ROW_AXES.index("network"), ROW_AXES.index("solver")
SAID = {
    "schedule": "{} schedule",
    "steps": "{} steps",
    "batch_size": "batch size {}",
    "ema": "ema {}",
    "weights": "{} weights",
    "guidance": "guidance {}",
}
"""How a value is said on the axes whose values do not speak for themselves."""

NOT_MEASURED = "not measured"
"""Why a cell that is done has no value of a metric."""

Row = tuple[str, ...]
"""Labels in the order of TRAINING_AXES (a training row) or of ROW_AXES (an evaluation row)."""
Record = TrainingRecord | EvaluationRecord


class Names:
    """Labels of components, made unique: two components that would look alike show their parameters."""

    def __init__(self, records: Records) -> None:
        cells: list[TrainingCell] = [r.cell for r in records.trainings]
        cells += [r.cell.training for r in records.evaluations]
        specs = {(s.axis, s.text): s for cell in cells for s in (*cell.components, *cell.varied)}
        for record in records.evaluations:
            for spec in record.cell.components:
                specs.setdefault((spec.axis, spec.text), spec)
        taken = Counter((spec.axis, str(spec)) for spec in specs.values())
        self._labels = {key: _label(spec, taken[spec.axis, str(spec)] > 1) for key, spec in specs.items()}
        # Of what samples were made by elsewhere nothing is known: the solver's place says so, the others are blank.
        self._labels |= {key: "" for key, spec in specs.items() if spec.name == ELSEWHERE and spec.axis != "solver"}
        self.specs = {(spec.axis, self._labels[key]): spec for key, spec in specs.items()}

    def label(self, spec: ComponentSpec) -> str:
        """Return the label of a component."""
        return self._labels[spec.axis, spec.text]

    def training_row(self, cell: TrainingCell) -> Row:
        """Return the row of a training cell: all but its seed. Settings have labels where the suite has several."""
        settings = {spec.axis: self.label(spec) for spec in cell.varied}
        return (*map(self.label, cell.components), *(settings.get(axis, "") for axis in SETTING_AXES))

    def row(self, cell: EvaluationCell) -> Row:
        """Return the row of an evaluation cell: all but its seed and NFE, with blanks for what it has not."""
        grid, guidance = self.label(cell.grid) if cell.grid else "", cell.guidance
        said = self.label(guidance) if isinstance(guidance, ComponentSpec) else guidance_label(guidance)
        known = (cell.weights, said) if cell.training.samples is None else ("", "")
        return (*self.training_row(cell.training), self.label(cell.solver), grid, *known)


def _label(spec: ComponentSpec, ambiguous: bool) -> str:
    return f"{spec} {json.dumps(dict(spec.parameters), sort_keys=True)}" if ambiguous else str(spec)


@dataclass(frozen=True)
class Values:
    """What the seeds of one entry gave for one metric: finite values by seed, and why the others have none."""

    by_seed: Mapping[int, float] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    identities: tuple[Mapping[str, Any], ...] = ()

    @property
    def total(self) -> int:
        """The number of seeds, lost ones included."""
        return len(self.by_seed) + sum(self.lost.values())

    @property
    def complete(self) -> bool:
        """Whether there is a value and no seed is lost: others never count as the best."""
        return bool(self.by_seed) and not self.lost


def gather(records: Iterable[Record], facts: MetricFacts, failed: Mapping[str, str]) -> Values:
    """Collect one metric over records that differ in their seed. `failed` maps training keys to their status."""
    by_seed: dict[int, float] = {}
    lost: Counter[str] = Counter()
    identities = []
    for record in records:
        training = record.cell if isinstance(record, TrainingRecord) else record.cell.training
        status = failed.get(training.key, record.status) if record.status == "missing" else record.status
        value = record.metrics.get(facts.name)
        if value is None:  # a cell of which another metric failed keeps this one
            lost[status if status != "ok" else NOT_MEASURED] += 1
        elif not math.isfinite(value):
            lost["not a finite number"] += 1
        else:
            by_seed[training.seed] = float(value)
            identities.append(identity(record, facts))
    return Values(by_seed, dict(lost), tuple(identities))


def identity(record: Record, facts: MetricFacts) -> Mapping[str, Any]:
    """Return what a metric's value must share with another to be comparable; empty where the record does not say."""
    for name in (facts.name, facts.label):
        if name in record.identities:
            return record.identities[name]
    owners = [name for name in record.identities if facts.name.startswith(f"{name}_")]
    return record.identities[max(owners, key=len)] if owners else {}


@dataclass(frozen=True)
class ResultTable:
    """The records of one dataset.

    `cells` maps an evaluation row and an NFE budget (None for adaptive solvers) to its records, one a seed;
    `trainings` maps a training row to its records. `failed` are statuses by training key, `specs` components by kind
    and label. `headline` is the metric that leads the report. `references` are its floors and oracles.
    `validation` are the records by which the settings that `tuning` names are chosen, as `cells` are arranged.
    """

    dataset: str
    trainings: Mapping[Row, Sequence[TrainingRecord]]
    cells: Mapping[tuple[Row, int | None], Sequence[EvaluationRecord]]
    metrics: Sequence[MetricFacts]
    failed: Mapping[str, str]
    specs: Mapping[tuple[str, str], ComponentSpec]
    headline: MetricFacts | None
    references: Sequence[ReferenceRecord] = ()
    validation: Mapping[tuple[Row, int | None], Sequence[EvaluationRecord]] = field(default_factory=dict)
    tuning: Tuned | None = None

    @cached_property
    def oracles(self) -> dict[str, ReferenceRecord]:
        """The oracles, by their key."""
        return {r.cell.key: r for r in self.references if r.cell.section == "oracle"}

    @property
    def budgets(self) -> list[int]:
        """The NFE budgets, ascending."""
        return sorted({nfe for _, nfe in self.cells if nfe is not None})

    def spec(self, kind: str, label: str) -> ComponentSpec | None:
        """Return the component that a label stands for."""
        return self.specs.get((kind, label))

    def rows(self, adaptive: bool = False) -> list[Row]:
        """Return the evaluation rows of fixed-step or of adaptive solvers, in the plan's order."""
        rows = dict.fromkeys(row for row, nfe in self.cells if (nfe is None) == adaptive)
        return [row for row in rows if not adaptive or not self.made_elsewhere(row)]

    @property
    def unsaid(self) -> list[Row]:
        """The rows of samples made elsewhere of which nobody says the NFE, in the plan's order."""
        return list(dict.fromkeys(row for row, nfe in self.cells if nfe is None and self.made_elsewhere(row)))

    def made_elsewhere(self, row: Row) -> bool:
        """Tell whether a row is of samples that were made elsewhere."""
        spec = self.spec("network", row[NETWORK_AXIS])
        return spec is not None and spec.kind == SAMPLES

    def values(self, row: Row, nfe: int | None, facts: MetricFacts) -> Values | None:
        """Return a metric's values at a row and a budget, or None where the suite has no such cell.

        So it is for samples made elsewhere, too, where the metric looks at a network.
        """
        place = (row, nfe, facts.name)
        if place not in self._gathered:
            self._gathered[place] = self._gather(row, nfe, facts)
        return self._gathered[place]

    @cached_property
    def _gathered(self) -> dict[tuple[Row, int | None, str], Values | None]:
        """What `values` returned: tables, answer and page ask for the same again and again."""
        return {}

    def _gather(self, row: Row, nfe: int | None, facts: MetricFacts) -> Values | None:
        records = self.cells.get((row, nfe))
        if records is None:
            return None
        values = gather(records, facts, self.failed)
        return values if values.by_seed or values.lost.keys() - {NOT_MEASURED} or not self.made_elsewhere(row) else None

    def only(self, trainings: Collection[Row]) -> ResultTable:
        """Return the result table of some training rows."""
        cells = {key: records for key, records in self.cells.items() if key[0][: len(TRAINING_AXES)] in trainings}
        return replace(self, trainings={r: t for r, t in self.trainings.items() if r in trainings}, cells=cells)

    def by_hardware(self) -> dict[str, ResultTable]:
        """Return the result table by the hardware on which samplers were measured, as often as there is such hardware.

        The records of each hold no costs but those of one hardware, the leading one first; "" where it is not known.
        """
        records = [record for group in self.cells.values() for record in group]
        others = sorted({timing.hardware for record in records for timing in record.elsewhere})
        leading = next((record.hardware for record in records if record.hardware), "")
        if not others:
            return {leading: self}
        return {
            line: replace(self, cells={key: [_timed_on(line, r) for r in group] for key, group in self.cells.items()})
            for line in filter(None, [leading, *others])
        }

    def scope(self, scope: str) -> list[MetricFacts]:
        """Return the metrics of a scope that have a value in this dataset, in the suite's order.

        Of a metric that has a value for each part of something only the first is there: figures show the parts.
        """
        records: list[Record] = [r for group in self.cells.values() for r in group]
        if scope == "training":
            records = [r for group in self.trainings.values() for r in group]
        seen = {name for record in records for name in record.metrics}
        if scope == "sampler":
            seen |= {name for group in self.cells.values() for r in group for t in r.elsewhere for name in t.metrics}
        return [facts for facts in self.metrics if facts.scope == scope and facts.name in seen and not facts.over]


def _timed_on(hardware: str, record: EvaluationRecord) -> EvaluationRecord:
    """Return the record with what its sampler costs on one hardware, and on no other."""
    if record.hardware == hardware:
        return replace(record, elsewhere=())
    found = next((timing for timing in record.elsewhere if timing.hardware == hardware), Timing(hardware, {}, {}))
    return replace(record, metrics=found.metrics, identities=found.identities, hardware=hardware, elsewhere=())


def make_result_tables(records: Records) -> list[ResultTable]:
    """Arrange records into one result table a dataset, in the plan's order.

    Trainings that are only teachers or weaker models, without an evaluation of their own, are left to the table of
    machines; samples that were made elsewhere have none.
    """
    names = Names(records)
    records = replace(records, evaluations=_of_known_precision(records.evaluations))
    evaluated = {r.cell.training.key for r in records.evaluations}
    only_help = {t.key for r in records.trainings for t in r.cell.teachers}.union(records.weaker_models) - evaluated
    failed = {r.cell.key: r.status for r in records.trainings if r.status != "ok"}
    trainings: dict[str, dict[Row, list[TrainingRecord]]] = {}
    cells: dict[str, dict[tuple[Row, int | None], list[EvaluationRecord]]] = {}
    for training in (r for r in records.trainings if r.cell.key not in only_help and r.cell.samples is None):
        row = names.training_row(training.cell)
        trainings.setdefault(row[0], {}).setdefault(row, []).append(training)
    for record in records.evaluations:
        row = names.row(record.cell)
        cells.setdefault(row[0], {}).setdefault((row, record.cell.nfe), []).append(record)
    chosen_by: dict[str, dict[tuple[Row, int | None], list[EvaluationRecord]]] = {}
    for record in records.validation:
        row = names.row(record.cell)
        chosen_by.setdefault(row[0], {}).setdefault((row, record.cell.nfe), []).append(record)
    result_tables = []
    for dataset in dict.fromkeys([*trainings, *cells]):
        mine = cells.get(dataset, {})
        headline = _headline(records.metrics, mine)
        own = [r for r in records.references if names.label(r.cell.dataset) == dataset]
        rows = trainings.get(dataset, {})
        choosing = chosen_by.get(dataset, {})
        known = (dataset, rows, mine, records.metrics, failed, names.specs, headline, own, choosing, records.tuning)
        result_tables.append(ResultTable(*known))
    return result_tables


def _of_known_precision(records: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """Return records in which samples made elsewhere have the precision of the others, where these share one.

    In which they were made nobody knows, so it keeps none of them from being compared.
    """
    if all(record.cell.training.samples is None for record in records):
        return list(records)
    known: dict[str, set[str]] = {}
    for record in records:
        for name, found in record.identities.items() if record.cell.training.samples is None else ():
            known.setdefault(name, set()).add(str(found.get("precision", "")))
    shared = {name: min(found) for name, found in known.items() if len(found) == 1 and "" not in found}
    return [
        replace(r, identities={n: {**i, **_part(n, shared)} for n, i in r.identities.items()})
        if r.cell.training.samples is not None
        else r
        for r in records
    ]


def _part(name: str, shared: Mapping[str, str]) -> dict[str, str]:
    return {"precision": shared[name]} if name in shared else {}


def _headline(
    metrics: Sequence[MetricFacts], cells: Mapping[tuple[Row, int | None], Sequence[EvaluationRecord]]
) -> MetricFacts | None:
    """Return the first evaluation-scope metric with a value in these cells; without any value, the first one."""
    candidates = [facts for facts in metrics if facts.scope == "evaluation"]
    seen = {name for group in cells.values() for record in group for name in record.metrics}
    return next((facts for facts in candidates if facts.name in seen), candidates[0] if candidates else None)


def varying(rows: Iterable[Row]) -> list[int]:
    """Return the positions of ROW_AXES at which rows differ; blanks (an adaptive solver's grid) do not count."""
    rows = list(rows)
    width = min(map(len, rows), default=0)
    return [i for i in range(width) if len({row[i] for row in rows if row[i]}) > 1]


def fixed(rows: Iterable[Row]) -> dict[str, str]:
    """Return the axes on which all rows agree, with their label."""
    rows = list(rows)
    width = min(map(len, rows), default=0)
    found = {ROW_AXES[i]: {row[i] for row in rows if row[i]} for i in range(width)}
    return {axis: labels.pop() for axis, labels in found.items() if len(labels) == 1}


def words(row: Row, positions: Sequence[int]) -> str:
    """Say a row by the axes that vary, as in "linear, uniform, heun"; where none does, by its dataset."""
    return ", ".join(labels_said(row, positions)) or row[0]


def labels_said(row: Row, positions: Iterable[int]) -> list[str]:
    """Return how the labels of a row on some axes are said; blanks are not."""
    return [SAID.get(ROW_AXES[i], "{}").format(row[i]) for i in positions if i < len(row) and row[i]]
