"""The tables of a report as data; markdown_and_latex.py and the page print them, standard_tables.py says which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fmbench.cells.component_spec import ELSEWHERE
from fmbench.report.analysis.floor_and_oracle import Floor
from fmbench.report.analysis.marks import Marks, marks
from fmbench.report.number_format import Style, style_for
from fmbench.report.result_table import NETWORK_AXIS, ROW_AXES, SOLVER_AXIS, Row, Values, fixed, varying
from fmbench.results.records import MetricFacts
from fmbench.stats.paired_seeds import interval

Command = Callable[[Row], str]
BEST_NOTE = (
    "Bold: the best mean of the column, and whatever has the same values. †: not distinguishable from it, seed by seed "
    "(or they share fewer than two seeds)."
)
LOST_NOTE = "An entry that lost a seed shows the mean of the others and says so; it is neither the best nor marked."
ONE_SEED_NOTE = (
    "One seed: nothing can be said about spread. Bold is the best number of the column, which another seed might "
    "reverse."
)


@dataclass(frozen=True)
class Entry:
    """One entry of a table: a number, its spread and what else must be said; `tone` is a verdict or ""."""

    value: str = ""
    spread: str = ""
    note: str = ""
    best: bool = False
    tied: bool = False
    tone: str = ""


@dataclass(frozen=True)
class TableLine:
    """One line of a table: its labels, its entries, and the command that reproduces it ("" where there is none)."""

    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    command: str = ""


@dataclass(frozen=True)
class Table:
    """A table: `heads` name the label columns, `columns` the others. `minor` tables are folded away on the page."""

    title: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[TableLine, ...]
    notes: tuple[str, ...] = ()
    minor: bool = False


@dataclass(frozen=True)
class Column:
    """A column before it is printed: a title, and the values of each row (None: the suite has no such cell).

    `marks` says whether the best entry is marked. `floor` is what real data score, where there is such a thing.
    """

    title: str
    values: Mapping[Row, Values | None]
    facts: MetricFacts
    marks: bool = True
    floor: Floor | None = None


def metric_title(facts: MetricFacts) -> str:
    """Return a metric's name with its unit and direction."""
    unit = f" [{facts.unit}]" if facts.unit else ""
    return f"{facts.name}{unit}, {facts.better} is better" if facts.better else f"{facts.name}{unit}"


def joint_note(number: int) -> str:
    """Say what the verdicts of one table mean together; "" where there is only one."""
    if number < 2:
        return ""
    return (
        f"What is told by the {number} comparisons of this table holds jointly: the chance that any of it is wrong is "
        "at most 5% (Holm). Each interval by itself is 95%."
    )


def by_chance(number: int) -> str:
    """Say what comparisons with the best, each made by itself, mean together; "" where they are too few to mislead."""
    if number < 20:
        return ""
    return f"Each of the {number} comparisons is made by itself: of 20 equals, chance tells one from the best."


def entries(columns: Sequence[Column], rows: Sequence[Row], usual: int) -> tuple[list[list[Entry]], int]:
    """Return the entries of each column, with the best in bold and what cannot be told from it marked, and how many
    comparisons with the best the marks come from: each is made by itself.

    `usual` is the number of seeds that is said once for the whole table.
    """
    marked = [_marks(column, rows) if column.marks else Marks() for column in columns]
    printed = [_entries(column, rows, usual, own) for column, own in zip(columns, marked, strict=True)]
    return printed, sum(own.compared for own in marked)


def _marks(column: Column, rows: Sequence[Row]) -> Marks:
    return marks({j: v for j, row in enumerate(rows) if (v := column.values.get(row))}, column.facts.better)


def _entries(column: Column, rows: Sequence[Row], usual: int, marked: Marks) -> list[Entry]:
    numbers = _style(column, rows)
    found = []
    for j, row in enumerate(rows):
        mine = column.values.get(row)
        entry = Entry("–") if mine is None else _entry(mine, numbers, usual)
        found.append(replace(entry, best=j in marked.best, tied=usual > 1 and j in marked.near))
    return found


