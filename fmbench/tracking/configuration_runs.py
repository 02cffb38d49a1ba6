"""The runs of configurations: what cells share that differ in their seed and NFE alone, with the mean over its seeds.

A cell's run shows one seed; tables, searches and charts compare configurations. Their metrics are at step = NFE:
`fid` is the mean over the seeds, `fid_low` and `fid_high` are its 95% interval (Student's t, as in the report's
tables), `fid_n` is the number of seeds. MLflow's search and tables see the last step of a metric only, so the mean is
there once more as `fid_nfe4`; cells' runs have no such copies.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from fmbench.cells.keys import digest
from fmbench.io.printable_text import count
from fmbench.results.records import MetricFacts, Records
from fmbench.tracking.cell_runs import Common, evaluation_identity
from fmbench.tracking.run_content import (
    CONFIGURATION,
    DATASET,
    EXPERIMENT,
    KIND,
    SEEDS_OF,
    VARIANT,
    WHOLE_SUITE,
    MetricPoint,
    Part,
    RunContent,
    mark_of,
)
from fmbench.tracking.run_params import (
    TAG_LENGTH,
    cut,
    evaluation_params,
    metric_name,
    param_text,
    seeds_of,
    training_params,
)


def configuration_contents(contents: Iterable[RunContent], records: Records, common: Common) -> Iterator[RunContent]:
    """Yield the run of each configuration of which a cell is done, made from the `contents` of its cells' runs."""
    trainings: dict[str, RunContent] = {}
    groups: dict[str, list[RunContent]] = {}
    for content in contents:
        if content.kind == "training":
            trainings[content.cell] = content
        elif content.kind == "evaluation":
            groups.setdefault(content.tags[SEEDS_OF], []).append(content)
    facts = {metric_name(each.name): each for each in records.metrics}
    for identity, members in groups.items():
        above = [trainings[member.parent] for member in members if member.parent in trainings]
        yield _content(identity, members, above, facts, common, records.variant)


def planned_configurations(contents: Iterable[RunContent], records: Records) -> frozenset[str]:
    """Return the configurations of a suite, those that are not computed yet included."""
    done = {each.tags[SEEDS_OF] for each in contents if each.kind == "evaluation"}
    lacking = {evaluation_identity(r.cell): r.cell for r in records.evaluations if r.status == "missing"}
    params = ({**training_params(cell.training), **evaluation_params(cell)} for cell in lacking.values())
    return frozenset(_of_variant(each, records.variant) for each in done.union(map(seeds_of, params)))


def _of_variant(seeds: str, variant: str) -> str:
    """Return the identity of a configuration: each variant of a suite has its own."""
    return digest("configuration", seeds, variant)


def _content(
    seeds_of_it: str,
    members: Sequence[RunContent],
    above: Sequence[RunContent],
    facts: Mapping[str, MetricFacts],
    common: Common,
    variant: str,
) -> RunContent:
    """Return the run of one configuration, which never changes: where anything in it is new, it is another run.

    MLflow's charts draw every value that a metric ever had at a step, the former ones too.
    """
    first, identity = members[0], _of_variant(seeds_of_it, variant)
    written = sorted(f"{member.cell} {mark_of(member.marks)}" for member in (*members, *above))
    cell = digest("configuration run", identity, *written)
    params = {name: text for name, text in first.params.items() if name != "seed"}
    seeds = sorted({member.params["seed"] for member in members}, key=lambda text: (len(text), text))
    parts = [*_parts(cell, members, facts), *_training_part(cell, above, facts)]
    return RunContent(
        kind="configuration",
        cell=cell,
        name=first.unseeded,
        params={**params, **{axis: param_text(label) for axis, label in first.axes.items()}},
        tags={
            **common.tags("configuration", cell),
            CONFIGURATION: identity,
            SEEDS_OF: seeds_of_it,
            VARIANT: cut(variant, TAG_LENGTH) or WHOLE_SUITE,
            DATASET: cut(first.axes["dataset"], TAG_LENGTH),
            "fmbench.seeds": cut(", ".join(seeds), TAG_LENGTH),
            "fmbench.cells": str(sum(len(member.parts) for member in members)),
        },
        notes=common.notes_of(_words(seeds, seeds_of_it), {}),
        parts={part.key: part for part in parts},
        dataset=first.dataset,
        axes=first.axes,
        seconds=sum(member.seconds for member in members),
    )


