"""What an MLflow run shows of a cell, as plain data. Imports no mlflow."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ELSEWHERE, ComponentSpec
from fmbench.cells.guidance import guidance_label
from fmbench.cells.keys import canonical, digest
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.io.printable_text import visible
from fmbench.results.records import TRAINING_AXES, EvaluationRecord, TrainingRecord

HISTORY_POINTS = 200
NAME_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 5000
"""MLflow's limits; the tag's is that of older servers."""

SUFFIX_LENGTH = 20
"""What `_nfe<NFE>` and `best_` may add to a metric's name."""

SUPERSEDED, CONFIGURATION, VARIANT = "fmbench.superseded", "fmbench.configuration", "fmbench.variant"
CURRENT = "no"
"""What SUPERSEDED says of a run that no later version has replaced; MLflow's search finds no run without a tag."""

FORMAT_TAG, FORMAT = "fmbench.format", "1"
"""The version of what a run's names, tags and steps mean, raised where that changes. A run without the tag was logged
before there was one."""
TRAINING_CODE, EVALUATION_CODE = "training.code", "evaluation.code"
"""The params that tell versions of the same components apart."""

_FORBIDDEN = re.compile(r"[^\w.\- /]")


class MetricPoint(NamedTuple):
    """One number of a run: `name` at `step`, and once more as `table`, a name that tables and searches can reach.

    MLflow's search sees only the last step of a metric. `table` is "" where the value is one of many of a curve.
    """

    name: str
    value: float
    step: int
    table: str


@dataclass(frozen=True)
class Part:
    """What becomes known of a run at one time: a training, or one evaluation (one NFE) of a way of sampling.

    `pace` is the milliseconds from step to step, 0 where the steps are no time.
    """

    key: str
    status: str
    error: str = ""
    values: tuple[MetricPoint, ...] = ()
    step: int = 0
    samples: Path | None = None
    pace: float = 0.0

    def __post_init__(self) -> None:
        """Make the error such that a server can take it, and a page show it."""
        object.__setattr__(self, "error", visible(self.error))

    @cached_property
    def mark(self) -> str:
        """The digest of the part; it begins with `!` when the part failed."""
        values = [[v.name, repr(v.value), v.step] for v in self.values]
        failed = "" if self.status == "ok" else "!"
        return failed + digest(self.key, self.status, self.error, canonical(values), str(self.samples is not None))


@dataclass(frozen=True)
class RunContent:
    """A run of MLflow. `cell` is its identity in the experiment, `parent` that of the run above it.

    `tags` count in the mark, `notes` are tags that do not. `started` is in milliseconds, None when it is not known.
    `folder` is copied into the run's artifacts, `documents` are written there as JSON, and `experiment_tags` are set on
    the experiment; `experiment_defaults` are where it has none of that name.
    """

    kind: str
    cell: str
    name: str
    parent: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    started: int | None = None
    seconds: float = 0.0
    folder: Path | None = None
    documents: Mapping[str, Any] = field(default_factory=dict)
    experiment_tags: Mapping[str, str] = field(default_factory=dict)
    experiment_defaults: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make all texts such that a server can take them, and a page show them."""
        object.__setattr__(self, "name", visible(self.name))
        for name in ("params", "tags", "notes", "experiment_tags"):
            texts = {visible(key): visible(text) for key, text in getattr(self, name).items()}
            object.__setattr__(self, name, texts)

    @cached_property
    def marks(self) -> dict[str, str]:
        """The mark of every part by its key; under "" that of params and tags."""
        head = digest(*(canonical(dict(named)) for named in (self.params, self.tags, self.experiment_tags)))
        return {"": head, **{key: part.mark for key, part in self.parts.items()}}

    def merged(self, later: RunContent) -> RunContent:
        """Return the content with what became known later."""
        return replace(later, parts={**self.parts, **later.parts})


def mark_of(marks: Mapping[str, str]) -> str:
    """Return one digest for all marks of a run."""
    return digest(*(f"{key}={mark}" for key, mark in sorted(marks.items())))


def varying_axes(settings: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the axes on which a suite's settings have several values, None when they do not say."""
    found: dict[str, Any] = {}
    for section in (settings, settings.get("training"), settings.get("evaluation")):
        found |= section if isinstance(section, Mapping) else {}
    if not found or any(settings.get(name) for name in ("include", "models", "samples")):
        return None  # an evaluation's samples are another thing
    axes = {
        axis: found.get(axis if axis in {"guidance", "weights", *SETTING_AXES} else f"{axis}s")
        for axis in (*TRAINING_AXES, "grid", "weights", "guidance")
    }
    return frozenset(axis for axis, values in axes.items() if isinstance(values, Sequence) and len(values) > 1)


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
        notes=common.notes,
        parts={part.key: part},
        started=_started(facts),
        seconds=seconds,
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
                "fmbench.training": cell.training.key,
                **{f"fmbench.fingerprint.{spec.kind}": spec.fingerprint for spec in own},
            },
            notes={**common.notes, **_about(training.facts)},
            parts={part.key: part for part in parts},
            started=min((s for s in (_started(r.facts) for r in members) if s is not None), default=None),
            seconds=sum(float(r.facts.get("seconds", 0.0)) for r in members),
        )