def _style(column: Column, rows: Sequence[Row]) -> Style:
    """Choose the decimals of a column."""
    values = [v for row in rows if (v := column.values.get(row)) and v.by_seed]
    return style_for(interval(list(v.by_seed.values())) for v in values)


def _floor_line(columns: Sequence[Column], rows: Sequence[Row], usual: int, labels: int) -> list[TableLine]:
    """Return the line of real data, where a column has such a floor."""
    lines = []
    for label in dict.fromkeys(column.floor.label for column in columns if column.floor):
        found = [
            _entry(c.floor.values, _style(c, rows), usual) if c.floor and c.floor.label == label else Entry("–")
            for c in columns
        ]
        lines.append(TableLine((label, *[""] * (labels - 1)), tuple(found)))
    return lines


def _entry(values: Values, numbers: Style, usual: int) -> Entry:
    """Return the entry of one row: mean, half-width, and what became of the seeds that gave nothing."""
    said = interval(list(values.by_seed.values()))
    lost = [f"{n} of {values.total} {status}" for status, n in values.lost.items()]
    if not said.n:
        return Entry(note="; ".join(lost) or "–")
    if said.n != usual and not lost:
        lost = [f"n = {said.n}"]
    spread = f"± {numbers(said.half)}" if said.known and said.half > 0 else ""
    return Entry(numbers(said.mean), spread, "; ".join(lost))


def assemble(
    title: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    command: Command,
    notes: Sequence[str] = (),
    minor: bool = False,
) -> Table:
    """Print columns over rows: the axes that vary become label columns, the others are said once in the notes."""
    axes = varying(rows)
    if not axes and any(row[SOLVER_AXIS : SOLVER_AXIS + 1] == (ELSEWHERE,) for row in rows):
        axes = [NETWORK_AXIS]  # a single row of samples bears the name that they were given
    shown = {"dataset", *(ROW_AXES[i] for i in axes)}
    constant = ", ".join(f"{axis} {label}" for axis, label in fixed(rows).items() if axis not in shown)
    sizes = Counter(len(v.by_seed) for c in columns for v in c.values.values() if v and v.by_seed)
    usual = max(sizes, key=lambda n: (sizes[n], n), default=0)
    printed, compared = entries(columns, rows, usual)
    heads = tuple(ROW_AXES[i] for i in axes) or ("dataset",)
    lines = _floor_line(columns, rows, usual, len(heads))
    lines += [
        TableLine(tuple(row[i] or "–" for i in axes) or (row[0],), tuple(c[j] for c in printed), command(row))
        for j, row in enumerate(rows)
    ]
    said = [f"Everywhere: {constant}."] if constant else []
    said += _reading(columns, printed, usual, compared)
    return Table(title, heads, tuple(c.title for c in columns), tuple(lines), (*said, *notes), minor)


def _reading(columns: Sequence[Column], printed: Sequence[Sequence[Entry]], usual: int, compared: int) -> list[str]:
    """Say how the entries of a table are to be read: interval, marks, lost seeds."""
    notes = []
    if usual > 1:
        notes.append(
            f"Mean ± half-width of the 95% interval (Student's t) over n = {usual} seeds, unless an entry says "
            "otherwise; none where all seeds gave the same value."
        )
    elif usual == 1:
        notes.append(ONE_SEED_NOTE)
    notes += dict.fromkeys(f"{column.floor.note}" for column in columns if column.floor)
    marked = [entry for column in printed for entry in column]
    if usual > 1 and any(entry.best for entry in marked):
        notes.append(f"{BEST_NOTE} {by_chance(compared)}".rstrip())
    if any(v and v.lost for c in columns for v in c.values.values()):
        notes.append(LOST_NOTE)
    return notes
