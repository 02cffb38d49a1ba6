"""Which rows of two sides belong together, and whether their values may be compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.compare.compared_results import ComparedResults
from fmbench.errors import UserError
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, CellGroup, CellValues, Section, Snapshot, grouped, named, said

BySeed = Mapping[int, CellValues]
UNKNOWN = "what its values were made with is not known: a records.csv holds no identities"


@dataclass(frozen=True)
class RowPair:
    """A configuration that both sides have: its label on each, and its cells by seed."""

    before: CellGroup
    after: CellGroup
    rows: tuple[BySeed, BySeed]


@dataclass(frozen=True)
class PairedRows:
    """The pairs of a section, and the configurations that one side alone has, in words."""

    found: Sequence[RowPair]
    only_before: Sequence[str]
    only_after: Sequence[str]


def section_of(facts: MetricFacts) -> Section:
    """Return the section that a metric's values stand in."""
    return "training" if facts.scope == "training" else "evaluation"


def pairs_of(before: Snapshot, after: Snapshot, section: Section, across: Collection[str]) -> PairedRows:
    """RowPair the configurations of a section, whatever they have on the axes `across`.

    Raises UserError where several configurations of one side differ on those axes alone.
    """
    sides = [_by_group(snapshot, section) for snapshot in (before, after)]
    first, second = ({_without(g, section, across): g for g in side} for side in sides)
    for side, found in zip(sides, (first, second), strict=True):
        if len(found) < len(side):
            twice = next(g for g in side if found[_without(g, section, across)] != g)
            raise UserError(
                f"--across {','.join(across)} pairs what differs there alone, and one side has several such rows, of "
                f"which one is {said(named(section, twice))}; --filter chooses one."
            )
    pairs = [RowPair(first[k], second[k], (sides[0][first[k]], sides[1][second[k]])) for k in first if k in second]
    only = [
        [said(named(section, found[key])) for key in found if key not in other]
        for found, other in ((first, second), (second, first))
    ]
    return PairedRows(pairs, *only)


def _by_group(snapshot: Snapshot, section: Section) -> dict[CellGroup, BySeed]:
    rows = snapshot.rows(section).items()
    return {g: dict(found) for g, found in grouped((g, (seed, row)) for (g, seed), row in rows).items()}


def _without(group: CellGroup, section: Section, across: Collection[str]) -> CellGroup:
    return tuple("" if axis in across else label for axis, label in zip(AXES[section], group, strict=True))


def why_not(facts: MetricFacts, sides: tuple[ComparedResults, ComparedResults], seen: Sequence[tuple[Any, Any]]) -> str:
    """Say why values of a metric may not be compared, "" where they may; `seen` are pairs of their identities."""
    if not all(side.known for side in sides):
        return UNKNOWN if facts.is_cost or facts.scope == "sampler" else ""
    if facts.is_cost or facts.scope == "sampler":
        machines = [side.snapshot.hardware for side in sides]
        if not any("hardware" in identity for pair in seen for identity in pair) and machines[0] != machines[1]:
            return f"hardware is {machines[0]} in A and {machines[1]} in B"
    differing: dict[str, None] = {}
    for before, after in seen:
        for name in dict.fromkeys([*before, *after]):
            if canonical(before.get(name)) != canonical(after.get(name)):
                differing[f"{name} is {_short(before.get(name))} in A and {_short(after.get(name))} in B"] = None
    return "; ".join(list(differing)[:3]) + ("; ..." if len(differing) > 3 else "")


def _short(value: Any) -> str:
    text = "not recorded" if value is None else value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 40 else f"{text[:16]}..."
