"""Each training combination at its own best settings, chosen on validation data; the scores compared chose nothing.

At a common setting a method may win because that setting suits it. Here each takes the setting whose mean score over
the seeds is best on validation data, by samples of noise of their own; what is then compared are the scores that the
other tables show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.report.analysis.baseline import gap, is_baseline
from fmbench.report.analysis.comparability import mixture
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, Values, gather, labels_said, varying
from fmbench.results.records import TRAINING_AXES, MetricFacts
from fmbench.stats.paired_seeds import Difference, difference, interval, ranked

N_TRAINING = len(TRAINING_AXES)


@dataclass(frozen=True)
class TriedSetting:
    """A setting of a training combination: what it scores on validation data, and otherwise. `keys` are the cells."""

    row: Row
    setting: str
    validation: Values
    score: Values
    keys: frozenset[str]


@dataclass(frozen=True)
class OwnBest:
    """A training combination, `group` its row with blanks for the settings that are chosen.

    `near` are the settings that the seeds cannot tell from the best on validation data, `lost` those without a score
    of every seed, `ends` says where the best is the largest or smallest value tried. Without a `best`, `why` says why.
    """

    group: Row
    candidates: Sequence[TriedSetting]
    best: TriedSetting | None = None
    near: Sequence[TriedSetting] = ()
    lost: Sequence[TriedSetting] = ()
    ends: Sequence[str] = ()
    why: str = ""


@dataclass(frozen=True)
class Lead:
    """Who leads of some groups by their scores: all that the seeds cannot tell from the best, that one first."""

    groups: Sequence[Row]
    gap: Difference | None = None
    """The difference of the best from `second`."""
    second: Row = ()
    """The next that cannot be told from the best; where none is, the next by its mean."""

    @property
    def winner(self) -> Row | None:
        """The one that leads, None where several cannot be told apart."""
        return self.groups[0] if len(self.groups) == 1 else None


@dataclass(frozen=True)
class OwnBests:
    """All training combinations of a dataset, each at its own best.

    `chooses` is the metric that chooses, `facts` the one that is compared; `sampler` says how samples were drawn.
    """

    axes: tuple[str, ...]
    chooses: MetricFacts
    facts: MetricFacts
    sampler: str
    groups: Sequence[OwnBest]

    @property
    def known(self) -> list[OwnBest]:
        """The groups that have a best with a score of every seed."""
        return [each for each in self.groups if each.best is not None and each.best.score.complete]

    @property
    def looks_at_validation(self) -> bool:
        """Whether the metric that chooses compares with a split of real data, or with a reference of its own."""
        known = (i for each in self.groups for one in each.candidates for i in one.validation.identities)
        return any("reference_split" in identity for identity in known)

    @property
    def positions(self) -> list[int]:
        """The axes of ROW_AXES on which groups differ."""
        return varying([each.group for each in self.groups])

    def words(self, group: Row) -> str:
        """Say a group by what varies between them."""
        return " + ".join(labels_said(group, self.positions)) or group[0]

    @cached_property
    def lead(self) -> Lead | None:
        """Who leads with each at its own best; None where there are no two to compare."""
        return _lead({each.group: each.best.score for each in self.known if each.best}, self.facts)

    @cached_property
    def common(self) -> dict[str, Lead]:
        """Who leads at each setting at which all groups have a score of every seed."""
        found: dict[str, dict[Row, Values]] = {}
        for each in self.groups:
            for candidate in each.candidates:
                if candidate.score.complete:
                    found.setdefault(candidate.setting, {})[each.group] = candidate.score
        leads = {s: _lead(scores, self.facts) for s, scores in found.items() if len(scores) == len(self.groups)}
        return {setting: lead for setting, lead in leads.items() if lead is not None}


def own_bests(result_table: ResultTable) -> OwnBests | None:
    """Return each training combination at its own best, None where the suite does not ask for it."""
    tuning = result_table.tuning
    chooses = next((m for m in result_table.metrics if tuning and m.name == tuning.metric), None)
    if tuning is None or chooses is None or not result_table.validation:
        return None
    facts = chooses if chooses.scope == "evaluation" else result_table.headline
    if facts is None:
        return None
    tuned = [ROW_AXES.index(axis) for axis in tuning.axes]
    members: dict[Row, list[TriedSetting]] = {}
    sampled: set[str] = set()
    for (row, nfe), records in result_table.validation.items():
        training = row[:N_TRAINING]
        group = tuple("" if i in tuned else label for i, label in enumerate(training))
        values = gather(records, chooses, result_table.failed)
        score = result_table.values(row, nfe, facts) or Values()
        setting = " + ".join(labels_said(training, tuned))
        keys = frozenset(record.cell.key for record in records)
        members.setdefault(group, []).append(TriedSetting(training, setting, values, score, keys))
        sampled.add(_sampler(row, nfe))
    groups = [_own_best(result_table, group, found, tuned, chooses) for group, found in members.items()]
    return OwnBests(tuning.axes, chooses, facts, " or ".join(sorted(sampled)), groups)


def _sampler(row: Row, nfe: int | None) -> str:
    solver, _, weights, guidance = row[N_TRAINING:]
    said = [solver, *([f"{weights} weights"] if weights != "ema" else [])]
    said += [f"guidance {guidance}"] if guidance != "1" else []
    return ", ".join([*said, *([f"NFE {nfe}"] if nfe is not None else [])])


def _own_best(
    result_table: ResultTable, group: Row, candidates: Sequence[TriedSetting], tuned: Sequence[int], facts: MetricFacts
) -> OwnBest:
    lost = [each for each in candidates if not each.validation.complete]
    if mixed := mixture(i for each in candidates for i in each.validation.identities):
        return OwnBest(group, candidates, lost=lost, why=f"values that are not comparable: {mixed}")
    means = {n: interval(list(c.validation.by_seed.values())).mean for n, c in enumerate(candidates) if c not in lost}
    if not means:
        return OwnBest(group, candidates, lost=lost, why="no setting finished every seed")
    order = [candidates[n] for n in ranked(means, facts.better)]
    best, scores = order[0], order[0].validation.by_seed
    near = [each for each in order[1:] if difference(each.validation.by_seed, scores, facts.better).verdict != "worse"]
    ends = [text for i in tuned for text in _ends(result_table, i, best.row, [each.row for each in candidates])]
    return OwnBest(group, candidates, best, near, lost, ends)


def _ends(result_table: ResultTable, axis: int, best: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Say of which number of the best setting nothing larger, or nothing smaller, was tried, all else equal.

    Below 0 nothing can be tried: no number of a setting is negative.
    """
    name = ROW_AXES[axis]
    known = {label: result_table.spec(name, label) for label in dict.fromkeys(row[axis] for row in rows)}
    specs = {label: _numbers(name, spec) for label, spec in known.items() if spec is not None}
    mine, own = specs.get(best[axis], {}), known[best[axis]]
    for parameter, value in mine.items():
        tried = {
            numbers[parameter]
            for label, numbers in specs.items()
            if parameter in numbers and _rest(known[label], parameter) == _rest(own, parameter)
        }
        if len(tried) > 1 and (value == max(tried) or 0 < value == min(tried)):
            yield f"{parameter} {value:g} is the {'largest' if value == max(tried) else 'smallest'} tried"


