"""The table of training combinations, each at its own best settings, and that of all settings on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fmbench.report.analysis.own_best import OwnBest, OwnBests, against, baseline_of, gap_of
from fmbench.report.number_format import Style, style_for
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, Values
from fmbench.report.tables.baseline import difference_entry
from fmbench.report.tables.table import Command, Entry, Table, TableLine
from fmbench.report.text.own_best import own_best_said
from fmbench.stats.joint_verdicts import jointly
from fmbench.stats.paired_seeds import Interval, interval


def own_best_table(
    result_table: ResultTable, found: OwnBests | None, baseline: Mapping[str, Any] | None, command: Command
) -> Table | None:
    """Return the table of each training combination at its own best; None where the suite does not ask for it."""
    if found is None:
        return None
    numbers = style_for(_mean(each.best.score) for each in found.known if each.best)
    on_validation = style_for(_mean(each.best.validation) for each in found.groups if each.best)
    pairs = against(found, result_table, baseline)
    gaps = jointly({group: gap_of(found, group, other) for group, other in pairs.items()}, found.facts.better)
    lines = []
    for each in found.groups:
        labels = tuple(each.group[i] or "–" for i in found.positions) or (each.group[0],)
        if each.best is None:
            lines.append(TableLine(labels, (Entry("–", "", each.why), *[Entry("–")] * 4)))
            continue
        entries = (
            Entry(each.best.setting),
            _entry(each.best.validation, on_validation),
            _score(found, each, numbers),
            difference_entry(gaps[each.group], 0, len(gaps)) if each.group in gaps else Entry("–"),
            Entry("; ".join(each.ends) or "inside what was tried"),
        )
        lines.append(TableLine(labels, entries, command(each.best.row)))
    whom = "the baseline" if baseline_of(found, baseline) else "the leader"
    heads = tuple(ROW_AXES[i] for i in found.positions) or ("dataset",)
    columns = (
        f"its best {' and '.join(axis.replace('_', ' ') for axis in found.axes)}",
        f"{found.chooses.name} on validation data",
        f"{found.facts.name}, as reported",
        f"against {whom} at its own best",
        "range",
    )
    return Table(f"{result_table.dataset}: each at its own best", heads, columns, tuple(lines), _notes(found))


def _notes(found: OwnBests) -> tuple[str, ...]:
    chooses, facts = found.chooses, found.facts
    scored = "scored against the validation split" if chooses.scope == "evaluation" else "on the validation split"
    if not found.looks_at_validation:
        scored = "which compares with no split of the data but with what it names itself"
    notes = [
        own_best_said(found),
        f"Each row takes the setting whose mean {chooses.name} over its seeds is best ({chooses.better}), {scored}"
        + (f", with {found.sampler} from noise of its own. " if chooses.scope == "evaluation" else ". ")
        + f"{facts.name} is that of the other tables with {found.sampler}, of samples that chose nothing: mean and 95% "
        "interval over the seeds. Bold: the best; †: not distinguishable from it, seed by seed. What is said "
        "against another row holds jointly with the other rows (Holm).",
        "The validation score of a best setting is the best of several, so it looks a little better than it is. The "
        "scores compared are of the same trainings: a seed that suits a setting helped to choose it and counts here "
        "too, which other seeds alone would show.",
    ]
    for each in found.groups:
        if each.near:
            names = ", ".join(one.setting for one in each.near)
            notes.append(f"{found.words(each.group)}: {names} cannot be told from the best on validation data.")
        if each.lost:
            names = ", ".join(one.setting for one in each.lost)
            notes.append(f"{found.words(each.group)}: {names} lost a seed, and is not chosen.")
    return tuple(notes)


def all_settings_table(result_table: ResultTable, found: OwnBests | None) -> Table | None:
    """Return the table of what every setting scores on validation data; None where nothing is chosen."""
    if found is None:
        return None
    settings = list(dict.fromkeys(one.setting for each in found.groups for one in each.candidates))
    numbers = style_for(_mean(one.validation) for each in found.groups for one in each.candidates)
    lines = []
    for each in found.groups:
        by_setting = {one.setting: one for one in each.candidates}
        entries = []
        for setting in settings:
            one = by_setting.get(setting)
            tied = one in each.near
            entries.append(
                Entry("–") if one is None else _entry(one.validation, numbers, best=one is each.best, tied=tied)
            )
        labels = tuple(each.group[i] or "–" for i in found.positions) or (each.group[0],)
        lines.append(TableLine(labels, tuple(entries)))
    heads = tuple(ROW_AXES[i] for i in found.positions) or ("dataset",)
    title = f"{result_table.dataset}: {found.chooses.name} of every setting on validation data"
    note = "Bold: the best of the row, which it takes as its own. †: not distinguishable from that, seed by seed."
    return Table(title, heads, tuple(settings), tuple(lines), (note,), minor=True)


def _mean(values: Values) -> Interval:
    return interval(list(values.by_seed.values()))


def _entry(values: Values, numbers: Style, *, best: bool = False, tied: bool = False) -> Entry:
    if not values.by_seed:
        return Entry("–", "", ", ".join(f"{count} {status}" for status, count in values.lost.items()))
    mean = _mean(values)
    lost = f"{sum(values.lost.values())} of {values.total} seeds lost" if values.lost else ""
    return Entry(numbers(mean.mean), f"± {numbers(mean.half)}" if mean.known else "", lost, best, tied)


def _score(found: OwnBests, each: OwnBest, numbers: Style) -> Entry:
    assert each.best is not None
    leading: Sequence[Row] = found.lead.groups if found.lead else ()
    best = bool(leading) and leading[0] == each.group
    return _entry(each.best.score, numbers, best=best, tied=each.group in leading[1:])
