"""Floors: what metrics give for real data in place of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Generator, Tensor

from fmbench.assembly import Split, Workshop
from fmbench.cells import ComponentSpec
from fmbench.contracts import Evidence, Metric
from fmbench.errors import CellFailure
from fmbench.evaluate import check_values, recorded
from fmbench.references import ReferenceCell

OVER_N = "bias_over_n"
"""What a metric provides whose expected value is a + b / n in the number n of samples."""
PARTS = (1, 2, 4)
"""The real data are scored whole, in halves and in quarters where their number must be extrapolated from."""


class Absent:
    """Stands in the evidence for what a floor has not: there is no network. Whoever looks at it is told so."""

    def __getattr__(self, name: str) -> Any:
        raise CellFailure(f"a floor has real data and nothing else; the metric asked for {name!r} of a network")


@torch.no_grad()
def measure_floor(cell: ReferenceCell, metrics: Sequence[ComponentSpec], workshop: Workshop) -> None:
    """Score real data in place of samples, and leave what metrics say in the store.

    The real data come from the split that the metric does not compare with (its identity names that one, as
    `reference_split`), in an order that is the seed's own. Where that split has fewer than the suite's samples, both
    splits together are split again at random, in the same sizes: a split by classes, say, lies closer to its other half
    than any draw does. A metric of which it is known how its value falls with n is then extrapolated.
    """
    folder = workshop.store.folder(cell.section, cell.key)
    folder.add_metrics(recorded(metrics, lambda spec: _score(spec, cell, workshop)))
    folder.finish({"facts": {}}, ())


def evidence_without_network(cell: ReferenceCell, workshop: Workshop) -> Evidence:
    """Return evidence of a dataset and a seed alone."""
    absent = cast("Any", Absent())
    return Evidence(
        dataset=workshop.build(cell.dataset),
        path=absent,
        objective=absent,
        t_distribution=absent,
        module=absent,
        velocity=absent,
        training=absent,
        seed=cell.seed,
        device=workshop.device,
        cache=workshop.cache,
        real=partial(workshop.data, cell.dataset),
        generator=partial(workshop.generator, cell),
    )


def _score(spec: ComponentSpec, cell: ReferenceCell, workshop: Workshop) -> dict[str, Any]:
    """Return values, identity and `n`, the number of real data that were scored, of one metric."""
    metric: Metric = workshop.build(spec)
    evidence = evidence_without_network(cell, workshop)
    wanted: int = cell.settings["samples"]
    compared, other = _splits(spec, metric, evidence)
    x, y = evidence.real(other)
    order = torch.randperm(len(x), generator=workshop.generator(cell, "floor"), device=x.device)
    n = min(wanted, len(x))
    if n < metric.minimum_samples:
        raise CellFailure(f"it needs {metric.minimum_samples} real examples to score; the {other} split has {len(x)}")
    evidence.samples, evidence.labels = x[order[:n]], None if y is None else y[order[:n]]
    identity = {"metric": str(spec), "version": metric.version, "device": evidence.device, **metric.identity(evidence)}
    if n == wanted:
        found = {n: [check_values(spec, metric.compute(evidence))]}
    else:
        split_again(evidence, compared, workshop.generator(cell, "floor"))
        x, y = evidence.real(other)
        parts = [m for m in PARTS if n // m >= max(metric.minimum_samples, 2)] if OVER_N in metric.provides else [1]
        found = {}
        for m in parts:
            for chosen in torch.arange(n // m * m, device=x.device).chunk(m):
                evidence.samples, evidence.labels = x[chosen], None if y is None else y[chosen]
                found.setdefault(len(chosen), []).append(check_values(spec, metric.compute(evidence)))
    values = found[n][0]
    if len(found) > 1:
        values = {spec.name: extrapolated({m: [v[spec.name] for v in each] for m, each in found.items()}, wanted)}
    return {"values": values, "identity": identity, "n": n, "extrapolated": len(found) > 1}


def _splits(spec: ComponentSpec, metric: Metric, evidence: Evidence) -> tuple[Split, Split]:
    """Return the split that a metric compares with, and the other one."""
    compared = metric.identity(evidence).get("reference_split")
    if compared not in ("train", "test"):
        raise CellFailure(
            f"a metric of samples alone names the split that it compares with in its identity, as reference_split: "
            f"train or test; {spec} says {compared!r}"
        )
    return (compared, "test") if compared == "train" else (compared, "train")


def split_again(evidence: Evidence, compared: Split, generator: Generator) -> None:
    """Make evidence show both splits of real data mixed, and split at random in the same sizes."""
    (x, y), (others, labels) = evidence.real(compared), evidence.real("test" if compared == "train" else "train")
    pool = torch.cat([x, others])
    classes = torch.cat([y, labels]) if y is not None and labels is not None else None
    order = torch.randperm(len(pool), generator=generator, device=pool.device)

    def chosen(places: Tensor) -> tuple[Tensor, Tensor | None]:
        return pool[places], None if classes is None else classes[places]

    sets = chosen(order[: len(x)]), chosen(order[len(x) :])
    evidence.real = lambda split: sets[0] if split == compared else sets[1]


def extrapolated(values: Mapping[int, Sequence[float]], n: int) -> float:
    """Return a + b / n, where a and b are fitted by least squares to values `{size: values at it}`.

    A size counts as one point, the mean of its values: the parts of a size together are all the data.
    """
    sizes = torch.tensor([[1.0, 1.0 / size] for size in values], dtype=torch.float64)
    means = torch.tensor([sum(each) / len(each) for each in values.values()], dtype=torch.float64)
    a, b = torch.linalg.lstsq(sizes, means[:, None]).solution.flatten()
    return float(a + b / n)
