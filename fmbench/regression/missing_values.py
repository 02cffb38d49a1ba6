"""What could not be compared: values that the baseline lacks, and metrics of which no cell was left to compare."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from fmbench.regression.outcome import Comparison, Happened, Happening
from fmbench.regression.paired_values import LARGEST, is_usable, listed
from fmbench.results.snapshot import SECTIONS, CellGroup, CellValues, Section, SeededGroup, Snapshot, named

SHOWN = 3


def pairs(
    baseline: Snapshot, tonight: Snapshot, section: Section
) -> Iterator[tuple[SeededGroup, CellValues, CellValues]]:
    """Yield the cells that both nights finished."""
    now = tonight.rows(section)
    for place, row in baseline.rows(section).items():
        if place in now and row.status == now[place].status == "ok":
            yield place, row, now[place]


def lacking_values(baseline: Snapshot, tonight: Snapshot, metrics: Collection[str]) -> Iterator[Happened]:
    """Yield values that are absent or not finite in the baseline, each metric once where all of its cells are so."""
    for section in SECTIONS:
        for name in metrics:
            places = [place for place, then, now in pairs(baseline, tonight, section) if _in_either(name, then, now)]
            lacking: dict[str, dict[CellGroup, list[int]]] = {}
            for group, seed in places:
                if what := lack(baseline.rows(section)[group, seed].values.get(name)):
                    lacking.setdefault(what, {}).setdefault(group, []).append(seed)
            for what, cells in lacking.items():
                yield from _told(name, section, f"{what} in the baseline", cells, len(places))


def _told(
    name: str, section: Section, reason: str, cells: dict[CellGroup, list[int]], places: int
) -> Iterator[Happened]:
    if sum(map(len, cells.values())) == places:
        count = "its one cell" if places == 1 else f"all of its {places} cells"
        yield Happened("not compared", f"metric {name}", f"{reason}, in {count}")
        return
    for group, seeds in cells.items():
        yield happened("not compared", section, group, seeds, reason, name)


def happened(
    what: Happening, section: Section, group: CellGroup, seeds: Sequence[int], reason: str, metric: str = ""
) -> Happened:
    """Return what happened to some seeds of a group, or to one metric of theirs."""
    axes = named(section, group)
    where = (f"metric {metric} in " if metric else "") + f"{listed(seeds)} of {' '.join(axes.values())}"
    return Happened(what, where, reason, {**axes, "seed": ", ".join(map(str, seeds))})


def lack(value: float | None) -> str:
    """Say why a value cannot be compared, "" where it can."""
    if value is None:
        return "absent"
    if is_usable(value):
        return ""
    return f"beyond {LARGEST:g}" if math.isfinite(value) else "not finite"


def uncompared(
    baseline: Snapshot, tonight: Snapshot, metrics: Collection[str], comparisons: Sequence[Comparison]
) -> dict[str, str]:
    """Return the metrics of which no cell could be compared, though both nights should have it, and why.

    A metric that failed or vanished tonight is none of these: that is a regression, and said as such.
    """
    cells = [c for c in comparisons if c.level == "cell"]
    compared = {c.metric for c in cells if c.effect is not None}
    found = {}
    for name in metrics:
        if name in compared:
            continue
        reasons = list(dict.fromkeys(c.reason for c in cells if c.metric == name and c.reason))
        said = "; ".join(reasons[:SHOWN]) + ("; ..." if len(reasons) > SHOWN else "")
        if said := said or _why_no_cell(baseline, tonight, name):
            found[name] = said
    return found


def _why_no_cell(baseline: Snapshot, tonight: Snapshot, name: str) -> str:
    for section in SECTIONS:
        both = [then for _, then, now in pairs(baseline, tonight, section) if _in_either(name, then, now)]
        if both:
            kinds = sorted({lack(row.values.get(name)) for row in both} - {""})
            return f"{' or '.join(kinds)} in the baseline" if kinds else ""
        if not any(name in row.values for row in _finished(tonight, section)):
            continue
        if not _finished(baseline, section):
            return f"the baseline has no finished {section}"
        if any(name in row.values for row in _finished(baseline, section)):
            return "the baseline has it in other cells only"
    return ""


def _in_either(name: str, then: CellValues, now: CellValues) -> bool:
    return name in then.values or name in now.values


def _finished(night: Snapshot, section: Section) -> list[CellValues]:
    return [row for row in night.rows(section).values() if row.status == "ok"]
