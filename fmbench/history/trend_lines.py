"""Lines over the nights: of single cells, of components, of everything; each a chain of changes that can be compared.

A line begins at 0 and adds up, night by night, the mean change of the cells that have a value tonight and had one
before. So a cell that fails for a night, or a solver that is new, moves no line by being there or not. Changes are
differences of logarithms where all values of the metric are positive, so that means over cells are geometric; else they
are relative to the size of the cell's first value.

Values with other identities (another extractor, other settings) are never linked: a line on which no cell can be linked
is cut, and begins again at 0. Times, and whatever else a machine costs, have lines of their own for each hardware.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fmbench.errors import UserError
from fmbench.history.history import History
from fmbench.regression.hypothesis_tests import partition
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, said
from fmbench.stats.student_t import half_width

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["component", "cell"]
Floats = NDArray[np.float64]
WHOLE, ONE = "the whole suite", "the one cell"
NO_COMMON = "other cells or seeds than before"


@dataclass(frozen=True)
class TrendLine:
    """One line: `nights` are positions in the history, in which it has a value; the arrays follow them.

    `level` is the mean `(nights,)` on the scale of changes, 0 at the beginning of each piece; `seeds` the same for each
    seed `(nights, seeds)`, NaN where one has no value. `values` are `(nights,)` means in the metric's unit, of single
    cells, and `spread` the half-widths of their 95% intervals (NaN with fewer than two seeds). `breaks` are the places
    in `nights` where a new piece begins, and why. `log` says that changes are those of logarithms. `cells` are the
    groups that it is over.
    """

    name: str
    kind: Level
    axes: dict[str, str]
    cells: frozenset[tuple[str, ...]]
    nights: NDArray[np.intp]
    level: Floats
    seeds: Floats
    values: Floats | None
    spread: Floats | None
    log: bool
    is_cost: bool
    breaks: dict[int, str] = field(default_factory=dict)
    hardware: str = ""

    def pieces(self) -> list[slice]:
        """Return the places of each piece."""
        ends = [0, *sorted(self.breaks), len(self.nights)]
        return [slice(a, b) for a, b in pairwise(ends)]

    def fraction(self, change: Any) -> Any:
        """Return a change as a fraction: 0.2 for 20% more."""
        return np.expm1(change) if self.log else change

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """Whether a night repeats the one before it bit for bit `(nights,)`."""
        same = np.zeros(len(self.nights), bool)
        same[1:] = np.all((np.diff(self.seeds, axis=0) == 0) | np.isnan(np.diff(self.seeds, axis=0)), axis=1)
        same[list(self.breaks)] = False
        return same


@dataclass(frozen=True)
class _Cells:
    """Values of one metric and hardware: `(nights, units)`, a unit being a group and a seed."""

    nights: NDArray[np.intp]
    groups: Sequence[tuple[str, ...]]
    of_unit: NDArray[np.intp]
    seed_of_unit: NDArray[np.intp]
    values: Floats
    changes: Floats
    reasons: dict[int, str]
    log: bool


def make_lines(history: History, facts: MetricFacts, over: Sequence[str] = ()) -> list[TrendLine]:
    """Return the lines of one metric: the whole, each label of every axis that varies, each cell.

    `over` names the axes that lines are made for, in place of every one that varies. Empty where no cell has a value.
    Raises UserError where the metric's cells have no such axis.
    """
    section = "training" if facts.scope == "training" else "evaluation"
    if foreign := [axis for axis in over if axis not in AXES[section]]:
        raise UserError(
            f"{facts.name} is a metric of the {section}, which has no axis {foreign[0]!r}; it has "
            f"{', '.join(AXES[section])}."
        )
    frame = history.frame
    frame = frame[np.isfinite(frame["value"]) & (frame["section"] == section) & (frame["metric"] == facts.name)]
    costs = facts.is_cost or facts.scope == "sampler"
    hardware = np.array([night.hardware for night in history.nights])
    machines = list(dict.fromkeys(hardware[sorted(set(frame["night"]))])) if costs else [""]
    lines = []
    for machine in machines:
        mine = frame[hardware[frame["night"]] == machine] if machine else frame
        if len(mine):
            where = str(machine) if len(machines) > 1 else ""
            lines += list(_lines(_cells(mine, history, AXES[section]), AXES[section], costs, where, over))
    return lines


def _lines(cells: _Cells, axes: Sequence[str], costs: bool, machine: str, over: Sequence[str]) -> Iterator[TrendLine]:
    varying = [i for i, _ in enumerate(axes) if len({group[i] for group in cells.groups}) > 1]
    chosen = [[axes.index(axis) for axis in over]] if over else [[], *([i] for i in varying)]
    numbers = {group: number for number, group in enumerate(cells.groups)}
    seen: set[frozenset[tuple[str, ...]]] = set()
    for some in chosen:
        for labels, members in partition(numbers, some, seen).items():
            named = {axes[i]: label for i, label in zip(some, labels, strict=True) if label != ""}
            yield _line(cells, members, named, "component", costs, machine)
    for group, number in numbers.items():
        named = {axes[i]: group[i] for i in varying or range(len(axes)) if group[i] != ""}
        yield _line(cells, [number], named, "cell", costs, machine)


def _line(
    cells: _Cells, members: Sequence[int], named: dict[str, str], kind: Level, costs: bool, machine: str
) -> TrendLine:
    units = np.flatnonzero(np.isin(cells.of_unit, members))
    values, changes = cells.values[:, units], cells.changes[:, units]
    present = np.isfinite(values).any(axis=1)
    values, changes, nights = values[present], changes[present], cells.nights[present]
    linked = np.asarray(np.isfinite(changes).any(axis=1))
    starts = [int(i) for i in np.flatnonzero(~linked) if i]
    level = np.cumsum(_mean(changes))
    seeds = np.unique(cells.seed_of_unit)
    of_seed = cells.seed_of_unit[units]
    moved = np.column_stack([_mean(changes[:, of_seed == seed]) for seed in seeds])
    there = np.column_stack([np.isfinite(values[:, of_seed == seed]).any(axis=1) for seed in seeds])
    by_seed = np.cumsum(moved, axis=0)
    for start in starts:
        level[start:] -= level[start]
        by_seed[start:] -= by_seed[start]
    return TrendLine(
        name=(ONE if len(cells.groups) == 1 else said(named) or WHOLE) + (f", on {machine}" if machine else ""),
        kind=kind,
        axes=named,
        cells=frozenset(cells.groups[i] for i in members),
        nights=nights,
        level=level,
        seeds=np.where(there, by_seed, np.nan),
        values=_mean(values) if kind == "cell" else None,
        spread=half_widths(values) if kind == "cell" else None,
        log=cells.log,
        is_cost=costs,
        breaks={start: cells.reasons.get(int(nights[start]), NO_COMMON) for start in starts},
        hardware=machine,
    )


def _cells(frame: pd.DataFrame, history: History, axes: Sequence[str]) -> _Cells:
    """Return the values and their changes since the last night that had one and can be compared."""
    ids = frame.groupby([*axes, "seed"], observed=True, sort=True).ngroup()
    keys = frame.assign(unit=ids).drop_duplicates("unit").sort_values("unit")
    groups: dict[tuple[str, ...], int] = {}
    of_unit = [groups.setdefault(tuple(map(str, row)), len(groups)) for row in keys[list(axes)].itertuples(index=False)]
    nights = np.array(sorted(set(frame["night"])), dtype=np.intp)
    place = np.searchsorted(nights, frame["night"])
    values = np.full((len(nights), len(keys)), np.nan)
    values[place, ids] = frame["value"]
    identities = np.full(values.shape, "", dtype=object)
    identities[place, ids] = frame["identity"].astype(str)
    log = bool(np.nanmin(values) > 0)
    scaled = np.log(values) if log else values / _scales(values, np.array(of_unit))
    changes, reasons = _changes(scaled, identities, nights, history)
    return _Cells(
        nights, list(groups), np.array(of_unit), keys["seed"].to_numpy(np.intp), values, changes, reasons, log
    )


def _changes(
    scaled: Floats, identities: NDArray[np.object_], nights: NDArray[np.intp], history: History
) -> tuple[Floats, dict[int, str]]:
    """Return changes (NaN where a value cannot be linked) and, by night, how identities that changed then differ."""
    changes = np.full(scaled.shape, np.nan)
    reasons: dict[int, str] = {}
    last = np.full(scaled.shape[1], np.nan)
    before = np.full(scaled.shape[1], "", dtype=object)
    for i, (row, identity) in enumerate(zip(scaled, identities, strict=True)):
        there, known = np.isfinite(row), np.isfinite(last)
        same = identity == before
        linked = there & known & same
        changes[i, linked] = row[linked] - last[linked]
        if len(broken := np.flatnonzero(there & known & ~same)):
            pair = str(before[broken[0]]), str(identity[broken[0]])
            reasons[int(nights[i])] = history.changed(*pair) or "another identity"
        last[there], before[there] = row[there], identity[there]
    return changes, reasons


def _scales(values: Floats, of_unit: NDArray[np.intp]) -> Floats:
    """Return the size of each unit's first values: their mean over seeds, or their spread where that is more."""
    first = np.array([column[np.isfinite(column)][0] for column in values.T])
    scales = np.ones(len(of_unit))
    for group in np.unique(of_unit):
        mine = first[of_unit == group]
        spread = float(np.std(mine, ddof=1)) if len(mine) > 1 else 0.0
        scales[of_unit == group] = max(abs(float(np.mean(mine))), spread) or 1.0
    return scales


def half_widths(rows: Floats) -> Floats:
    """Return the half-width of the 95% interval (Student's t) of the mean of each row; NaN with fewer than two."""
    known = np.isfinite(rows)
    n = known.sum(axis=1)
    squares = np.where(known, rows - _mean(rows)[:, None], 0.0) ** 2
    halves = np.full(len(rows), np.nan)
    some = n > 1
    errors = np.sqrt(squares[some].sum(axis=1) / (n[some] - 1) / n[some])
    halves[some] = [half_width(float(error), float(df)) for error, df in zip(errors, n[some] - 1, strict=True)]
    return halves


def _mean(rows: Floats) -> Floats:
    """Return the mean of what is there in each row; 0 where nothing is."""
    known = np.isfinite(rows)
    means: Floats = np.where(known, rows, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return means
