"""The runs of cells: one a training, below it one for each way of sampling, with a part an NFE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.keys import canonical, digest
from fmbench.io.markdown import escape_markdown, fence
from fmbench.results.records import EvaluationRecord, TrainingRecord
from fmbench.tracking.run_content import (
    CONFIGURATION,
    CURRENT,
    EXPERIMENT,
    FORMAT,
    FORMAT_TAG,
    KIND,
    NOTE,
    SEEDS_OF,
    SUPERSEDED,
    DatasetOfRun,
    MetricPoint,
    Part,
    RunContent,
)
from fmbench.tracking.run_names import evaluation_name, training_name
from fmbench.tracking.run_params import (
    EVALUATION_CODE,
    TAG_LENGTH,
    TRAINING_CODE,
    axis_labels,
    code_of,
    configuration,
    cut,
    evaluation_params,
    metric_name,
    seeds_of,
    training_params,
)

HISTORY_POINTS = 200
DATASET_LENGTH = 500
"""MLflow's limit of a dataset's name."""

ONE_SEED = "One seed. Metrics are at step = NFE; runs of the kind `configuration` hold the means over seeds."
SUMMARIES = f"#/experiments/{EXPERIMENT}/runs?searchFilter=" + quote(f"tags.`{KIND}` = 'summary'")
"""The address of the summaries in MLflow's UI."""


def training_content(record: TrainingRecord, common: Common) -> RunContent:
    """Return the run of a training cell: its loss curve at step = iteration, and the metrics of the training."""
    cell, facts = record.cell, record.facts
    seconds = float(facts.get("seconds", 0.0))
    last = record.history[-1][0] if record.history else 0
    curve = [MetricPoint("loss", float(loss), step, "") for step, loss in thinned(record.history, HISTORY_POINTS)]
    own = [(metric_name(name), value) for name, value in record.metrics.items()]
    metrics = [MetricPoint(name, float(value), last, name) for name, value in own]
    part = Part(
        cell.key, record.status, record.error, (*curve, *metrics), last, pace=1000 * seconds / last if last else 0.0
    )
    fingerprints = {f"fmbench.fingerprint.{spec.kind}": spec.fingerprint for spec in cell.components}
    params = training_params(cell)
    return RunContent(
        kind="training",
        cell=cell.key,
        name=training_name(cell, common.axes),
        params={**params, TRAINING_CODE: code_of(cell.components, cell.code)},
        tags={
            **common.tags("training", cell.key),
            CONFIGURATION: configuration("training", params),
            **fingerprints,
            **_about(facts),
        },
        notes=common.notes_of("One training. Loss and validation are at step = iteration.", {"training": cell.key}),
        parts={part.key: part},
        started=_started(facts),
        seconds=seconds,
        dataset=common.dataset(cell),
    )


def evaluation_contents(
    training: TrainingRecord, records: Iterable[EvaluationRecord], common: Common
) -> Iterator[RunContent]:
    """Yield the run of each solver, grid and guidance, with one part an NFE. What is missing is left out."""
    runs: dict[str, list[EvaluationRecord]] = {}
    for record in records:
        if record.status != "missing":
            runs.setdefault(evaluation_identity(record.cell), []).append(record)
    for identity, members in runs.items():
        cell = members[0].cell
        parts = [_evaluation_part(record, training.metrics) for record in members]
        own = cell.components
        keys = {f"NFE {each.cell.nfe}" if each.cell.nfe else "adaptive": each.cell.key for each in members}
        params = {**training_params(cell.training), **evaluation_params(cell)}
        code = {
            TRAINING_CODE: code_of(cell.training.components, cell.training.code),
            EVALUATION_CODE: code_of(own, cell.code),
        }
        yield RunContent(
            kind="evaluation",
            cell=identity,
            name=evaluation_name(cell, common.axes),
            parent=cell.training.key,
            params={**params, **code},
            tags={
                **common.tags("evaluation", identity),
                CONFIGURATION: configuration("evaluation", params),
                SEEDS_OF: seeds_of(params),
                "fmbench.training": cell.training.key,
                **{f"fmbench.fingerprint.{spec.kind}": spec.fingerprint for spec in own},
            },
            notes={**common.notes_of(ONE_SEED, keys), **_about(training.facts)},
            parts={part.key: part for part in parts},
            started=min((s for s in (_started(r.facts) for r in members) if s is not None), default=None),
            seconds=sum(float(r.facts.get("seconds", 0.0)) for r in members),
            dataset=common.dataset(cell.training),
            axes=axis_labels(cell),
            unseeded=evaluation_name(cell, common.axes, seed=False),
        )


