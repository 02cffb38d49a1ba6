"""The picture of a history: what changed since the first night, a panel an axis, with the steps marked."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from datetime import datetime
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbench.history.history import History
from fmbench.history.step_detection import Step, StepsOfLine, told_first
from fmbench.history.trend_lines import WHOLE, Floats, TrendLine, half_widths
from fmbench.report.figures.theme import INK, MUTED, Look, Picture, looks, new_figure, new_panels, save, themed
from fmbench.report.output_folder import Folder
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LINES, MOST_CELLS, BANDS, COLUMNS = 8, 6, 3, 2
WIDTH, HEIGHT = 11.5, 2.5
LABELS, ABOVE, LETTERS = 22, 38, 15
"""Commits that fit above a panel, points that they need there, letters of a footnote an inch."""
LEAST = 0.5
"""Percent that a panel shows at least on either side of 0."""
CELLS = "cells with steps of their own"


def draw(
    history: History, facts: MetricFacts, found: Sequence[StepsOfLine], folder: Path, chosen: Sequence[str] = ()
) -> Picture:
    """Draw the lines of one metric and their steps as `<suite>_<metric>.png` and `.svg`.

    `chosen` says in words, such as `path=linear`, which part of the history it is; they are in the title and the name.
    """
    name = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", "+".join([f"{history.suite}_{facts.name}", *chosen])).strip("-")[:150]
    panels = _panels(found)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with themed():
        figure = new_figure(WIDTH if columns > 1 else 0.66 * WIDTH, HEIGHT * rows + 1.1)
        created = new_panels(figure, len(panels), columns, sharex=True)
        times: Any = np.array([datetime.fromisoformat(night.time).replace(tzinfo=None) for night in history.nights])
        times = times.astype("datetime64[s]")
        named = {id(step) for _, step in told_first(found)}
        for axes, (title, members) in zip(created, panels.items(), strict=True):
            _panel(axes, title, members, times, facts, named)
        _dates(created, columns)
        for axes in created[:columns]:
            _commits(axes, history, found, times)
        title = f"{facts.name} of {history.suite}" + (f", {facts.better} is better" if facts.better else "")
        title += f": {', '.join(chosen)}" if chosen else ""
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
        caption = _caption(found)
        footnote = fill(caption, int(figure.get_figwidth() * LETTERS))
        figure.supxlabel(footnote, x=0.01, ha="left", fontsize=7.5, color=MUTED)
        return save(figure, Folder(folder), name, f"{facts.name} over the nights", caption)


def _panels(found: Sequence[StepsOfLine]) -> dict[str, list[StepsOfLine]]:
    """Return the lines of each panel: the whole, then an axis each, then cells that have steps of their own."""
    components = [one for one in found if one.line.kind == "component"]
    panels = grouped((" and ".join(one.line.axes) or WHOLE, one) for one in components)
    cells = [one for one in found if one.line.kind == "cell"]
    if not panels:
        return {"": _most(cells, MOST_LINES)}
    panels = {title: _most(members, MOST_LINES) for title, members in panels.items()}
    own = {id(one): one for one, _ in told_first(found) if one.line.kind == "cell"}
    return {**panels, CELLS: _most(list(own.values()), MOST_CELLS)} if own else panels


def _most(members: Sequence[StepsOfLine], most: int) -> list[StepsOfLine]:
    """Return the lines that moved most, in their own order."""
    sizes = [max((abs(s.change) for s in m.steps), default=0.0) + 1e-3 * abs(m.line.level[-1]) for m in members]
    kept = set(sorted(range(len(members)), key=lambda i: -sizes[i])[:most])
    return [member for i, member in enumerate(members) if i in kept]


def _panel(
    axes: Axes, title: str, members: Sequence[StepsOfLine], times: Any, facts: MetricFacts, told: Container[int]
) -> None:
    """Draw lines in a panel; steps in `told`, by their id, have their size written beside them."""
    single = members[0] if len(members) == 1 and members[0].line.values is not None and not title else None
    names = {id(one): one.line.name.removeprefix(f"{title} ") for one in members}
    styles = looks(names.values())
    axes.grid(True, axis="y")
    reach = [
        _line(axes, one, styles[names[id(one)]], names[id(one)], times, len(members) <= BANDS, single is not None)
        for one in members
    ]
    _limits(axes, reach, 0.0 if single is not None else LEAST)
    for one in members:
        _marks(axes, one, styles[names[id(one)]].colour, times, single is not None, told)
    if single is not None:
        axes.set_title(single.line.name, pad=4)
        axes.set_ylabel(facts.name + (f" [{facts.unit}]" if facts.unit else ""))
    else:
        axes.set_title(title, pad=4)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}%" if value else "0%")
    if len(members) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7.5, handlelength=1.6, borderaxespad=0.2)


def _line(
    axes: Axes, one: StepsOfLine, look: Look, label: str, times: Any, band: bool, absolute: bool
) -> tuple[float, float]:
    """Draw one line piece by piece, breaks as dotted uprights; return its reach without the nights set aside."""
    line = one.line
    middle, low, high = _shown(line, absolute)
    style = {**look.line, "markersize": 2.5 if len(line.nights) > 12 else 4.0, "linewidth": 1.2}
    at = times[line.nights]
    for number, piece in enumerate(line.pieces()):
        axes.plot(at[piece], middle[piece], label=label if number == 0 else None, zorder=3, **style)
        if band:
            axes.fill_between(at[piece], low[piece], high[piece], color=look.colour, alpha=0.13, linewidth=0, zorder=2)
    for start in line.breaks:
        axes.axvline(at[start], color=MUTED, linestyle=":", linewidth=0.9, zorder=1)
    inside = ~np.isin(line.nights, one.outliers)
    ends = (low[inside], high[inside]) if band else (middle[inside], middle[inside])
    return float(ends[0].min()), float(ends[1].max())


def _limits(axes: Axes, reach: Sequence[tuple[float, float]], least: float) -> None:
    """Show what lines reach, and at least `least` on either side of 0: nights set aside must not press them flat."""
    low, high = min(low for low, _ in reach), max(high for _, high in reach)
    low, high = (min(low, -least), max(high, least)) if least else (low, high)
    margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _marks(axes: Axes, one: StepsOfLine, colour: str, times: Any, absolute: bool, told: Container[int]) -> None:
    """Mark nights set aside with circles, at the edge where they are beyond it, and steps with triangles."""
    middle, _, _ = _shown(one.line, absolute)
    place = {int(night): i for i, night in enumerate(one.line.nights)}
    hollow: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 7, "markerfacecolor": "none"}
    for night in one.outliers:
        edge = float(np.clip(middle[place[night]], *axes.get_ylim()))
        axes.plot([times[night]], [edge], markeredgecolor=colour, zorder=4, clip_on=False, **hollow)
    for step in one.steps:
        _mark(axes, step, times[step.after], float(middle[place[step.after]]), colour, id(step) in told)


def _mark(axes: Axes, step: Step, when: Any, height: float, colour: str, with_size: bool) -> None:
    filled = "white" if step.is_new else colour
    axes.axvline(when, color=colour, linewidth=0.7, alpha=0.5, zorder=1)
    marker = "^" if step.change > 0 else "v"
    size = 8 if with_size else 5
    axes.plot([when], [height], marker=marker, markersize=size, color=colour, markerfacecolor=filled, zorder=5)
    if with_size:
        label = f"{100 * step.change:+{'.0f' if abs(step.change) >= 0.1 else '.1f'}}%"
        beside: dict[str, Any] = {"xytext": (-7, 5 if step.change > 0 else -11), "textcoords": "offset points"}
        axes.annotate(label, (when, height), **beside, ha="right", fontsize=7.5, color=colour, zorder=6)


def _shown(line: TrendLine, absolute: bool) -> tuple[Floats, Floats, Floats]:
    """Return the mean and both ends of its interval as they are drawn: values, or percent since the first night."""
    if absolute and line.values is not None and line.spread is not None:
        half = np.nan_to_num(line.spread)
        return line.values, line.values - half, line.values + half
    half = np.nan_to_num(half_widths(line.seeds))
    shown = [100 * line.fraction(each) for each in (line.level, line.level - half, line.level + half)]
    return shown[0], shown[1], shown[2]


def _dates(created: Sequence[Axes], columns: int) -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    for number, axes in enumerate(created):
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.tick_params(axis="x", labelbottom=number + columns >= len(created))


def _commits(axes: Axes, history: History, found: Sequence[StepsOfLine], times: Any) -> None:
    """Name commits above a panel where they change: those of steps first, then as many as there is room for."""
    states = [night.code_state for night in history.nights]
    changes = [i for i, state in enumerate(states) if i == 0 or state != states[i - 1]]
    stepped = {step.after for one in found for step in one.steps}
    where = axes.xaxis.convert_units(times).tolist()  # type: ignore[no-untyped-call]
    wide = max(where[-1] - where[0], 1e-9)
    kept: list[int] = []
    for i in sorted(changes, key=lambda i: (i not in stepped, i)):
        if all(abs(where[i] - where[other]) * LABELS >= wide for other in kept):
            kept.append(i)
    above = axes.secondary_xaxis("top")
    above.set_xticks([where[i] for i in kept], [states[i] for i in kept], rotation=60, ha="left", fontsize=6.5)
    above.tick_params(length=2.5, pad=1, colors=MUTED)
    above.spines["top"].set_visible(False)
    axes.set_title(axes.get_title(loc="left"), pad=ABOVE)


def _caption(found: Sequence[StepsOfLine]) -> str:
    lines = [one.line for one in found]
    relative = len(lines) > 1
    said = ["Change since the first night or the last cut, the mean over seeds" if relative else "The mean over seeds"]
    if any(line.log for line in lines) and relative:
        said[0] += " and the geometric mean over cells"
    said.append("Bands are 95% intervals (Student's t)")
    if any(one.steps for one in found):
        said.append("Triangles are steps (small: another one explains it; hollow: new, it may not stay)")
    said += ["Circles are nights set aside"] if any(one.outliers for one in found) else []
    said += ["Dotted: values before it cannot be compared"] if any(line.breaks for line in lines) else []
    return ". ".join(said) + ". Above: git commits."
