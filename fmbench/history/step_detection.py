"""The steps of all lines of a metric: who learns its noise from whom, and how false alarms of the whole are shared.

One false step in everything that is shown has a chance of 5% at most where nothing changed: components have the part of
it that they have in `fmbench check`, single cells the rest, lines of a kind the same each. Each line has its own noise,
moderated by that of the lines of its kind (`fmbench.stats.variance`).

tests/benchmarks/simulate_history.py measures what these promises are worth.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmbench.history.change_points import ENOUGH, LASTING, ChangePoint, Piece, Turn, by_nights, by_seeds, scatter, turns
from fmbench.history.trend_lines import TrendLine
from fmbench.regression.hypothesis_tests import SHARES
from fmbench.results.records import TRAINING_AXES, MetricFacts
from fmbench.stats.multiple_testing import FALSE_ALARMS
from fmbench.stats.variance import Noise, independent, moderated

EFFECT = 0.01
AS_LARGE = 0.67
"""The part of the largest step at which another one is as large."""
Verdict = Literal["worse", "better", "higher", "lower"]


@dataclass(frozen=True)
class Step:
    """A step of one line, from the night `before` to the night `after` (positions in the history).

    `change`, `low` and `high` are fractions, with a 95% interval. `old` and `new` are the levels: of single cells in
    the metric's unit, else as fractions of the beginning of the line. `nights` is how many the new level has lasted,
    and `is_new` says that they are the newest and too few to be sure that it stays.
    """

    before: int
    after: int
    change: float
    low: float
    high: float
    old: float
    new: float
    nights: int
    is_new: bool
    verdict: Verdict


@dataclass(frozen=True)
class StepsOfLine:
    """A line and its steps. `outliers` are nights set aside. `how` says what was taken as noise, or why nothing is."""

    line: TrendLine
    steps: Sequence[Step]
    outliers: Sequence[int]
    how: str


@dataclass(frozen=True)
class _Part:
    """A piece of a line as it is searched: `places` of its nights that count, and either its noise or its turns."""

    line: TrendLine
    places: np.ndarray[Any, np.dtype[np.intp]]
    end: int
    noise: Noise | None = None
    turns: Sequence[Turn] = ()
    why_not: str = ""


def find_steps(
    lines: Sequence[TrendLine], facts: MetricFacts, effect: float = EFFECT, alarms: float = FALSE_ALARMS
) -> list[StepsOfLine]:
    """Return the steps of each line that are at least `effect`, a fraction. `alarms` is the chance of any false one."""
    parts = [_part(line, piece) for line in lines for piece in line.pieces()]
    noises = _noises(parts)
    shares = _shares(lines, alarms)
    found = []
    for line in lines:
        mine = [(i, part) for i, part in enumerate(parts) if part.line is line]
        steps, outliers = [], []
        for i, part in mine:
            piece = _search(part, noises[i], shares[line.kind] / len(mine))
            steps += [step for change in piece.changes if abs((step := _step(part, change, facts)).change) >= effect]
            outliers += [int(line.nights[part.places[place]]) for place in piece.outliers]
        how = next((part.why_not for _, part in reversed(mine) if part.why_not), "")
        how = how or ("by nights" if any(part.noise for _, part in mine) else "by seeds")
        found.append(StepsOfLine(line, steps, outliers, how))
    return found


def told_first(found: Sequence[StepsOfLine]) -> list[tuple[StepsOfLine, Step]]:
    """Return the steps that a reader needs, newest first: of what happened at one night, the widest of the largest.

    A step is left out where another one, at most a night away, explains it by the cells that both lines share: a solver
    that got worse by 20% moves everything that it is a quarter of by 5%, and each of its cells by 20%.
    """
    left = [(one, step) for one in found for step in one.steps]
    told: list[tuple[StepsOfLine, Step]] = []
    while left:
        newest = max(step.after for _, step in left)
        largest = max(abs(step.change) for _, step in left if step.after == newest)
        wide = [each for each in left if each[1].after == newest and abs(each[1].change) >= AS_LARGE * largest]
        chosen = max(wide, key=lambda each: (len(each[0].line.cells), abs(each[1].change)))
        left.remove(chosen)
        told.append(chosen)
        left = [each for each in left if not _explained(*each, *chosen)]
    return told


def _explained(one: StepsOfLine, step: Step, by: StepsOfLine, cause: Step) -> bool:
    share = len(one.line.cells & by.line.cells) / len(one.line.cells)
    if not share or one.line.hardware != by.line.hardware or abs(step.after - cause.after) > 1:
        return False
    expected = share * cause.change
    margin = (1 / AS_LARGE - 1) * abs(expected) + (step.high - step.low + cause.high - cause.low) / 2
    return bool(abs(step.change - expected) <= margin)


def _part(line: TrendLine, piece: slice) -> _Part:
    """Return a piece as it is searched: by nights where enough of them differ, else by seeds."""
    everything = np.arange(piece.start, piece.stop)
    repeated = line.repeated[piece]
    differing = everything[~repeated]
    n = len(differing)
    if n >= ENOUGH and (line.is_cost or 2 * n >= len(everything)):
        return _Part(line, differing, piece.stop, noise=scatter(line.level[differing]))
    if line.is_cost:
        return _Part(line, everything, piece.stop, why_not=f"{n} of {ENOUGH} measurements that differ")
    seeds = line.seeds[piece]
    if np.isfinite(seeds).sum(axis=1).max() < 2:
        return _Part(line, everything, piece.stop, why_not=f"one seed, and {n} of {ENOUGH} nights that differ")
    return _Part(line, everything, piece.stop, turns=turns(seeds, repeated))


def _noises(parts: Sequence[_Part]) -> list[list[Noise]]:
    """Return the noises of each part: one by nights, one for each turn by seeds; those of a kind learn together."""
    raw = [[part.noise] if part.noise else [turn.noise for turn in part.turns] for part in parts]
    pools: dict[Hashable, list[tuple[int, int]]] = {}
    for i, part in enumerate(parts):
        for j, _ in enumerate(raw[i]):
            when = "nights" if part.noise else int(part.line.nights[part.places[part.turns[j].at]])
            pools.setdefault((part.line.kind, part.line.hardware, when), []).append((i, j))
    for pool in pools.values():
        noises = [raw[i][j] for i, j in pool]
        trainings = {cell[: len(TRAINING_AXES)] for i, _ in pool for cell in parts[i].line.cells}
        most = independent(len(trainings)) * max(noise.df for noise in noises)
        for (i, j), noise in zip(pool, moderated(noises, most), strict=True):
            raw[i][j] = noise
    return raw


def _shares(lines: Sequence[TrendLine], alarms: float) -> Mapping[str, float]:
    """Return the chance of a false step that a line of each kind has."""
    counts = {kind: sum(line.kind == kind for line in lines) for kind in SHARES}
    total = sum(SHARES[kind] for kind, count in counts.items() if count)
    return {kind: alarms * SHARES[kind] / total / count for kind, count in counts.items() if count}


def _search(part: _Part, noises: Sequence[Noise], alpha: float) -> Piece:
    if part.noise is not None:
        return by_nights(part.line.level[part.places], noises[0], alpha)
    return by_seeds(part.turns, noises, alpha)


def _step(part: _Part, change: ChangePoint, facts: MetricFacts) -> Step:
    line, places = part.line, part.places
    at = int(places[change.at])
    end = int(places[change.new.stop]) if change.new.stop < len(places) else part.end
    lasted = end - at
    levels = line.level if line.values is None else line.values
    old, new = (float(np.mean(levels[places[each]])) for each in (change.old, change.new))
    if line.values is None:
        old, new = float(line.fraction(old)), float(line.fraction(new))
    up: Verdict = {"lower": "worse", "higher": "better"}.get(facts.better, "higher")  # type: ignore[assignment]
    down: Verdict = {"lower": "better", "higher": "worse"}.get(facts.better, "lower")  # type: ignore[assignment]
    return Step(
        before=int(line.nights[at - 1]),
        after=int(line.nights[at]),
        change=float(line.fraction(change.size)),
        low=float(line.fraction(change.size - change.half)),
        high=float(line.fraction(change.size + change.half)),
        old=old,
        new=new,
        nights=lasted,
        is_new=lasted < LASTING and end == len(line.nights),
        verdict=up if change.size > 0 else down,
    )
