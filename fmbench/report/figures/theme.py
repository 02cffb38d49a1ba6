"""How figures look: colours that colour-blind readers can tell apart, quiet axes, one colour a solver everywhere."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmbench.report.output_folder import Folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8C6D31")
"""Okabe and Ito's palette, without its yellow, which is too light for lines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))
DPI = 130
INK, MUTED, FAINT = "#222222", "#6b7280", "#d4d7dd"

_RC: Any = {
    "axes.edgecolor": "#9aa0aa",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titley": 1.0,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": "#e6e8ec",
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "fmbench",
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelsize": 8,
}


@dataclass(frozen=True)
class Picture:
    """A figure as it was written: names of its files, caption, and the PNG itself for the page.

    `pixels` says that it shows pictures, which must not be smoothed when they are enlarged. `gif` and `animation` are
    the name and the content of an animation that goes with it, where there is one.
    """

    title: str
    caption: str
    png: str
    svg: str
    data: bytes
    width: int
    pixels: bool = False
    gif: str = ""
    animation: bytes = b""


@dataclass(frozen=True)
class Look:
    """How one label is drawn: colour, marker and dashes; labels beyond the palette repeat colours with other dashes."""

    colour: str
    marker: str
    dashes: Any

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`."""
        own = {"color": self.colour, "marker": self.marker, "linestyle": self.dashes}
        return {**own, "markersize": 4.5, "linewidth": 1.4}


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Give each label a look, in order."""
    unique = list(dict.fromkeys(labels))
    n = len(COLOURS)
    return {
        label: Look(COLOURS[i % n], MARKERS[(i + i // n) % len(MARKERS)], DASHES[(i // n) % len(DASHES)])
        for i, label in enumerate(unique)
    }


@contextmanager
def themed() -> Iterator[None]:
    """Draw in fmbench's style. A letter that the font lacks is drawn as a box, which is no reason to fail."""
    import matplotlib

    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, known to no global state."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02, hspace=0.03)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def new_panels(figure: Figure, n: int, across: int, **shared: Any) -> list[Axes]:
    """Return `n` panels of a figure, `across` beside each other; what is left of the last line stays empty."""
    created: list[Axes] = figure.subplots(-(-n // across), across, squeeze=False, **shared).flatten().tolist()
    for axes in created[n:]:
        axes.set_axis_off()
    return created[:n]


def save(figure: Figure, folder: Folder, name: str, title: str, caption: str, *, pixels: bool = False) -> Picture:
    """Write a figure as PNG and SVG, the same bytes for the same content."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    svg = io.BytesIO()
    # The canvases are asked directly, because `savefig` draws everything once more before it draws it; and the layout
    # that the first makes serves the second.
    agg: Any = FigureCanvasAgg(figure)
    agg.draw()
    figure.set_layout_engine("none")
    vector: Any = FigureCanvasSVG(figure)
    vector.print_svg(svg, metadata={"Date": None, "Creator": None})
    width = round(figure.get_figwidth() * DPI)
    data = _png(np.asarray(agg.buffer_rgba())[..., :3])
    folder.write(f"{name}.png", data)
    folder.write(f"{name}.svg", svg.getvalue())
    return Picture(title, caption, f"{name}.png", f"{name}.svg", data, width, pixels)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return `(height, width, 3)` as a PNG: grey levels where it is grey, else a palette of 256 colours."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    grey = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    reduced = image.convert("L") if grey else image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    reduced.save(file, format="PNG", dpi=(DPI, DPI))
    return file.getvalue()


def nfe_axis(axes: Axes, ticks: Sequence[float]) -> None:
    """Give an axis of NFE: powers of two, and a tick at each budget."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(_thin(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _thin(ticks: Sequence[float], least: float = 1.3) -> list[float]:
    """Drop ticks that would run into the one before them."""
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or tick / kept[-1] >= least:
            kept.append(tick)
    return kept


def log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Make an axis logarithmic, with plain numbers at 1, 2 and 5, or at fewer where the range is wide."""
    from matplotlib.ticker import LogLocator, NullLocator

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    ratio = high / low if low > 0 else 10.0
    subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0) if ratio < 6 else (1.0, 2.0, 5.0) if ratio < 200 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}" if value >= 1e-4 else f"{value:.0e}")


def wants_log(values: Iterable[float]) -> bool:
    """Tell whether values span so much that equal ratios are what a reader compares."""
    found = list(values)
    return bool(found) and min(found) > 0 and max(found) / min(found) > 4
