"""What the benchmark command leaves in reports/benchmarks: a page, a CSV with every repeat, and one figure."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import FASTER, TIMES, Row, Target, at_least, at_most

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "benchmarks.png"
TABLE = "benchmarks.csv"
GREEN, AMBER, RED, GREY, INK = "#009E73", "#E69F00", "#D55E00", "#6b7280", "#222222"
COLOURS = {"met": GREEN, "level": AMBER, "missed": RED, "-": GREY}
EVEN = {FASTER: at_least(1.0), TIMES: at_most(1.0)}
"""What a row without a target is drawn against: as fast as the peer."""


@dataclass(frozen=True)
class Result:
    """What came of one benchmark: its rows, how long it took, and the first line of what it says of itself."""

    name: str
    about: str
    rows: tuple[Row, ...]
    seconds: float


def write_report(results: Sequence[Result], facts: Mapping[str, str], folder: Path) -> Path:
    """Write README.md, the CSV and the figure into a folder, and return the page. `facts` stand above the table."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(results, folder / TABLE)
    draw(results, folder / FIGURE)
    page = folder / "README.md"
    page.write_text("\n".join(page_lines(results, facts)) + "\n")
    return page


def page_lines(results: Sequence[Result], facts: Mapping[str, str]) -> list[str]:
    """Return the page as lines of Markdown."""
    rows = [row for result in results for row in result.rows]
    lines = ["# Benchmarks", "", summary(rows), ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", f"![Each target and what was measured]({FIGURE})", ""]
    lines += [
        "Middle is the median over n repeats, or where it says so a mean; the spread is the smallest and the largest "
        "of them, the middle half lies between the quartiles. Each ratio is of two neighbours in time, after a "
        "warm-up that does not count unless a note says otherwise. A target is met where the middle keeps it, and "
        "level where the middle misses it but a quarter of the repeats or more keep it. Every repeat is in "
        f"[{TABLE}]({TABLE}).",
    ]
    for result in results:
        lines += ["", f"## {result.name}: {result.about}", "", *table(result.rows)]
        notes = dict.fromkeys(f"- **{row.name}**: {row.note}" for row in result.rows if row.note)
        lines += ["", *notes] if notes else []
        lines += ["", f"It took {result.seconds:.0f} s."]
    return lines


def summary(rows: Sequence[Row]) -> str:
    """Return how many targets were met, and by how much the others were missed, as sentences."""
    verdicts = [row.verdict for row in rows]
    aimed = [row for row in rows if row.target is not None and not row.error]
    text = f"{verdicts.count('met')} of {len(aimed)} targets were met."
    if level := [f"{row.name} by {miss(row)}" for row in aimed if row.verdict == "level"]:
        text += f" Level, for the spread reaches over the target: {'; '.join(level)}."
    if missed := [f"{row.name} by {miss(row)}" for row in aimed if row.verdict == "missed"]:
        text += f" Missed: {'; '.join(missed)}."
    if failed := [row.name for row in rows if row.error]:
        text += f" Not measured: {'; '.join(failed)}."
    return text


def miss(row: Row) -> str:
    """Return by how much a row missed its target, as text."""
    fraction = row.target.missed_by(row.middle) if row.target else 0.0
    return f"{100 * fraction:.2g}%"


def table(rows: Sequence[Row]) -> list[str]:
    """Return rows as lines of a Markdown table."""
    lines = [
        "| what | ours | against | middle | spread | quartiles | n | unit | times (ours, peer) | target | verdict |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- | ---: | --- | --- |",
    ]
    for row in rows:
        if row.error:
            lines.append(f"| {_cell(row.name)} | | | | | | 0 | | | | failed: {_cell(row.error)} |")
            continue
        verdict = f"{row.verdict} by {miss(row)}" if row.verdict == "missed" else row.verdict
        verdict = f"level, {miss(row)} off" if row.verdict == "level" else verdict
        cells = [
            _cell(row.name),
            _cell(row.ours),
            _cell(row.peer),
            number(row.middle) + (" (mean)" if row.mean else ""),
        ]
        cells += [" to ".join(map(number, row.spread)), " to ".join(map(number, row.quartiles)), str(row.n), row.unit]
        cells += [times(row), str(row.target or "-"), verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def times(row: Row) -> str:
    """Return the medians (or means) of both times with their unit."""
    middle = statistics.mean if row.mean else statistics.median
    shown = [number(middle(values)) for values in (row.ours_times, row.peer_times) if values]
    return f"{', '.join(shown)} {row.times_unit}" if shown else "-"


def number(value: float) -> str:
    """Return a number with at least three digits that count; near 1, where percents do, with three decimals."""
    if 0.9 <= abs(value) < 1.1:
        return f"{value:.3f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(decimals, 6)}f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def write_csv(results: Sequence[Result], path: Path) -> None:
    """Write a line for each repeat of each row; a row that failed has one line, with its error."""
    names = ["benchmark", "row", "ours", "peer", "unit", "target", "verdict", "repeat", "ratio"]
    names += ["ours_time", "peer_time", "times_unit", "note", "error"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for result in results:
            for row in result.rows:
                common: dict[str, Any] = {"benchmark": result.name, "row": row.name, "ours": row.ours}
                common |= {"peer": row.peer, "unit": row.unit, "target": str(row.target or ""), "note": row.note}
                common |= {"verdict": row.verdict, "times_unit": row.times_unit, "error": row.error}
                for repeat in range(row.n or 1):
                    values = {"ratio": row.ratios, "ours_time": row.ours_times, "peer_time": row.peer_times}
                    measured = {name: held[repeat] for name, held in values.items() if repeat < len(held)}
                    writer.writerow(common | {"repeat": repeat if row.n else ""} | measured)


def margin(target: Target, value: float) -> float:
    """Return how many times better than its target a value is: 1 keeps it exactly, less misses it."""
    return value / target.value if target.lower else target.value / max(value, 1e-12)


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw every measured row against its target, on one logarithmic scale: right of the line is better."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [row for result in results for row in result.rows if not row.error and (row.target or row.unit in EVEN)]
    figure, ax = plt.subplots(figsize=(11, 1.4 + 0.34 * max(len(rows), 1)), layout="constrained")
    for height, row in enumerate(reversed(rows)):
        _draw_row(ax, row, height)
    ax.axvline(1.0, color=INK, linewidth=1.0, zorder=1)
    ax.set_xscale("log")
    ax.set_ylim(-0.7, max(len(rows), 1) - 0.3)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.5), max(high, 2.0))
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if ax.get_xlim()[0] <= t <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    ax.minorticks_off()
    ax.set_yticks(range(len(rows)), [row.name for row in reversed(rows)], fontsize=8)
    ax.grid(axis="x", color="#e6e8ec", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(
        "times as good as the target (a dot a repeat, a bar the middle); grey: no target, against the peer", fontsize=9
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_row(ax: Axes, row: Row, height: int) -> None:
    target = row.target or EVEN[row.unit]
    colour = COLOURS[row.verdict]
    at = [margin(target, value) for value in row.ratios]
    ax.plot(at, [height] * len(at), "o", color=colour, markersize=4, alpha=0.45, markeredgewidth=0)
    ax.plot([margin(target, row.middle)], [height], "|", color=colour, markersize=14, markeredgewidth=2.5)
    said = f"{number(row.middle)} {row.unit}" + (f", target {row.target}" if row.target else "")
    ax.annotate(said, (1.0, height), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=8, color=colour)  # fmt: skip
