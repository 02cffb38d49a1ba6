"""One metric over many places (entries or trainings): columns of numbers, with what the seeds say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmbench.report.analysis.comparability import split_by_identity
from fmbench.report.analysis.floor_and_oracle import Floor
from fmbench.report.analysis.marks import marks
from fmbench.report.page_data.json_text import numbers
from fmbench.report.page_data.reasons import Reasons
from fmbench.report.result_table import Record, Row, Values, gather
from fmbench.results.records import MetricFacts, TrainingRecord
from fmbench.stats.paired_seeds import interval

VALUE_DIGITS, MEAN_DIGITS, PERCENT_DIGITS = 9, 6, 4
"""Significant digits. Values of seeds keep those of float32, so that a page computes of them what Python does."""
BEST, NEAR = 1, 2
NO_GROUP = -1


@dataclass(frozen=True)
class Places:
    """Where metrics are measured, in the order of the columns: rows, their budgets and their records.

    Places are ranked, and compared, within one budget. `failed` are the statuses of trainings by their key.
    """

    rows: Sequence[Row]
    budgets: Sequence[int | None]
    records: Sequence[Sequence[Record]]
    seeds: Sequence[int]
    failed: Mapping[str, str]

    def columns(self) -> dict[int | None, list[int]]:
        """Return the places of each budget."""
        found: dict[int | None, list[int]] = {}
        for place, budget in enumerate(self.budgets):
            found.setdefault(budget, []).append(place)
        return found


def metric_columns(
    places: Places, facts: MetricFacts, values: Sequence[Values | None], floor: Floor | None, reasons: Reasons
) -> dict[str, Any]:
    """Return the columns of one metric; `values` are those of each place, None where it has no such thing."""
    known = [v if v is not None else Values() for v in values]
    shared = facts.scope == "sampler" and _are_shared(known)
    group, groups, why = _groups(places, values)
    several = _usual(known) > 1 and not shared  # what seeds share tells nothing of chance
    lost = [sum(v.lost.values()) for v in known]
    columns: dict[str, Any] = {"shared": shared}
    if shared:
        columns["values"] = [numbers((next(iter(v.by_seed.values()), None) for v in known), VALUE_DIGITS)]
    else:
        said = [interval(list(v.by_seed.values())) for v in known]
        columns["values"] = [numbers((v.by_seed.get(seed) for v in known), VALUE_DIGITS) for seed in places.seeds]
        columns["mean"] = numbers((i.mean for i in said), MEAN_DIGITS)
        columns["low"] = numbers((i.low for i in said), MEAN_DIGITS)
        columns["high"] = numbers((i.high for i in said), MEAN_DIGITS)
    return columns | {
        "missing": _missing(places, facts, values, reasons, shared=shared),
        "n": [len(v.by_seed) for v in known],
        "lost": lost if any(lost) else None,
        "mark": _marks(places, facts, values, group, several=several),
        "ties": several,
        "group": group if any(group) else None,
        "groups": groups,
        "why": why,
        "floor": _floor(floor),
    }


def _are_shared(values: Sequence[Values]) -> bool:
    """Whether the seeds of every place share one value, as they share what a sampler costs."""
    several = any(len(v.by_seed) > 1 for v in values)
    return several and all(len(set(v.by_seed.values())) < 2 for v in values)


def _usual(values: Sequence[Values]) -> int:
    """Return the number of seeds that most places have."""
    sizes = Counter(len(v.by_seed) for v in values if v.by_seed)
    return max(sizes, key=lambda n: (sizes[n], n), default=0)


def _missing(
    places: Places, facts: MetricFacts, values: Sequence[Values | None], reasons: Reasons, *, shared: bool
) -> list[list[int]]:
    """Return `[place, seed, reason]` of each cell without a value; with `shared`, of each place without one."""
    found = []
    order = {seed: n for n, seed in enumerate(places.seeds)}
    for place, (records, mine) in enumerate(zip(places.records, values, strict=True)):
        if mine is None or not mine.lost or (shared and mine.by_seed):
            continue
        for record in records:
            if (seed := seed_of(record)) not in mine.by_seed:
                reason = next(iter(gather([record], facts, places.failed).lost))
                found.append([place, 0 if shared else order[seed], reasons.number(reason)])
    return [entry for n, entry in enumerate(found) if not shared or entry[0] not in [e[0] for e in found[:n]]]


def seed_of(record: Record) -> int:
    """Return the seed of a record."""
    return record.cell.seed if isinstance(record, TrainingRecord) else record.cell.training.seed


def _groups(places: Places, values: Sequence[Values | None]) -> tuple[list[int], list[str], list[str]]:
    """Return the group of each place, within which values are comparable, the groups' names, and why they differ."""
    group, texts, why = [0] * len(values), {"": 0}, []
    for budget, members in places.columns().items():
        parts, note = split_by_identity({places.rows[place]: values[place] for place in members})
        of_row = {row: suffix for suffix, part in parts for row, v in part.items() if v is not None and v.identities}
        if note:
            why.append(f"NFE {budget}: {note}." if budget is not None else f"{note[0].upper()}{note[1:]}.")
        for place in members if note else ():
            suffix = of_row.get(places.rows[place])
            named = suffix.strip(" ()") if suffix is not None else None
            group[place] = NO_GROUP if named is None else texts.setdefault(named, len(texts))
    return group, list(texts), why


def _marks(
    places: Places, facts: MetricFacts, values: Sequence[Values | None], group: Sequence[int], *, several: bool
) -> list[int]:
    """Return what is the best of its budget and group, and what cannot be told from it."""
    columns: dict[tuple[int | None, int], dict[int, Values]] = {}
    for place, (budget, own, mine) in enumerate(zip(places.budgets, group, values, strict=True)):
        if mine is not None and own != NO_GROUP:
            columns.setdefault((budget, own), {})[place] = mine
    found = [0] * len(values)
    for column in columns.values():
        best, near, _ = marks(column, facts.better)
        for place in column:
            found[place] = BEST if place in best else NEAR if several and place in near else 0
    return found


def _floor(floor: Floor | None) -> dict[str, Any] | None:
    if floor is None:
        return None
    said = interval(list(floor.values.by_seed.values()))
    low, mean, high = numbers((said.low, said.mean, said.high), MEAN_DIGITS)
    return {"label": floor.label, "mean": mean, "low": low, "high": high, "n": said.n, "note": floor.note}
