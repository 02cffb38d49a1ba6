"""The chart of a page without scripts, and in print: scores against NFE as one SVG in the colour of the text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from fmbench.report.number_format import MINUS
from fmbench.report.page_data.ranks import headline_columns, row_ranks

ACROSS, MOST_PANELS = 4, 12
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 225.0, 165.0, 44.0, 34.0, 26.0
"""Of a panel, in pixels: all of it, and the room for its axes and title."""
LEGEND_LINE = 18.0
LETTER = 6.2
"""How wide a letter is, about."""
SPANS = 5.0
"""Largest over smallest mean from which the axis of scores is logarithmic."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4", "1 4", "4 2 1 2")
MARKERS: tuple[Callable[[float, float], str], ...] = (
    lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>',
    lambda x, y: f'<rect x="{x - 2.7:.1f}" y="{y - 2.7:.1f}" width="5.4" height="5.4"/>',
    lambda x, y: f'<path d="M{x:.1f} {y - 3.6:.1f}l3.4 6.2h-6.8z"/>',
    lambda x, y: f'<path d="M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4-4z"/>',
    lambda x, y: f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6" fill="none"/>',
    lambda x, y: f'<path d="M{x - 3.5:.1f} {y:.1f}h7m-3.5-3.5v7" fill="none"/>',
    lambda x, y: f'<path d="M{x:.1f} {y + 3.6:.1f}l3.4-6.2h-6.8z"/>',
)


@dataclass(frozen=True)
class ChartPoint:
    """A score at an NFE; `low` and `high` are None where nothing is known of its spread."""

    nfe: float
    mean: float
    low: float | None
    high: float | None


PanelLines = Mapping[str, Sequence[ChartPoint]]
"""The points of each way of sampling, NFE ascending."""


