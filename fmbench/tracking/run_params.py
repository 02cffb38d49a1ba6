"""What a run's params and names say of a cell: its components, their parameters, its settings, flat and as text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ELSEWHERE, ComponentSpec
from fmbench.cells.guidance import guidance_label
from fmbench.cells.keys import canonical, digest

NAME_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 5000
"""MLflow's limits; the tag's is that of older servers."""

SUFFIX_LENGTH = 20
"""What `_nfe<NFE>` and `best_` may add to a metric's name."""

TRAINING_CODE, EVALUATION_CODE = "training.code", "evaluation.code"
"""The params that tell versions of the same components apart."""

NOT_SHARED = frozenset({"seed", TRAINING_CODE, EVALUATION_CODE})
"""The params of a cell's run in which the seeds of a configuration may differ."""

_FORBIDDEN = re.compile(r"[^\w.\- /]")


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


def axis_labels(cell: EvaluationCell) -> dict[str, str]:
    """Return how tables show a cell on each axis but seed and NFE; what it has not is left out."""
    training = cell.training
    known = {spec.axis: str(spec) for spec in (*training.components, *training.varied) if spec.name != ELSEWHERE}
    if training.samples is not None:
        return {**known, "solver": str(cell.solver)}
    grid = str(cell.grid) if cell.grid is not None else "adaptive"
    step = {} if cell.at_step is None else {"at_step": str(cell.at_step)}
    sampled = {"grid": grid, "weights": cell.weights, "guidance": guidance_label(cell.guidance), **step}
    return {**known, "solver": str(cell.solver), **sampled}


def configuration(kind: str, params: Mapping[str, str]) -> str:
    """Return what all versions of a run share: kind, components, parameters, settings and seed, whatever the code."""
    code = {TRAINING_CODE, EVALUATION_CODE}
    return digest("configuration", kind, canonical({name: text for name, text in params.items() if name not in code}))


def seeds_of(params: Mapping[str, str]) -> str:
    """Return what the runs of the seeds of one configuration share: all params but seed and code."""
    return digest("seeds of", canonical({name: text for name, text in params.items() if name not in NOT_SHARED}))


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
