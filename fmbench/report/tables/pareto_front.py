"""What is said of the Pareto fronts: a table of what to run at each cost, and the caption of their figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fmbench.io.printable_text import count
from fmbench.report.analysis.pareto_front import Fronts, Tie, same_as
from fmbench.report.number_format import style_for
from fmbench.report.result_table import ROW_AXES, fixed
from fmbench.report.tables.baseline import difference_entry
from fmbench.report.tables.table import Command, Entry, Table, TableLine, metric_title
from fmbench.stats.paired_seeds import Interval, difference


def front_table(fronts: Fronts | None, dataset: str, command: Command) -> Table | None:
    """Return one line for each place of either front: NFE, row, score, time, and the gain over the cheaper place."""
    if fronts is None:
        return None
    places, axes = fronts.places, fronts.axes
    scores, times = style_for(p[0].score for p in places), style_for(_time(p) for p in places)
    lines = []
    for place in places:
        first, same = place[0], same_as(place, fronts.short)
        spread = f"± {scores(first.score.half)}" if first.score.known and first.score.half > 0 else ""
        found = [Entry(scores(first.score.mean), spread, f"the same: {same}" if same else "")]
        found.append(_gain(fronts.by_nfe.places, place, fronts.facts.better))
        if fronts.clock is not None:
            found.append(Entry("–" if math.isnan(first.time) else times(first.time)))
            found.append(_gain(fronts.by_time.places, place, fronts.facts.better))
        labels = (f"{first.nfe:.4g}", *((first.row[i] or "–" for i in axes) if axes else first.row[:1]))
        budget = f" --filter nfe={first.budget}" if first.budget is not None else ""
        lines.append(TableLine(labels, tuple(found), command(first.row) + budget))
    columns = [metric_title(fronts.facts), "front by NFE"]
    if fronts.clock is not None:
        columns += [f"{fronts.clock.name} [{fronts.clock.unit}]", "front by time"]
    heads = ("NFE", *(ROW_AXES[i] for i in axes)) if axes else ("NFE", "dataset")
    title = f"{dataset}: the Pareto front of {fronts.facts.name}"
    return Table(title, heads, tuple(columns), tuple(lines), tuple(_notes(fronts)))


def _time(place: Tie) -> Interval:
    return Interval(place[0].time, math.nan, 0 if math.isnan(place[0].time) else 1)


def _gain(places: Sequence[Tie], place: Tie, better: str) -> Entry:
    """Return what a place has over the cheaper one before it, seed by seed."""
    number = next((i for i, other in enumerate(places) if place[0] in other), None)
    if not number:
        return Entry("–" if number is None else "cheapest")
    seeds = place[0].by_seed
    return difference_entry(difference(seeds, places[number - 1][0].by_seed, better), len(seeds))


def _notes(fronts: Fronts) -> list[str]:
    constant = ", ".join(
        f"{axis} {label}" for axis, label in fixed(c.row for c in fronts.candidates).items() if axis != "dataset"
    )
    costs = "NFE or less time" if fronts.clock is not None else "NFE"
    notes = [f"Everywhere: {constant}."] if constant else []
    notes.append(
        f"The Pareto front: nothing in this suite has as good a mean {fronts.facts.name} for less {costs}, or a better "
        "one for the same. Its columns say what a line has over the cheaper one before it, seed by seed; –: the line "
        "is not on that front."
    )
    if any(c.score.known for c in fronts.candidates):
        unsure = "Where a gain is not distinguishable (n.d.), the cheaper line may be as good."
        notes.append(f"{_rivals(fronts, 'Others')} {unsure}")
    return notes


def caption(fronts: Fronts, unlabelled: int = 0) -> str:
    """Say how to read the figure, and how sure the fronts are."""
    timed = fronts.clock is not None
    cost = "NFE (left) or less time (right)" if timed else "NFE"
    text = (
        f"Points are all combinations at all their NFE ({count(len(fronts.candidates), 'entry', 'entries')}). The line "
        "and the points in strong colours are the Pareto front: nothing in this suite has as good a mean for less "
        f"{cost}, or a better one for the same."
    )
    if any(c.score.known for c in fronts.candidates):
        text += " Vertical bars are 95% intervals (Student's t)"
        text += ", horizontal ones the middle half of the repeated timings." if _unrest(fronts) else "."
        text += f" {_rivals(fronts, 'Hollow points')}"
        text += " By NFE they stand a little to the right, so as not to be hidden." if fronts.by_nfe.rivals else ""
    else:
        text += " With one seed there are no intervals, and what else may be on the front cannot be told."
    if timed:
        text += " Times carry the unrest of the machine, so small distances sideways mean nothing."
    if not all(c.complete for c in fronts.candidates):
        text += " Crosses lost a seed and take no part."
    if unlabelled:
        text += f" There is no room to label {count(unlabelled, 'point')}; the table of the front holds all."
    return text


def _unrest(fronts: Fronts) -> bool:
    return any(place[0].unrest > 0 for place in fronts.by_time.places)


def _rivals(fronts: Fronts, who: str) -> str:
    """Say how many of the others may be on a front."""
    numbers = [f"{len(fronts.by_nfe.rivals)} by NFE"]
    numbers += [f"{len(fronts.by_time.rivals)} by time"] if fronts.clock is not None else []
    if not fronts.by_nfe.rivals and not fronts.by_time.rivals:
        return (
            "Nothing else may be on the front: seed by seed all others are distinguishably worse than it at their "
            "cost, or the same for more."
        )
    return (
        f"{who} may be on the front ({' and '.join(numbers)}): their means are worse than its mean at their cost, but "
        "not distinguishably, seed by seed."
    )
