"""Pairs of values: the baseline's seeds and tonight's of one metric and one group, or why they cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import CellGroup, CellValues, Repeated, Section, Snapshot, grouped, training_of
from fmbench.stats.variance import mean_of, variance_of
from fmbench.store.sampler_timings import RELATIVE

SHOWN = 3
LARGEST = 1e100
"""The largest value that is compared: squares of larger ones are no floats, and no such score means anything."""
AUTO = "auto"
CLEAR = 1e60
"""A relative difference beyond which it does not matter how large it is."""


@dataclass(frozen=True)
class PairedValues:
    """One metric of one group: values by seed, and `reason` where they cannot be compared.

    `repeated` are the seeds whose training is the same in both nights (see `fmbench.regression.changed_values`).

    Differences and residuals are relative: to the baseline's mean, or to its spread where the mean is smaller still
    (the excess of a loss, say, which may be nothing). Differences are positive where tonight is *worse*.
    """

    metric: MetricFacts
    section: Section
    group: CellGroup
    before: Mapping[int, float]
    after: Mapping[int, float]
    reason: str = ""
    repeated: frozenset[int] = frozenset()

    @property
    def training(self) -> CellGroup:
        """The training that the group belongs to."""
        return training_of(self.group)

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of both nights."""
        return [seed for seed in self.before if seed in self.after]

    @property
    def identical(self) -> bool:
        """Whether all paired values are equal to the last bit."""
        return all(self.before[seed] == self.after[seed] for seed in self.seeds)

    @property
    def same(self) -> bool:
        """Whether the trainings are the same as in the baseline, for seeds enough to see a spread."""
        return len(self.seeds) > 1 and all(seed in self.repeated for seed in self.seeds)

    @cached_property
    def scale(self) -> float:
        """What differences are relative to."""
        values = list(self.before.values())
        spread = math.sqrt(variance_of(values)) if len(values) > 1 else 0.0
        least = max((abs(self.after[seed]) for seed in self.seeds), default=0.0)
        return max(abs(mean_of(values)), spread) or least or 1.0

    @cached_property
    def differences(self) -> dict[int, float]:
        """Tonight minus the baseline by seed, relative, positive where tonight is worse."""
        sign = 1.0 if self.metric.better == "lower" else -1.0
        return {seed: _clipped(sign * (self.after[seed] - self.before[seed]) / self.scale) for seed in self.seeds}

    @cached_property
    def residuals(self) -> tuple[dict[int, float], dict[int, float]]:
        """Each night's values minus their mean, by seed; relative to the scale, which grows with tonight's mean."""
        means = [abs(mean_of(values.values())) for values in (self.before, self.after)]
        grown = max(means[1] / means[0], 1.0) if means[0] > 0 else 1.0
        return _residuals(self.before, self.scale), _residuals(self.after, self.scale * grown)


def _residuals(values: Mapping[int, float], scale: float) -> dict[int, float]:
    mean = mean_of(values.values())
    return {seed: _clipped((value - mean) / scale) for seed, value in values.items()}


def _clipped(ratio: float) -> float:
    """Return a ratio whose square is a float."""
    return min(max(ratio, -CLEAR), CLEAR)


def is_usable(value: float) -> bool:
    """Tell whether a value can be compared: finite, and not beyond LARGEST."""
    return math.isfinite(value) and abs(value) <= LARGEST


def is_relative(facts: MetricFacts) -> bool:
    """Tell whether a value is a time in units of the calibration's."""
    timed = facts.scope == "sampler" or (facts.scope == "training" and facts.is_time)
    return timed and facts.name.endswith(RELATIVE)


def is_judged(facts: MetricFacts) -> bool:
    """Tell whether a metric's seeds are compared: it has a direction, and is no cost of a machine that others share."""
    return bool(facts.better) and facts.scope != "sampler" and not facts.is_cost


