"""Floors: what metrics give for real data in place of samples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Generator, Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import SPLIT_ANEW, ReferenceCell
from fmbench.components.contracts import Evidence, Metric
from fmbench.errors import CellFailure
from fmbench.evaluation.metrics import check_values, identified, intact, recorded
from fmbench.model.context import WorkerContext
from fmbench.runtime.device import device_type

Split = Literal["train", "test"]
"""What metrics compare with, and floors swap."""
Data = tuple[Tensor, Tensor | None]
"""Examples and their labels."""
OVER_N = "bias_over_n"
"""What a metric provides whose expected value is a + b / n in the number n of samples."""
OWN_REFERENCE = "own_reference"
"""What a metric provides that compares with no split of the dataset."""
MUCH = 4
"""Where samples are more than a quarter of a split, real data are split anew."""
MOST_DRAWS, AFFORDABLE = 4, 2**23
EXTRAPOLATED = 4
"""Over how many times as many draws a floor is averaged that is extrapolated, and so noisier."""
PARTS = (1, 2)
"""The real data are scored whole and in halves where their number must be extrapolated from. Quarters may
have so few examples a feature that FID is no line in 1/n any more, and the value comes out too low."""


class Absent:
    """Stands in the evidence for what neither a floor nor samples made elsewhere have: there is no network here.

    Whoever looks at it is told so.
    """

    def __getattr__(self, name: str) -> Any:
        raise CellFailure(
            f"here are samples and real data and nothing else; the metric asked for {name!r} of a network"
        )


@torch.no_grad()
def measure_floor(cell: ReferenceCell, metrics: Sequence[ComponentSpec], context: WorkerContext) -> None:
    """Score real data in place of samples, and leave what metrics say in the store: the mean over several draws.

    The real data come from the split that the metric does not compare with (its identity names that one, as
    `reference_split`), n at random. Where the suite's samples are more than a quarter of that split, reference and rest
    are split anew at random, in the same sizes: a split by classes, say, lies closer to its other half than any draw
    does, and a split that is taken whole is always the same. A metric that compares with no split has test data as they
    stand. Where there are fewer real data than samples, all are
    taken, and a metric of which it is known how its value falls with n is extrapolated.
    """
    folder = context.store.folder(cell.section, cell.key)
    folder.add_metrics(recorded(metrics, cell, context, lambda spec: _score(spec, cell, context)))
    folder.finish({"facts": {}}, ())


def evidence_without_network(cell: TrainingCell | ReferenceCell, context: WorkerContext) -> Evidence:
    """Return evidence of a dataset and a seed alone."""
    absent = cast("Any", Absent())
    return Evidence(
        dataset=context.build(cell.dataset),
        path=absent,
        objective=absent,
        t_distribution=absent,
        module=absent,
        velocity=absent,
        training=absent,
        seed=cell.seed,
        device=context.device,
        cache=context.cache,
        real=partial(context.data, cell.dataset),
        generator=partial(context.generator, cell),
    )


def _score(spec: ComponentSpec, cell: ReferenceCell, context: WorkerContext) -> dict[str, Any]:
    """Return values, identity and `n`, the number of real data that were scored, of one metric; `left_out` says why
    there are none.
    """
    metric: Metric = context.build(spec)
    evidence = evidence_without_network(cell, context)
    compared, other = _splits(spec, metric, evidence)
    size, wanted = len(evidence.real(other)[0]), int(cell.settings["samples"])
    n = min(wanted, size)
    if n < metric.minimum_samples:
        why = f"it needs {metric.minimum_samples} real examples to score, and the {other} split has {size}"
        return {"values": {}, "identity": {}, "left_out": why}
    evidence.samples, evidence.labels = _chosen(evidence.real(other), torch.arange(n))
    identity = identity_of(spec, metric, evidence)
    anew = n * MUCH > size and OWN_REFERENCE not in metric.provides
    identity |= {"reference": SPLIT_ANEW} if anew and "reference" in identity else {}
    parts = [m for m in PARTS if n // m >= max(metric.minimum_samples, 2)]
    parts = parts if n < wanted and OVER_N in metric.provides else [1]
    numbers = evidence.samples[0].numel() * (size + len(evidence.real(compared)[0]))
    generator = context.generator(cell, "floor")
    found: dict[int, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(draws_of(numbers) * (EXTRAPOLATED if len(parts) > 1 else 1)):
            drawn = evidence_without_network(cell, context)
            if anew:
                split_again(drawn, compared, generator)
                drawn.cache = Path(cache)
            for real in _parts(drawn.real(other), n, parts, generator):
                drawn.samples, drawn.labels = real
                found.setdefault(len(real[0]), []).append(_values(spec, metric, drawn, context, drawn.real(compared)))
    means = {m: {name: _mean([v[name] for v in each]) for name in each[0]} for m, each in found.items()}
    values = means[n]
    if len(means) > 1:
        values = {spec.name: extrapolated({m: each[spec.name] for m, each in means.items()}, wanted)}
    values = check_values(spec, values)  # the mean of finite values may still be too large for a number
    return {"values": values, "identity": identity, "n": n, "extrapolated": len(means) > 1}


def _values(
    spec: ComponentSpec, metric: Metric, drawn: Evidence, context: WorkerContext, reference: Data
) -> dict[str, float]:
    with intact(drawn, context, *reference):
        return check_values(spec, metric.compute(drawn))


def identity_of(spec: ComponentSpec, metric: Metric, evidence: Evidence) -> dict[str, Any]:
    """Return the identity of a score that no trained network had a part in."""
    device = device_type(evidence.device)
    return {"metric": identified(spec), "version": metric.version, "device": device, **metric.identity(evidence)}


def _parts(real: Data, n: int, parts: Sequence[int], generator: Generator) -> Iterator[Data]:
    """Yield n of the real data at random, then these again in so many equal parts."""
    order = torch.randperm(len(real[0]), generator=generator, device=real[0].device)
    for m in parts:
        yield from (_chosen(real, order[first : first + n // m]) for first in range(0, n // m * m, n // m))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def draws_of(numbers: int) -> int:
    """Return over how many draws a floor is averaged, for so many numbers in all real data: fewer where it is dear."""
    return max(1, min(MOST_DRAWS, AFFORDABLE // numbers))


def _chosen(data: Data, places: Tensor) -> Data:
    x, y = data
    places = places.to(x.device)
    return x[places], None if y is None else y[places]


def _splits(spec: ComponentSpec, metric: Metric, evidence: Evidence) -> tuple[Split, Split]:
    """Return the split that a metric compares with, and the other one, whose data are scored."""
    compared = metric.identity(evidence).get("reference_split")
    if OWN_REFERENCE in metric.provides:
        return "train", "test"
    if compared not in ("train", "test"):
        raise CellFailure(
            f"a metric of samples alone names the split that it compares with in its identity, as reference_split: "
            f"train or test; {spec} says {compared!r}"
        )
    return (compared, "test") if compared == "train" else (compared, "train")


def split_again(evidence: Evidence, compared: Split, generator: Generator) -> None:
    """Make evidence show both splits of real data mixed, and split at random in the same sizes."""
    (x, y), (others, labels) = evidence.real(compared), evidence.real("test" if compared == "train" else "train")
    pool = (torch.cat([x, others]), torch.cat([y, labels]) if y is not None and labels is not None else None)
    order = torch.randperm(len(pool[0]), generator=generator, device=x.device)
    sets = _chosen(pool, order[: len(x)]), _chosen(pool, order[len(x) :])
    evidence.real = lambda split: sets[0] if split == compared else sets[1]


def extrapolated(values: Mapping[int, float], n: int) -> float:
    """Return a + b / n, where a and b are fitted by least squares to values `{size: value}`."""
    sizes = torch.tensor([[1.0, 1.0 / size] for size in values], dtype=torch.float64)
    means = torch.tensor([[value] for value in values.values()], dtype=torch.float64)
    a, b = torch.linalg.lstsq(sizes, means).solution.flatten()
    return float(a + b / n)