@dataclass(frozen=True)
class Common:
    """What all runs of a suite share: its name, the axes that vary (None: unknown), and tags that do not count.

    `command` makes the records, `report` is the report's page, both "" where they are not known; `data` says by label
    what datasets read.
    """

    suite: str
    axes: frozenset[str] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    report: str = ""
    data: Mapping[str, str] = field(default_factory=dict)

    def tags(self, kind: str, cell: str) -> dict[str, str]:
        """Return the tags by which a run is found."""
        place = {"fmbench.suite": self.suite, KIND: kind, "fmbench.cell": cell}
        return {**place, SUPERSEDED: CURRENT, FORMAT_TAG: FORMAT}

    def notes_of(self, what: str, keys: Mapping[str, str]) -> dict[str, str]:
        """Return the tags that do not count of one run, with a text that leads from it to its cells and the report."""
        cells = ", ".join(f"{name} `{key}`" for name, key in keys.items())
        lines = [what, *([f"Cells: {cells}."] if cells else [])]
        lines += [fence(self.command)] if self.command else []
        if self.report:
            lines.append(f"Report: {escape_markdown(self.report)}, and [among the summary's artifacts]({SUMMARIES}).")
        return {**self.notes, NOTE: cut("\n\n".join(lines), TAG_LENGTH)}

    def dataset(self, cell: TrainingCell) -> DatasetOfRun:
        """Return the dataset of a cell."""
        spec, label = cell.dataset, str(cell.dataset)
        about = {"component": spec.name, "parameters": dict(spec.parameters), "from": spec.owner}
        reads = {"reads": self.data[label]} if self.data.get(label) else {}
        return DatasetOfRun(cut(label, DATASET_LENGTH), spec.digest[:8], canonical({**about, **reads}))


def evaluation_identity(cell: EvaluationCell) -> str:
    """Return what the evaluation cells of one run share: everything but the NFE."""
    own = (cell.solver.digest, cell.grid.digest if cell.grid else "", cell.guidance_text, cell.weights_name)
    return digest("evaluation run", cell.training.key, *own, cell.settings.text, cell.code)


def _evaluation_part(record: EvaluationRecord, inherited: Mapping[str, float]) -> Part:
    """The metrics at step = NFE; those of the training are its run's own."""
    budget, measured = record.cell.nfe, record.nfe
    step = budget if budget is not None else round(measured or 0)
    own = [(metric_name(name), value) for name, value in record.metrics.items() if name not in inherited]
    if measured is not None and "nfe" not in record.metrics:
        own.append(("nfe", measured))
    values = tuple(MetricPoint(name, float(value), step, "") for name, value in own)
    return Part(record.cell.key, record.status, record.error, values, step, record.samples, nfe=budget)


def thinned(history: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """Return at most `most` points of a curve, evenly spaced, the last among them."""
    if len(history) <= most:
        return list(history)
    return [history[round((i + 1) * len(history) / most) - 1] for i in range(most)]


def _about(facts: Mapping[str, Any]) -> dict[str, str]:
    names = ("hardware", "device", "precision", "torch")
    return {f"fmbench.{name}": cut(str(facts[name]), TAG_LENGTH) for name in names if facts.get(name)}


def _started(facts: Mapping[str, Any]) -> int | None:
    if not facts.get("finished"):
        return None
    finished = datetime.fromisoformat(str(facts["finished"])).timestamp()
    return round(1000 * (finished - float(facts.get("seconds", 0.0))))
