"""Make the showcases again: a folder each under docs/showcases, of what its suite's report holds.

    python docs/scripts/make_showcases.py [NAME ...] [--home FOLDER]

A showcase is README.md, which GitHub shows (the answer, some figures, one table), all tables, and of some also the
report page and the values of all seeds. It runs `fmbench run` and, where that left no figures, `fmbench report
--figures`, in a folder of its own; with a store given by --home nothing that is in it is computed again. All of them
from nothing take about 25 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
SHOWCASES = ROOT / "docs" / "showcases"
PAGE = "index.html"
"""The report's page; a showcase calls it report.html, because README.md is the folder's first page in the site."""


@dataclass(frozen=True)
class Line:
    """A line of the finding: its name, its colour, and the values of the columns of records.csv that it is about."""

    name: str
    colour: str
    where: dict[str, str]


@dataclass(frozen=True)
class Showcase:
    """A suite, and what of its report is kept. `figures` are (file without ending, caption); `table` begins the heading
    of the one table that README.md shows, the first one unless given."""

    name: str
    suite: str
    figures: tuple[tuple[str, str], ...] = ()
    table: str = ""
    files: tuple[str, ...] = ()
    finding: tuple[Line, ...] = ()


LOW_NFE = (
    Line("linear, euler", "#9a6a00", {"path": "linear", "solver": "euler"}),
    Line("linear, heun", "#b3446c", {"path": "linear", "solver": "heun"}),
    Line("linear, midpoint", "#c8501e", {"path": "linear", "solver": "midpoint"}),
    Line("cosine, ab2", "#2468c8", {"path": "cosine", "solver": "ab2"}),
)
ALL = (
    Showcase(
        "low_nfe",
        "suites/low_nfe.yaml",
        (
            ("score_by_nfe", "FID by NFE: a panel a training combination, a line a solver; bars are 95% intervals."),
            ("samples_by_solver", "Samples of one network by each solver; NFE grows downwards, noise is the same."),
        ),
        files=(PAGE, "records.csv", "references.csv"),
        finding=LOW_NFE,
    ),
    Showcase(
        "toy2d",
        "suites/toy2d.yaml",
        (("network_or_solver_gaussian_mixture", "A distance in three parts: real data, solver, network."),),
        table="gaussian\\_mixture: sliced\\_wasserstein, from the network",
    ),
    Showcase("guidance", "suites/guidance.yaml"),
    Showcase("learning_rates", "suites/learning_rates.yaml", table="digits(validation=0.2): each at its own best"),
    Showcase(
        "tutorial_sine",
        "suites/tutorials/sine.yaml",
        (
            ("trajectories", "Ways of particles from noise to the curve, for a shallow and a deep network."),
            ("velocity", "The velocity field at some times."),
        ),
        files=("flow.gif",),
    ),
    Showcase(
        "tutorial_reflow_digits",
        "suites/tutorials/reflow_digits.yaml",
        (("samples_by_training", "Samples before and after reflow, NFE grows downwards, noise is the same."),),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the showcases that are named, or all."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(each.name for each in ALL))
    parser.add_argument("--home", type=Path, help="a store to take finished cells from, and to leave new ones in")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {each.name for each in ALL}:
        parser.error(f"there is no showcase {', '.join(sorted(unknown))}; there are {', '.join(e.name for e in ALL)}")
    with tempfile.TemporaryDirectory() as name:
        for showcase in ALL:
            if not options.names or showcase.name in options.names:
                make(showcase, report_of(showcase, options.home or Path(name) / "store", Path(name) / "reports"))
    (SHOWCASES / "README.md").write_text(contents())


def report_of(showcase: Showcase, home: Path, reports: Path) -> Path:
    """Run a suite, and return the folder of its report, with figures."""
    options = ["--home", str(home.absolute()), "--reports", str(reports)]
    fmbench = str(Path(sys.executable).with_name("fmbench"))
    subprocess.run([fmbench, "run", showcase.suite, "--no-tracking", *options], check=True, cwd=ROOT)
    folder = reports / showcase.name
    if not all((folder / f"{figure}.png").exists() for figure, _ in showcase.figures):
        subprocess.run([fmbench, "report", showcase.suite, "--figures", *options], check=True, cwd=ROOT)
    return folder


def make(showcase: Showcase, report: Path) -> None:
    """Make a showcase of a report, in place of what was there."""
    folder = SHOWCASES / showcase.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tables = (report / "table.md").read_text()
    (folder / "table.md").write_text(tables)
    for name in (*(f"{figure}.png" for figure, _ in showcase.figures), *showcase.files):
        shutil.copy(report / name, folder / ("report.html" if name == PAGE else name))
    if showcase.finding:
        draw_finding(showcase.finding, folder / "records.csv", folder)
    (folder / "README.md").write_text(page(showcase, tables))


def page(showcase: Showcase, tables: str) -> str:
    """Return the showcase's first page, of the Markdown of all tables: answer, figures, one table, and where the rest
    is."""
    head, *sections = re.split(r"^## ", tables, flags=re.MULTILINE)
    chosen = next((each for each in sections if each.startswith(showcase.table)), None)
    if chosen is None:
        raise SystemExit(f"{showcase.name}: no table's heading begins with {showcase.table!r}")
    without_commands = re.sub(r"<details>.*?</details>\n*", "", chosen, flags=re.DOTALL)
    parts = [head.rstrip()]
    parts += [f"![{caption}]({figure}.png)\n\n*{caption}*" for figure, caption in showcase.figures]
    parts += [f"## {without_commands.rstrip()}", f"Everything else: [all tables](table.md){others(showcase)}."]
    if finished := re.findall(r"^Finished .*$", tables, flags=re.MULTILINE):
        parts.append(finished[-1])
    return "\n\n".join(parts) + "\n"


def others(showcase: Showcase) -> str:
    """Return links to what else is kept of a report."""
    words = {
        PAGE: "[the report page](report.html) (download it, and open it in a browser)",
        "records.csv": "[every seed's values](records.csv)",
        "flow.gif": "[the particles moving](flow.gif)",
    }
    return "".join(f", {words[name]}" for name in showcase.files if name in words)


def contents() -> str:
    """Return the page that lists all showcases."""
    rows = [f"| [{each.name}]({each.name}/README.md) | {question(each)} | `fmbench run {each.suite}` |" for each in ALL]
    head = (
        "# Showcases\n\nReports of suites that come with fmbench, made by `python docs/scripts/make_showcases.py`.\n\n"
    )
    return f"{head}| suite | what it asks | command |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def question(showcase: Showcase) -> str:
    """Return what a suite asks: its description."""
    found = re.search(r"^description: (.+)$", (ROOT / showcase.suite).read_text(), flags=re.MULTILINE)
    return found[1].strip("'\"") if found else ""


def draw_finding(lines: Sequence[Line], records: Path, folder: Path) -> None:
    """Draw the first metric of records.csv against NFE for some combinations, a dot a seed, large enough for a
    telephone: finding.png for light pages and finding_dark.png for dark ones."""
    with records.open() as file:
        rows = [row for row in csv.DictReader(file) if row["t_distribution"] == "uniform" and row["status"] == "ok"]
    curves = [(line, _values(rows, line)) for line in lines]
    for name, ink, dark in (("finding", "#333333", False), ("finding_dark", "#dddddd", True)):
        _draw(curves, folder / f"{name}.png", ink, dark=dark)


def _values(rows: Sequence[dict[str, str]], line: Line) -> dict[float, list[float]]:
    """Return the values of all seeds of a line, by NFE."""
    values: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        if all(row[column] == value for column, value in line.where.items()):
            values[float(row["nfe_budget"])].append(float(row["fid_digits"]))
    return dict(sorted(values.items()))


def _draw(curves: list[tuple[Line, dict[float, list[float]]]], file: Path, ink: str, *, dark: bool) -> None:
    """Draw 360 pixels wide at twice the resolution: 8 points are 11 pixels there."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib import pyplot
    from matplotlib.colors import to_rgb

    style = {"font.size": 8, "text.color": ink, "axes.edgecolor": ink, "axes.labelcolor": ink}
    style |= {"xtick.color": ink, "ytick.color": ink, "axes.spines.top": False, "axes.spines.right": False}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(3.6, 2.6), dpi=200, layout="constrained")
        for line, points in curves:
            colour = tuple(0.55 * part + 0.45 for part in to_rgb(line.colour)) if dark else line.colour
            axes.plot(
                list(points), [fmean(seeds) for seeds in points.values()], color=colour, linewidth=1.8, label=line.name
            )
            for nfe, seeds in points.items():
                axes.plot([nfe] * len(seeds), seeds, color=colour, marker="o", markersize=3.5, linestyle="none")
        axes.set(xscale="log", yscale="log", xlabel="network evaluations a sample (NFE)", ylabel="FID (digits)")
        ticks = sorted({nfe for _, points in curves for nfe in points})
        axes.set_xticks(ticks, [f"{nfe:g}" for nfe in ticks])
        axes.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        axes.minorticks_off()
        axes.legend(frameon=False, labelcolor=ink, handlelength=1.2)
        figure.savefig(file, transparent=True, metadata={"Software": None})
        pyplot.close(figure)


if __name__ == "__main__":
    main()