def _numbers(axis: str, spec: ComponentSpec) -> dict[str, float]:
    """Return the numbers of a setting: its parameters, or itself, by its name."""
    try:
        return {axis: float(spec.name)}
    except ValueError:
        found = spec.parameters.items()
        return {k: float(v) for k, v in found if isinstance(v, int | float) and not isinstance(v, bool)}


def _rest(spec: ComponentSpec | None, parameter: str) -> tuple[Any, ...]:
    """Return what settings share that differ in one number alone."""
    if spec is None or spec.kind == parameter:
        return (spec and sorted(spec.parameters.items()),)
    return spec.name, sorted((k, v) for k, v in spec.parameters.items() if k != parameter)


def _lead(scores: Mapping[Row, Values], facts: MetricFacts) -> Lead | None:
    if len(scores) < 2 or not facts.better or mixture(i for v in scores.values() for i in v.identities):
        return None
    means = {row: interval(list(values.by_seed.values())).mean for row, values in scores.items()}
    order = ranked(means, facts.better)
    best = scores[order[0]].by_seed
    gaps = {row: difference(best, scores[row].by_seed, facts.better) for row in order[1:]}
    equals = [row for row, found in gaps.items() if found.verdict != "better"]
    second = equals[0] if equals else order[1]
    return Lead([order[0], *equals], gaps[second], second)


def baseline_of(found: OwnBests, baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what of the suite's baseline says which groups are compared with: not how they sample, nor what each takes
    as its own.
    """
    return {axis: v for axis, v in (baseline or {}).items() if axis in TRAINING_AXES and axis not in found.axes}


def against(found: OwnBests, result_table: ResultTable, baseline: Mapping[str, Any] | None) -> dict[Row, Row]:
    """Map each group to the one that it is compared with: the baseline's, else the leader."""
    wanted = baseline_of(found, baseline)
    groups = [each.group for each in found.groups]
    if wanted:
        others = [i for i, axis in enumerate(TRAINING_AXES) if axis not in wanted]
        base = [group for group in groups if is_baseline(result_table, group, wanted)]
        by_rest = {tuple(group[i] for i in others): group for group in reversed(base)}
        pairs = {group: by_rest.get(tuple(group[i] for i in others)) for group in groups if group not in base}
        return {group: other for group, other in pairs.items() if other is not None}
    if found.lead is None:
        return {}
    return {group: found.lead.groups[0] for group in groups if group != found.lead.groups[0]}


def gap_of(found: OwnBests, group: Row, other: Row) -> Difference | None:
    """Return the difference of two groups, each at its own best."""
    scores = {each.group: each.best.score for each in found.groups if each.best}
    return gap(scores.get(group), scores.get(other), found.facts.better)