def all_series(
    before: Snapshot, after: Snapshot, facts: MetricFacts, repeated: Repeated | None = None
) -> list[PairedValues]:
    """Return the series of a metric over all groups that both nights have."""
    section: Section = "training" if facts.scope == "training" else "evaluation"
    differing = changed_settings(before, after, section)
    then, now = (_by_group(night.rows(section), facts.name) for night in (before, after))
    found = []
    for group in then:
        if group in now:
            values = [{seed: row.values[facts.name] for seed, row in rows[group].items()} for rows in (then, now)]
            reason = differing or _incomparable(then[group], now[group], facts.name)
            seeds = (repeated or {}).get(training_of(group), frozenset())
            found.append(PairedValues(facts, section, group, values[0], values[1], reason, seeds))
    return found


def changed_settings(before: Snapshot, after: Snapshot, section: Section) -> str:
    """Say which settings differ between two nights, "" where none does; an evaluation depends on both sections.

    What a machine made of "auto" is part of each value's identity, so that "auto" differs from nothing here.
    """
    sections = ("training",) if section == "training" else ("training", "evaluation")
    said = [
        f"{each}.{name} is {_short(then)} in the baseline and {_short(now)} tonight"
        for each in sections
        for name, then, now in differences(before.settings.get(each, {}), after.settings.get(each, {}))
        if AUTO not in (then, now)
    ]
    return "; ".join(said)


def changed_facts(then: MetricFacts, now: MetricFacts) -> str:
    """Say how a metric's direction, unit or scope differ between two nights, "" where they do not."""
    pair = ({"direction": each.better, "unit": each.unit, "scope": each.scope} for each in (then, now))
    changed = [(name, a or "(none)", b or "(none)") for name, a, b in differences(*pair)]
    return "; ".join(f"its {name} is {a} in the baseline and {b} tonight" for name, a, b in changed)


def changed_components(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Yield which components have other parameters under the same label: their defaults have changed."""
    for kind, components in before.components.items():
        for label, parameters in components.items():
            now = after.components.get(kind, {}).get(label)
            for name, was, found in differences(parameters, parameters if now is None else now):
                yield f"{kind} {label}: {name} is {_short(was)} in the baseline and {_short(found)} tonight"


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return name and both values of what differs; "(none)" stands for what is not there."""
    names = dict.fromkeys([*then, *now])
    pairs = [(name, then.get(name, "(none)"), now.get(name, "(none)")) for name in names]
    return [(name, a, b) for name, a, b in pairs if canonical(a) != canonical(b)]


def _by_group(rows: Mapping[tuple[CellGroup, int], CellValues], metric: str) -> dict[CellGroup, dict[int, CellValues]]:
    """Return the rows that have a value which can be compared, by group and seed."""
    usable = ((place, row) for place, row in rows.items() if is_usable(row.values.get(metric, math.nan)))
    found = grouped((group, (seed, row)) for (group, seed), row in usable)
    return {group: dict(pairs) for group, pairs in found.items()}


def _incomparable(then: Mapping[int, CellValues], now: Mapping[int, CellValues], metric: str) -> str:
    """Say why two groups' values are not comparable, "" where they are."""
    common = [seed for seed in then if seed in now]
    if not common:
        return f"no seed in common: the baseline has {listed(then)}, tonight {listed(now)}"
    for seed in common:
        pair = then[seed].identities.get(metric, {}), now[seed].identities.get(metric, {})
        if said := differences(*pair):
            words = (f"{name} is {_short(a)} in the baseline and {_short(b)} tonight" for name, a, b in said[:SHOWN])
            return "another identity: " + "; ".join(words) + ("; ..." if len(said) > SHOWN else "")
    return ""


def listed(seeds: Iterable[int]) -> str:
    """Return seeds in words."""
    found: Collection[int] = sorted(seeds)
    return ("seed " if len(found) == 1 else "seeds ") + ", ".join(map(str, found))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 60 else text[:57] + "..."
