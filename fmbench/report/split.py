"""How much of a distance comes from the network and how much from the solver, where the exact velocity is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from fmbench.records import ReferenceRecord
from fmbench.report.boards import ROW_AXES, Board, Row, varying, words
from fmbench.report.curves import N_TRAINING
from fmbench.report.figures import TITLE_WIDTH, name_above
from fmbench.report.files import Folder
from fmbench.report.numbers import style_for
from fmbench.report.references import Floor, comparable, floor_of, oracle_of
from fmbench.report.summary import Interval, interval
from fmbench.report.tables import Entry, Line, Table
from fmbench.report.theme import FAINT, INK, Picture, new_figure, save, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = ("real data", "solver", "network")
COLOURS = dict(zip(PARTS, (FAINT, "#56B4E9", "#D55E00"), strict=True))
MOST_PANELS, MOST_ACROSS, MOST_BARS = 12, 4, 24


@dataclass(frozen=True)
class Split:
    """The distance of one entry, seed by seed: total = floor + solver + network, where

    solver = oracle - floor is what the exact velocity leaves with this solver beyond what real data score, and network
    = total - oracle is what the trained network changes. A part may be negative: errors can cancel.
    """

    total: Interval
    floor: Interval
    solver: Interval
    network: Interval
    oracle: Interval


def splits(board: Board) -> tuple[dict[tuple[Row, int | None], Split], Floor | None]:
    """Return the split of the headline metric by row and NFE, as far as floor and oracle are there."""
    facts = board.headline
    if facts is None:
        return {}, None
    floor, _ = floor_of(board, facts)
    found: dict[tuple[Row, int | None], Split] = {}
    for row, nfe in board.cells if floor is not None else ():
        total, oracle = board.values(row, nfe, facts), oracle_of(board, row, nfe, facts)
        if floor is not None and total is not None and oracle is not None and comparable(total, oracle):
            split = _split(total.by_seed, floor.values.by_seed, oracle.by_seed)
            if split is not None:
                found[row, nfe] = split
    return found, floor


def _split(total: Mapping[int, float], floor: Mapping[int, float], oracle: Mapping[int, float]) -> Split | None:
    seeds = [seed for seed in total if seed in floor and seed in oracle]
    if not seeds:
        return None
    return Split(
        total=interval([total[s] for s in seeds]),
        floor=interval([floor[s] for s in seeds]),
        solver=interval([oracle[s] - floor[s] for s in seeds]),
        network=interval([total[s] - oracle[s] for s in seeds]),
        oracle=interval([oracle[s] for s in seeds]),
    )


def split_table(board: Board) -> Table | None:
    """Return the table of the parts: a line an evaluation row and NFE."""
    found, floor = splits(board)
    if not found or board.headline is None or floor is None:
        return None
    axes = varying(row for row, _ in found)
    columns = {
        board.headline.name: [s.total for s in found.values()],
        floor.label: [s.floor for s in found.values()],
        "solver": [s.solver for s in found.values()],
        "network": [s.network for s in found.values()],
    }
    numbers = style_for([each for column in columns.values() for each in column])
    lines = []
    for number, (row, nfe) in enumerate(found):
        labels = (*(row[i] or "–" for i in axes), "adaptive" if nfe is None else str(nfe))
        entries = [column[number] for column in columns.values()]
        lines.append(Line(labels, tuple(_entry(each, numbers(each.mean), numbers(each.half)) for each in entries)))
    notes: tuple[str, ...] = (
        f"{board.headline.name} = {floor.label} + solver + network, seed by seed; ± is the 95% interval (Student's t).",
        "solver: what the exact velocity leaves with this solver, path and NFE beyond what real data score. network: "
        "what the trained network adds to that. A negative part means that errors cancel, or that there is none.",
    )
    lost = [r for r in board.references if r.cell.section == "oracle" and r.status not in ("ok", "missing")]
    notes = (*notes, *(dict.fromkeys(f"No oracle with {_sampler(r)}: {r.error}." for r in lost)))
    heads = (*(ROW_AXES[i] for i in axes), "NFE")
    title = f"{board.dataset}: {board.headline.name}, from the network or from the solver?"
    return Table(title, heads, tuple(columns), tuple(lines), notes, minor=True)


def _sampler(record: ReferenceRecord) -> str:
    """Say path, solver, grid and NFE of an oracle."""
    cell = record.cell
    said = [str(spec) for spec in (cell.path, cell.solver, cell.grid) if spec]
    return ", ".join([*said, *([f"NFE {cell.nfe}"] if cell.nfe is not None else [])])


def _entry(value: Interval, mean: str, half: str) -> Entry:
    return Entry(mean, f"± {half}" if value.known else "")


def split_figure(board: Board, folder: Folder, name: str) -> Picture | None:
    """Draw stacked bars: a panel a training combination, a bar a solver and NFE."""
    found, floor = splits(board)
    if not found or board.headline is None or floor is None:
        return None
    from matplotlib.patches import Patch

    trainings = list(dict.fromkeys(row[:N_TRAINING] for row, _ in found))[:MOST_PANELS]
    samplers = list(dict.fromkeys((row[N_TRAINING:], nfe) for row, nfe in found))[:MOST_BARS]
    beyond = [i for i in varying(row for row, _ in found) if i >= N_TRAINING]
    labels = [_bar_label(row, nfe, [i - N_TRAINING for i in beyond]) for row, nfe in samplers]
    width = min(len(trainings), MOST_ACROSS)
    down = -(-len(trainings) // width)
    with themed():
        figure = new_figure(2.0 * width + 0.075 * max(map(len, labels)) + 0.4, down * (0.2 * len(labels) + 0.55) + 0.6)
        plots = figure.subplots(down, width, sharex=True, sharey=True, squeeze=False).flatten()
        for axes in plots[len(trainings) :]:
            axes.set_axis_off()
        for axes, training in zip(plots, trainings, strict=False):
            axes.set_title(fill(words(training, varying(trainings)), TITLE_WIDTH))
            _bars(axes, [found.get(((*training, *row), nfe)) for row, nfe in samplers])
        plots[0].set_yticks(range(len(labels)), labels)
        plots[0].set_ylim(len(labels) - 0.4, -0.6)
        plots[0].set_xlim(left=0)
        figure.supxlabel(board.headline.name, fontsize=9)
        name_above(figure, [Patch(color=COLOURS[part], label=part) for part in PARTS])
        cut = len(trainings) < len({row[:N_TRAINING] for row, _ in found}) or len(samplers) == MOST_BARS
        return save(figure, folder, name, f"{board.dataset}: network or solver?", _caption(board, found, floor, cut))


def _bars(axes: Axes, found: Sequence[Split | None]) -> None:
    """Draw the bars of one training: total, and over it what the oracle and real data score."""
    for at, split in enumerate(found):
        if split is None:
            continue
        half = split.total.half if split.total.known else 0.0
        parts = (split.total.mean, min(split.oracle.mean, split.total.mean), min(split.floor.mean, split.total.mean))
        for value, part in zip(parts, reversed(PARTS), strict=True):
            axes.barh(at, value, 0.75, color=COLOURS[part])
        axes.errorbar(split.total.mean, at, xerr=half, color=INK, elinewidth=0.8)
        axes.plot([split.oracle.mean] * 2, [at - 0.42, at + 0.42], color=INK, linewidth=1.6)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)


def _bar_label(sampler: Row, nfe: int | None, said: Sequence[int]) -> str:
    """Return what a sampler is called: what of it varies, and its NFE."""
    named = ", ".join(sampler[i] for i in said if sampler[i])
    return " ".join(filter(None, (named, "" if nfe is None else f"NFE {nfe}"))) or "adaptive"


def _caption(board: Board, found: Mapping[tuple[Row, int | None], Split], floor: Floor, cut: bool) -> str:
    facts = board.headline
    assert facts is not None
    text = (
        f"{facts.name} in three parts: what {floor.label} score, what the solver adds when the velocity is exact "
        "(the black line is the exact velocity's score), and what the network adds. Where the black line lies beyond "
        "the bar, the network's error and the solver's cancel."
    )
    if any(split.total.known for split in found.values()):
        text += " Bars are means over seeds, with the 95% interval of the total (Student's t)."
    if cut:
        text += f" Shown are at most {MOST_PANELS} training combinations and {MOST_BARS} samplers; the table has all."
    return text