@dataclass(frozen=True)
class Scale:
    """Where a number stands between two pixels; logarithmic where `log` is."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; what lies beyond the scale stands at its edge."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, self._within(value)))
        return self.start + (self.end - self.start) * ((at - low) / (high - low) if high > low else 0.5)

    def _within(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def static_chart(data: Mapping[str, Any], dataset: Mapping[str, Any], number: int = 0) -> str:
    """Return the SVG of a dataset, out of the page's payload: a panel a training combination, a line a solver.

    "" where there is no score at any NFE. `number` keeps the ids of several datasets apart.
    """
    panels, left = _panels(data, dataset)
    if not panels:
        return ""
    metric = data["metrics"][dataset["headline"]]
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    across, down = min(len(panels), ACROSS), -(-len(panels) // ACROSS)
    legend, legend_height = _legend(names, across * WIDTH, down * HEIGHT)
    points = [point for lines in panels.values() for own in lines.values() for point in own]
    x, y = _nfe_scale(dataset["nfe"]), _score_scale(points)
    title = f"{dataset['name']}: {metric['title']}, by NFE"
    described = (
        f"{len(panels)} panels, one a training combination; a line a way of sampling: {', '.join(names)}. Bars are 95% "
        f"intervals over seeds.{left}"
    )
    body = [_panel(n, name, lines, names, x, y, dataset["nfe"]) for n, (name, lines) in enumerate(panels.items())]
    size = f"{across * WIDTH:.0f} {down * HEIGHT + legend_height:.0f}"
    ids = f"static-title-{number}", f"static-description-{number}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-labelledby="{" ".join(ids)}" '
        'class="static-chart" fill="currentColor" stroke="none" font-size="11" font-family="inherit">'
        f'<title id="{ids[0]}">{escape(title)}</title><desc id="{ids[1]}">{escape(described)}</desc>'
        f"{''.join(body)}{legend}</svg>"
    )


def _panels(data: Mapping[str, Any], dataset: Mapping[str, Any]) -> tuple[dict[str, PanelLines], str]:
    """Return the lines of each training combination by its name, the best of many, and words on those left out."""
    columns = headline_columns(dataset)
    if columns is None or columns["group"] is not None or not dataset["nfe"]:
        return {}, ""
    ranks = row_ranks(data, dataset)
    entries, panels = dataset["entries"], dict[tuple[str, ...], dict[str, list[ChartPoint]]]()
    best: dict[tuple[str, ...], float] = {}
    for place, (row, budget) in enumerate(zip(entries["row"], entries["nfe"], strict=True)):
        if budget is None or columns["mean"][place] is None:
            continue
        training, sampler = (_said(data, dataset, row, role) for role in ("training", "sampler"))
        best[training] = min(best.get(training, math.inf), ranks[row])
        spread = columns["low"][place], columns["high"][place]
        point = ChartPoint(dataset["nfe"][budget], columns["mean"][place], *spread)
        name = ", ".join(sampler) or "score"
        panels.setdefault(training, {}).setdefault(name, []).append(point)
    kept = set(sorted(panels, key=lambda training: best[training])[:MOST_PANELS])
    left = f" Shown are the best {len(kept)} of {len(panels)} training combinations." if len(kept) < len(panels) else ""
    return {" + ".join(training): lines for training, lines in panels.items() if training in kept}, left


def _said(data: Mapping[str, Any], dataset: Mapping[str, Any], row: int, role: str) -> tuple[str, ...]:
    """Return how a row is named by the axes of a role that vary."""
    axes = [axis for axis in dataset["varying"] if data["axes"][axis]["role"] == role]
    said = (data["axes"][axis]["said"][dataset["rows"]["axes"][axis][row]] for axis in axes)
    return tuple(text for text in said if text)


def _nfe_scale(budgets: Sequence[int]) -> Scale:
    """Return the scale of NFE: logarithmic, so that a doubling is as wide everywhere."""
    low, high = min(budgets), max(budgets)
    return Scale(low, high if high > low else low + 1, LEFT + 8, WIDTH - 12, log=low > 0)


def _score_scale(points: Sequence[ChartPoint]) -> Scale:
    means = [point.mean for point in points]
    log = min(means) > 0 and max(means) / min(means) > SPANS
    ends = [end for p in points for end in (p.low, p.high, p.mean) if end is not None and (end > 0 or not log)]
    low, high = (max(min(ends), min(means) / 2), min(max(ends), max(means) * 2)) if log else (min(ends), max(ends))
    apart = high - low > 1e-9 * max(abs(low), abs(high))
    return Scale(low, high if apart else low + max(0.2 * abs(low), 1e-9), HEIGHT - BOTTOM - 4, TOP, log)


def _panel(
    n: int, name: str, lines: PanelLines, names: Sequence[str], x: Scale, y: Scale, budgets: Sequence[int]
) -> str:
    """Return one panel: a title, axes, and each line with its error bars and markers."""
    across, down = n % ACROSS * WIDTH, n // ACROSS * HEIGHT
    most = int((WIDTH - 12) / LETTER)
    shown = name if len(name) <= most else name[: most - 1] + "…"
    parts = [f'<text x="{LEFT}" y="{TOP - 16}" font-weight="600">{escape(shown)}</text>' if name else ""]
    parts += [_axes(x, y, budgets)]
    for label, points in lines.items():
        style = names.index(label)
        dash = f' stroke-dasharray="{DASHES[style % len(DASHES)]}"' if style % len(DASHES) else ""
        path = "L".join(f"{x(p.nfe):.1f} {y(p.mean):.1f}" for p in points)
        bars = "".join(
            f"M{x(p.nfe):.1f} {y(p.low):.1f}V{y(p.high):.1f}"
            for p in points
            if p.low is not None and p.high is not None
        )
        parts.append(f'<g fill="none" stroke="currentColor"><path d="M{path}" stroke-width="1.2"{dash}/>')
        parts.append(f'<path d="{bars}" stroke-width="0.9"/></g>' if bars else "</g>")
        parts.append(f"{_marks(style)}{''.join(_marker(style)(x(p.nfe), y(p.mean)) for p in points)}</g>")
    return f'<g transform="translate({across:.0f} {down:.0f})">{"".join(parts)}</g>'


def _marks(style: int) -> str:
    """Return the start of a group of markers: filled at first, then hollow."""
    fill = "currentColor" if style // len(MARKERS) % 2 == 0 else "none"
    return f'<g fill="{fill}" stroke="currentColor" stroke-width="1.2">'


def _marker(style: int) -> Callable[[float, float], str]:
    return MARKERS[style % len(MARKERS)]


def _axes(x: Scale, y: Scale, budgets: Sequence[int]) -> str:
    """Return both axes with their ticks."""
    frame = f"M{LEFT} {TOP - 6}V{HEIGHT - BOTTOM}H{WIDTH - 4}"
    parts = [f'<path d="{frame}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>']
    every = max(1, math.ceil(len(budgets) / 8))
    for nfe in budgets[::every]:
        parts.append(f'<text x="{x(nfe):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{nfe}</text>')
    for value in ticks(y):
        at = y(value)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - 4}" stroke="currentColor" stroke-opacity="0.15"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    return "".join(parts)


def ticks(scale: Scale) -> list[float]:
    """Return a few round numbers on a scale."""
    if scale.log:
        powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
        found = [m * 10.0**p for p in powers for m in (1, 2, 5) if scale.low <= m * 10.0**p <= scale.high]
        return found if len(found) <= 6 else found[:: math.ceil(len(found) / 6)]
    step = 10.0 ** math.floor(math.log10((scale.high - scale.low) / 2))
    step *= next(m for m in (1, 2, 5, 10) if (scale.high - scale.low) / (m * step) <= 5)
    first = math.ceil(scale.low / step)
    return [n * step for n in range(first, math.floor(scale.high / step) + 1)]


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS) if value else "0"


def _legend(names: Sequence[str], width: float, top: float) -> tuple[str, float]:
    """Return the legend beneath the panels, and its height."""
    if len(names) < 2:
        return "", 0.0
    parts, x, y = [], LEFT, top + LEGEND_LINE
    for style, name in enumerate(names):
        needed = 40 + LETTER * len(name)
        if x > LEFT and x + needed > width:
            x, y = LEFT, y + LEGEND_LINE
        dash = f' stroke-dasharray="{DASHES[style % len(DASHES)]}"' if style % len(DASHES) else ""
        parts.append(f'<path d="M{x:.0f} {y - 4:.0f}h24" fill="none" stroke="currentColor" stroke-width="1.2"{dash}/>')
        parts.append(f"{_marks(style)}{_marker(style)(x + 12, y - 4)}</g>")
        parts.append(f'<text x="{x + 29:.0f}" y="{y:.0f}">{escape(name)}</text>')
        x += needed
    return "".join(parts), y - top + 8