@dataclass(frozen=True)
class Common:
    """What all runs of a suite share: its name, the axes that vary (None: unknown), and tags that do not count."""

    suite: str
    axes: frozenset[str] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def tags(self, kind: str, cell: str) -> dict[str, str]:
        """Return the tags by which a run is found."""
        place = {"fmbench.suite": self.suite, "fmbench.kind": kind, "fmbench.cell": cell}
        return {**place, SUPERSEDED: CURRENT, FORMAT_TAG: FORMAT}


def evaluation_identity(cell: EvaluationCell) -> str:
    """Return what the evaluation cells of one run share: everything but the NFE."""
    own = (cell.solver.digest, cell.grid.digest if cell.grid else "", cell.guidance_text, cell.weights_name)
    return digest("evaluation run", cell.training.key, *own, cell.settings.text, cell.code)


def _evaluation_part(record: EvaluationRecord, inherited: Mapping[str, float]) -> Part:
    """The metrics at step = NFE and as `<metric>_nfe<NFE>`; those of the training are its run's own."""
    budget, measured = record.cell.nfe, record.nfe
    step = budget if budget is not None else round(measured or 0)
    suffix = "" if budget is None else f"_nfe{budget}"
    own = [(metric_name(name), value) for name, value in record.metrics.items() if name not in inherited]
    values = [MetricPoint(name, float(value), step, name + suffix) for name, value in own]
    if measured is not None and "nfe" not in record.metrics:
        values.append(MetricPoint("nfe", float(measured), step, "nfe" if budget is None else ""))
    return Part(record.cell.key, record.status, record.error, tuple(values), step, record.samples)


def training_params(cell: TrainingCell) -> dict[str, str]:
    """Return every component of a training, each of its parameters, the settings and the seed, flat.

    Samples that were made elsewhere have no settings.
    """
    params = {name: text for spec in cell.components for name, text in component_params(spec).items()}
    settings = flat("training", cell.settings.values) if cell.samples is None else {}
    return {**params, **settings, "seed": str(cell.seed)}


def evaluation_params(cell: EvaluationCell) -> dict[str, str]:
    """Return what an evaluation adds to the params of its training; the NFE is the step of its metrics."""
    settings = flat("evaluation", cell.settings.values)
    if cell.training.samples is not None:
        return {**component_params(cell.solver), **settings}
    grid = component_params(cell.grid) if cell.grid else {"grid": "adaptive"}
    number = cell.guidance
    guidance = component_params(number) if isinstance(number, ComponentSpec) else {"guidance": param_text(number)}
    step = {} if cell.at_step is None else {"at_step": str(cell.at_step)}
    return {**component_params(cell.solver), **grid, **settings, "weights": cell.weights, **guidance, **step}


def configuration(kind: str, params: Mapping[str, str]) -> str:
    """Return what all versions of a run share: kind, components, parameters, settings and seed, whatever the code."""
    code = {TRAINING_CODE, EVALUATION_CODE}
    return digest("configuration", kind, canonical({name: text for name, text in params.items() if name not in code}))


def code_of(components: Iterable[ComponentSpec], core: str) -> str:
    """Return a short digest of the code of some components and of fmbench's own that uses them."""
    return digest("code", *(spec.fingerprint for spec in components), core)[:8]


def component_params(spec: ComponentSpec) -> dict[str, str]:
    """Return `{"path": "icfm", "path.sigma": "0.1"}`."""
    return {spec.kind: param_text(spec.name), **flat(spec.kind, spec.parameters)}


def flat(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested values as `{"training.optimizer.lr": "0.001"}`."""
    params: dict[str, str] = {}
    for name, value in values.items():
        key = f"{prefix}.{name}"
        params |= flat(key, value) if isinstance(value, Mapping) else {metric_name(key): param_text(value)}
    return params


def param_text(value: Any) -> str:
    """Return a value as text, JSON unless it is text already, cut to what MLflow takes."""
    return cut(value if isinstance(value, str) else canonical(value), PARAM_LENGTH)


def metric_name(name: str) -> str:
    """Return a name that MLflow takes for a param or metric: other characters become `_`; `/` makes sections."""
    plain = _FORBIDDEN.sub("_", name)
    if plain != posixpath.normpath(plain) or plain.startswith(("/", "..")):
        plain = plain.replace("/", "_").replace("..", "_")
    return plain[: NAME_LENGTH - SUFFIX_LENGTH]


def cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters; one that was cut ends in an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def training_name(cell: TrainingCell, axes: frozenset[str] | None) -> str:
    """Return a run's name: the components and settings that vary in the suite, and the seed."""
    known = [spec for spec in cell.components if spec.name != ELSEWHERE]
    shown = [str(spec) for spec in known if axes is None or spec.kind in axes]
    settings = [f"{spec.kind}={spec}" for spec in cell.varied]
    return cut(" ".join([*shown, *settings, f"seed={cell.seed}"]), NAME_LENGTH)


def evaluation_name(cell: EvaluationCell, axes: frozenset[str] | None) -> str:
    """Return a run's name with the solver first, because legends cut the end off."""
    own = [str(cell.solver)]
    if cell.grid is not None and (axes is None or "grid" in axes):
        own.append(str(cell.grid))
    if cell.weights_name != "ema" or "weights" in (axes or ()):
        own.append(cell.weights_name)
    if cell.guidance != 1.0 or "guidance" in (axes or ()):
        own.append(f"guidance={guidance_label(cell.guidance)}")
    return cut(f"{' '.join(own)} | {training_name(cell.training, axes)}", NAME_LENGTH)


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
