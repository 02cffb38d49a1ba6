"""Computing metrics of one evaluation, and checking what they return."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import canonical
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Evidence, Metric
from fmbench.errors import CellFailure, NotDefined, ProcessChanged, StoreError
from fmbench.isolation import global_random
from fmbench.isolation.inplace_guard import guarding_inplace, marks, versions
from fmbench.model.context import WorkerContext
from fmbench.runtime import environment
from fmbench.runtime.device import device_type
from fmbench.runtime.failures import describe_failure

Real = Callable[[Literal["train", "test"]], tuple[Tensor, Tensor | None]]
MOST_NAMED = 3
"""Values of a metric that the reason for its failure names."""
MOST_OF_A_TRACEBACK = 20_000


def compute_metrics(
    specs: Sequence[ComponentSpec], cell: TrainingCell, evidence: Evidence, context: WorkerContext, split: str = ""
) -> dict[str, dict[str, Any]]:
    """Return what `recorded` does of metrics that look at evidence; `split` as in `compute_metric`."""
    samples = (evidence.samples, evidence.labels)

    def score(spec: ComponentSpec) -> dict[str, Any]:
        own = evidence.remembered.setdefault(spec.digest, {})  # no metric sees what another keeps
        return compute_metric(spec, cell, replace(evidence, remembered=own), context, split)

    return recorded(specs, cell, context, guarding_inplace(samples, score))


def recorded(
    specs: Sequence[ComponentSpec],
    cell: TrainingCell | ReferenceCell,
    context: WorkerContext,
    score: Callable[[ComponentSpec], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return, by the metric's digest, its values, its identity and the seconds that it took.

    A metric that fails has no values but a status and an error, and takes nothing away from the others; one that leaves
    the cell out has no values but the reason. After one that changed what others are computed with, which
    `context.spoilt` says, the rest are missing: they are for another process.
    """
    computed: dict[str, dict[str, Any]] = {}
    for spec in specs:
        global_random.seed(seed_for(cell.seed, f"metric/{spec.text}", cell.dataset.text))
        started = time.perf_counter()
        try:
            with context.unchanged("it", spec):
                found = score(spec)
        except (StoreError, KeyboardInterrupt):
            raise
        except NotDefined as reason:
            found = {"values": {}, "identity": {}, "left_out": str(reason)}
        except BaseException as error:
            failure = describe_failure(error)
            if isinstance(error, ProcessChanged):
                context.spoilt = f"metric {spec}: {failure}"
            found = {"values": {}, "identity": {}, "status": failure.status, "error": f"metric {spec}: {failure}"}
            found["traceback"] = traceback.format_exc()[-MOST_OF_A_TRACEBACK:]
        computed[spec.digest] = {"name": spec.name, **found, "seconds": time.perf_counter() - started}
        if context.spoilt:
            break
    return computed


def compute_metric(
    spec: ComponentSpec, cell: TrainingCell, evidence: Evidence, context: WorkerContext, split: str = ""
) -> dict[str, Any]:
    """Return the values and the identity of one metric. Raises CellFailure for values that break the contract.

    With a `split`, that stands in place of the one which the metric compares with, and in place of the test split.
    """
    metric: Metric = context.build(spec)
    if split:
        evidence = replace(evidence, real=_compared_with(split, metric, evidence))
    identity: dict[str, Any] = {"metric": identified(spec), "version": metric.version}
    identity |= {kind: getattr(cell, kind).text for kind in metric.within}
    weights = list(evidence.module.state_dict().values())
    before = versions(weights)
    with intact(evidence, context):
        values = check_values(spec, metric.compute(evidence))
        identity |= {"device": device_type(evidence.device), "precision": evidence.training.precision}
        identity |= metric.identity(evidence)
    if split and "reference_split" in identity:
        identity["reference_split"] = split
    if versions(weights) != before:
        raise ProcessChanged("it changes in place the network's weights, which others are given: copy them first")
    if metric.scope == "sampler":
        identity |= environment.measured_on(context.device)
    return {"values": values, "identity": identity}


def identified(spec: ComponentSpec) -> str:
    """Return what a score's identity calls a metric: as tables do, but without the places of its files."""
    if not spec.unkeyed:
        return str(spec)
    return f"{spec.name} {canonical({name: v for name, v in spec.parameters.items() if name not in spec.unkeyed})}"


def _compared_with(split: str, metric: Metric, evidence: Evidence) -> Real:
    """Return the real data with a split in place of the test split, and of the one that a metric compares with."""

    def instead_of(*splits: str) -> Real:
        return lambda asked: evidence.real(split if asked in splits else asked)  # type: ignore[arg-type]

    compared = metric.identity(replace(evidence, real=instead_of("test"))).get("reference_split", "test")
    return instead_of("test", compared)


@contextmanager
def intact(evidence: Evidence, context: WorkerContext, *others: Tensor | None) -> Iterator[None]:
    """Raise CellFailure where the metric that is computed inside changes samples, real data or others in place.

    Real data that were changed are loaded anew.
    """
    context.reload_modified()  # by somebody else
    given = (evidence.samples, evidence.labels, *others)
    before = marks(given)
    try:
        yield
    finally:
        spoilt = context.reload_modified() or marks(given) != before
    if spoilt:
        raise CellFailure("it changes in place the samples or the real data, which others are given: copy them first")


def check_values(spec: ComponentSpec, computed: Mapping[str, float]) -> dict[str, float]:
    """Return a metric's values as numbers. Raises CellFailure for values that break the contract."""
    values = {name: float(value) for name, value in computed.items()}
    strangers = [name for name in values if name != spec.name and not name.startswith(f"{spec.name}_")]
    if strangers or next(iter(values), None) != spec.name:
        raise CellFailure(f"it must return {spec.name!r} first, and others as {spec.name}_...; found {list(values)}")
    if infinite := [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]:
        more = f" and {len(infinite) - MOST_NAMED} more" if len(infinite) > MOST_NAMED else ""
        raise CellFailure(f"its value is not finite: {', '.join(infinite[:MOST_NAMED])}{more}")
    return values
