"""Which tables a report holds, and what stands in them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from fmbench.io.printable_text import count
from fmbench.report.analysis.comparability import mixture, split_by_identity, split_by_seed
from fmbench.report.analysis.floor_and_oracle import floor_of, is_own_floor
from fmbench.report.analysis.timing_noise import steadiness
from fmbench.report.number_format import style_for
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, Values, gather, varying
from fmbench.report.tables.table import Column, Command, Entry, Table, TableLine, assemble, metric_title
from fmbench.results.failures import groups_of
from fmbench.results.records import EvaluationRecord, MetricFacts, Records, TrainingRecord
from fmbench.stats.paired_seeds import Interval
from fmbench.store.sampler_timings import SPREAD

BLANK_NOTE = "–: the suite has no such cell; what the plan left out stands under “Left out”, with the reason."


SAID_NOTE = (
    "made elsewhere: samples that this suite was given. Their NFE is said by it and was not measured, and what is said "
    "of all rows is not known of them."
)


def by_nfe(result_table: ResultTable, facts: MetricFacts, command: Command, minor: bool = False) -> Table | None:
    """Return the table of one metric: a row a combination of axes, a column an NFE budget."""
    every = result_table.rows()
    seen = [row for row in every if any(result_table.values(row, nfe, facts) for nfe in result_table.budgets)]
    rows = [row for row in every if row in seen or not result_table.made_elsewhere(row)]
    if not rows:
        return None
    columns, notes = [], [SAID_NOTE] if any(map(result_table.made_elsewhere, rows)) else []
    floor, why = floor_of(result_table, facts)
    for nfe in result_table.budgets:
        parts, note = split_by_identity({row: result_table.values(row, nfe, facts) for row in rows})
        columns += [Column(f"NFE {nfe}{suffix}", part, facts, floor=floor) for suffix, part in parts]
        notes += [f"NFE {nfe}: {note}."] if note else []
    if any(v is None for c in columns for v in c.values.values()):
        notes.append(BLANK_NOTE)
    notes += [f"{why}."] if why else []
    return assemble(f"{result_table.dataset}: {metric_title(facts)}, by NFE", rows, columns, command, notes, minor)


def of_adaptive(result_table: ResultTable, command: Command) -> Table | None:
    """Return the table of adaptive solvers, which choose their own steps: NFE as measured, then the metrics."""
    rows = result_table.rows(adaptive=True)
    nfe = MetricFacts("nfe", "lower", "", "sampler", "nfe")
    columns = [Column("NFE (measured)", {row: _measured_nfe(result_table, row) for row in rows}, nfe, marks=False)]
    note = "Adaptive solvers choose their own steps, so their NFE is measured, not set."
    return _without_nfe(result_table, "adaptive solvers", rows, columns, note, command)


def of_unsaid(result_table: ResultTable, command: Command) -> Table | None:
    """Return the table of samples made elsewhere of which nobody says the NFE."""
    note = "Samples that this suite was given without their NFE: they are compared with each other alone."
    return _without_nfe(result_table, "made elsewhere, NFE not said", result_table.unsaid, [], note, command)


def _without_nfe(
    result_table: ResultTable, title: str, rows: Sequence[Row], columns: Sequence[Column], note: str, command: Command
) -> Table | None:
    """Return the table of all metrics of rows that have no NFE budget, after some columns."""
    if not rows:
        return None
    columns, notes, first = list(columns), [note], len(columns)
    for facts in result_table.scope("evaluation"):
        parts, note = split_by_identity({row: result_table.values(row, None, facts) for row in rows})
        floor, _ = floor_of(result_table, facts)
        columns += [Column(_head(facts) + suffix, part, facts, floor=floor) for suffix, part in parts]
        notes += [f"{facts.name}: {note}."] if note else []
    columns = [column for column in columns if any(column.values.values())]
    notes.append(_legend([column.facts for column in columns[first:]]))
    return assemble(f"{result_table.dataset}: {title}", rows, columns, command, [n for n in notes if n])


def _measured_nfe(result_table: ResultTable, row: Row) -> Values:
    records = result_table.cells[row, None]
    known = {r.cell.training.seed: float(r.nfe) for r in records if r.nfe is not None and math.isfinite(r.nfe)}
    return Values(known, Counter(r.status for r in records if r.cell.training.seed not in known))


def of_training(result_table: ResultTable, command: Command) -> Table | None:
    """Return the table of training-scope metrics: a row a training combination, a column a metric."""
    rows, metrics = list(result_table.trainings), result_table.scope("training")
    if not rows or not metrics:
        return None
    metrics = [facts for facts in metrics if not is_own_floor(facts, metrics)]
    columns, notes = [], [_legend(metrics)]
    for facts in metrics:
        values = {row: gather(result_table.trainings[row], facts, {}) for row in rows}
        parts, note = split_by_identity(values)
        if not parts and facts.is_time:
            parts, note = split_by_seed(values)
        floor, _ = floor_of(result_table, facts)
        columns += [Column(_head(facts) + suffix, part, facts, not facts.is_cost, floor) for suffix, part in parts]
        notes += [f"{facts.name}: {note}."] if note else []
    if any(facts.is_time for facts in metrics):
        notes += side_by_side(record for row in rows for record in result_table.trainings[row])
    return assemble(f"{result_table.dataset}: training", rows, columns, command, notes)


def side_by_side(trainings: Iterable[TrainingRecord]) -> list[str]:
    """Say whether training times were taken while several jobs shared the machine."""
    jobs = sorted({int(r.facts["jobs"]) for r in trainings if r.status == "ok" and r.facts.get("jobs")})
    if not jobs or jobs == [1]:
        return []
    many = " or ".join(map(str, jobs))
    return [
        f"Training times were taken with {many} jobs side by side on one machine, each slowed by the others: compare "
        "them within this report only, and not closely."
    ]


def _head(facts: MetricFacts) -> str:
    return f"{facts.name} [{facts.unit}]" if facts.unit else facts.name


def _legend(metrics: Iterable[MetricFacts]) -> str:
    """Say for each metric in which direction it is better."""
    said = dict.fromkeys(f"{facts.name}: {facts.better} is better" for facts in metrics if facts.better)
    return "; ".join(said) + "." if said else ""


def of_sampling(result_table: ResultTable, facts: MetricFacts, minor: bool = False) -> list[Table]:
    """Return what samplers cost: a table for each hardware on which they were measured."""
    parts, title = result_table.by_hardware(), f"{result_table.dataset}: {metric_title(facts)}"
    titles = {hardware: f"{title}, on {hardware}" if len(parts) > 1 else title for hardware in parts}
    tables = [_sampling(part, facts, titles[hardware], minor) for hardware, part in parts.items()]
    return [table for table in tables if table is not None]


def _sampling(result_table: ResultTable, facts: MetricFacts, title: str, minor: bool) -> Table | None:
    """Return what a sampler costs: not a matter of the weights, so trainings of one network share a measurement."""
    keep = [ROW_AXES.index(axis) for axis in ("dataset", "objective", "network", "solver", "grid", "guidance")]
    groups: dict[tuple[Row, int | None], list[EvaluationRecord]] = {}
    for (row, nfe), records in result_table.cells.items():
        if result_table.made_elsewhere(row):
            continue
        short = tuple(label if i in keep else "" for i, label in enumerate(row))
        groups.setdefault((short, nfe), []).extend(r for r in records if facts.name in r.metrics)
    rows = list(dict.fromkeys(row for row, _ in groups))
    budgets: list[int | None] = [*result_table.budgets, *([None] if result_table.rows(adaptive=True) else [])]
    columns: list[tuple[str, dict[Row, list[float]], dict[Row, list[float]]]] = []
    notes = [
        "Median of the measurements (lowest to highest where there are several), taken while nothing else of the "
        "suite ran."
    ]
    spread = replace(facts, name=facts.name + SPREAD)
    if spread.name in {each.name for each in result_table.metrics}:
        notes.append("±: half the distance between the quartiles of the repeats.")
        notes += [note] if (note := steadiness(result_table, facts).note()) else []
    for nfe in budgets:
        head = "adaptive" if nfe is None else f"NFE {nfe}"
        found = {row: gather(groups.get((row, nfe), []), facts, result_table.failed) for row in rows}
        mixed = mixture(i for values in found.values() for i in values.identities)
        if mixed:
            notes.append(f"{head}: left out, because its values are not comparable with each other: {mixed}.")
        else:
            measured = {row: _measurements(groups.get((row, nfe), []), facts) for row in rows}
            spreads = {row: _measurements(groups.get((row, nfe), []), spread) for row in rows}
            columns.append((head, measured, spreads))
    if not any(values for _, column, _ in columns for values in column.values()) and len(notes) == 1:
        return None
    axes = varying(rows)
    numbers = style_for(Interval(x, math.nan, 1) for _, column, _ in columns for v in column.values() for x in v)
    lines = tuple(
        TableLine(
            tuple(row[i] or "–" for i in axes) or (row[0],),
            tuple(_measured(column[row], numbers, spreads[row]) for _, column, spreads in columns),
        )
        for row in rows
    )
    heads = tuple(ROW_AXES[i] for i in axes) or ("dataset",)
    return Table(title, heads, tuple(head for head, *_ in columns), lines, tuple(notes), minor)


def _measurements(records: Sequence[EvaluationRecord], facts: MetricFacts) -> list[float]:
    found = (r.metrics.get(facts.name, math.nan) for r in records)
    return [float(value) for value in found if math.isfinite(value)]


def _measured(values: Sequence[float], numbers: Callable[[float], str], spreads: Sequence[float] = ()) -> Entry:
    if not values:
        return Entry("–")
    low, high = numbers(min(values)), numbers(max(values))
    spread = f"± {numbers(max(spreads) / 2)}" if spreads else ""
    return Entry(numbers(statistics.median(values)), spread, f"{low} to {high}" if low != high else "")


def of_machines(records: Records) -> Table | None:
    """Return seconds of training with what stands beside a wall time: hardware, precision, threads, jobs."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for record in records.trainings:
        facts = record.facts
        if record.status == "ok" and facts.get("seconds") is not None and not record.cell.is_given:
            said = (str(facts.get(name, "not recorded")) for name in ("hardware", "precision", "threads", "jobs"))
            key = (str(record.cell.dataset), str(record.cell.network), *said)
            groups.setdefault(key, []).append(float(facts["seconds"]))
    if not groups:
        return None
    numbers = style_for(Interval(value, math.nan, 1) for values in groups.values() for value in values)
    lines = tuple(
        TableLine(key, (Entry(str(len(values))), _measured(values, numbers), Entry(f"{sum(values):,.0f}")))
        for key, values in groups.items()
    )
    heads = ("dataset", "network", "hardware", "precision", "threads", "jobs")
    columns = ("trainings", "seconds each", "seconds in all")
    notes = ["Seconds of one training: the median, and lowest to highest."]
    return Table("Training time and the machine", heads, columns, lines, (*notes, *side_by_side(records.trainings)))


def of_failures(records: Records) -> Table | None:
    """Return the failures, each kind of them a row: whose, the first cell, how many, status, line of code and error."""
    groups = groups_of(records)
    if not groups:
        return None
    lost = Counter(r.cell.training.key for r in records.evaluations)
    whole = {r.cell.key for r in records.trainings if r.facts}
    lines = []
    for group in groups:
        first = group.first
        keys = {each.cell.key for each in group.members if each.section in ("training", "model")} - whole
        gone = sum(lost[key] for key in keys)
        note = f" ({count(gone, 'evaluation')} lost with {'it' if group.count == 1 else 'them'})" if gone else ""
        entries = (group.counted, first.status, group.place or "–", (group.mistake or "–") + note)
        lines.append(TableLine((group.component or "–", f"{first.cell}", first.cell.key), tuple(map(Entry, entries))))
    notes = ("Cells that fail alike are counted, and the first is shown. `fmbench why KEY SUITE` shows its traceback.",)
    columns = ("cells", "status", "line", "error")
    return Table("Failed cells", ("component", "cell", "key"), columns, tuple(lines), notes)