def _words(seeds: Sequence[str], seeds_of_it: str) -> str:
    """Return what the run's note says of it."""
    where = quote(f"tags.`{SEEDS_OF}` = '{seeds_of_it}' AND tags.`{KIND}` = 'evaluation'")
    link = f"#/experiments/{EXPERIMENT}/runs?searchFilter={where}"
    return (
        f"Means over {count(len(seeds), 'seed')} ({', '.join(seeds)}) at step = NFE, with the ends of their 95% "
        f"intervals as `_low` and `_high`. [The runs of its seeds]({link})"
    )


def _parts(cell: str, members: Sequence[RunContent], facts: Mapping[str, MetricFacts]) -> Iterator[Part]:
    """Yield a part for each NFE that a member was evaluated at, from all of its seeds that have values."""
    by_nfe: dict[int | None, list[Part]] = {}
    for part in (part for member in members for part in member.parts.values()):
        by_nfe.setdefault(part.nfe, []).append(part)
    for nfe, parts in sorted(by_nfe.items(), key=lambda item: (item[0] is None, item[0] or 0)):
        key = f"{cell}/{nfe}"
        done = [part for part in parts if part.status == "ok"]
        if not done:
            yield Part(key, parts[0].status, parts[0].error, step=parts[0].step, nfe=nfe)
            continue
        step = nfe if nfe is not None else round(sum(part.step for part in done) / len(done))
        suffix = "" if nfe is None else f"_nfe{nfe}"
        by_name: dict[str, list[float]] = {}
        for value in (value for part in done for value in part.values):
            by_name.setdefault(value.name, []).append(value.value)
        finite = {name: [value for value in found if math.isfinite(value)] for name, found in by_name.items()}
        compared = {name for name in by_name if name in facts and facts[name].better in {"lower", "higher"}}
        judged = {name for name in compared if facts[name].scope == "evaluation"}
        means = [
            MetricPoint(name, math.fsum(found) / len(found), step, name + suffix if name in compared else "")
            for name, found in finite.items()
            if found
        ]
        numbers = [MetricPoint(f"{name}_n", float(len(finite[name])), step, "") for name in by_name if name in judged]
        values = (*means, *(point for point in numbers if point.name not in by_name))
        ends = partial(_intervals, {name: found for name, found in finite.items() if name in judged}, step, by_name)
        yield Part(key, "ok", values=values, step=step, nfe=nfe, derived=ends)


def _intervals(found: Mapping[str, Sequence[float]], step: int, taken: Collection[str]) -> list[MetricPoint]:
    """Return the ends of the intervals of metrics, but for those whose names are taken."""
    from fmbench.stats.paired_seeds import interval  # numpy and scipy, for which a suite that is done has no use

    means = {name: interval(values) for name, values in found.items()}
    ends = [(f"{name}_low", mean.low) for name, mean in means.items() if mean.known]
    ends += [(f"{name}_high", mean.high) for name, mean in means.items() if mean.known]
    return [MetricPoint(name, end, step, "") for name, end in ends if name not in taken]


def _training_part(cell: str, above: Sequence[RunContent], facts: Mapping[str, MetricFacts]) -> Iterator[Part]:
    """Yield the means of what was measured of the trainings themselves, which no NFE changes."""
    by_name: dict[str, list[float]] = {}
    for value in (value for run in above for part in run.parts.values() for value in part.values):
        if value.name in facts and math.isfinite(value.value):
            by_name.setdefault(value.name, []).append(value.value)
    values = tuple(MetricPoint(name, math.fsum(all_) / len(all_), 0, name) for name, all_ in by_name.items())
    if values:
        yield Part(f"{cell}/training", "ok", values=values)
