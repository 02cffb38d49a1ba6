"""What a site consists of, and how its pages are linked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from fmbench.compare import compare, headline, page
from fmbench.compare.page import environment
from fmbench.errors import UserError
from fmbench.io.printable_text import visible
from fmbench.io.regular_files import read_regular
from fmbench.publish.leaderboard import leaderboards
from fmbench.publish.reports import PublishedReport, find_histories, find_reports, slug
from fmbench.publish.site_folder import check_site_folder, write_files
from fmbench.report.number_format import moment
from fmbench.results.snapshot import grouped

HERE = Path(__file__).parent
MOST_PAIRS = 30
"""Comparisons of one suite: of more reports, the newest are compared."""


@dataclass
class SuitePage:
    """What the site holds of a suite: its reports, comparisons as `(said, address, headline)`, what could not be
    compared, and figures of its history as `(name, address)`.
    """

    name: str
    slug: str
    reports: Sequence[PublishedReport]
    comparisons: list[tuple[str, str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    history: list[tuple[str, str]] = field(default_factory=list)

    @property
    def description(self) -> str:
        """What the suite asks."""
        return str(self.reports[-1].results.snapshot.made.get("description") or "")


def write_site(folders: Sequence[Path], target: Path, title: str = "Benchmarks") -> list[SuitePage]:
    """Write the site of all reports in some folders, and return what it holds of each suite.

    The same reports give the same bytes. Raises UserError where there is nothing to publish, or the target is not empty
    and no site.
    """
    check_site_folder(target)
    reports = find_reports(folders)
    files: dict[str, bytes] = {".nojekyll": b""}
    suites: list[SuitePage] = []
    for name, found in grouped((report.suite, report) for report in reports).items():
        suite = SuitePage(name, _unique(slug(name), suites), found)
        files |= dict(_copies(found))
        files |= dict(_comparisons(suite))
        files |= dict(_history(suite, find_histories(folders)))
        files[f"suites/{suite.slug}.html"] = _render("suite.html", suite=suite, tables=leaderboards(found), title=title)
        suites.append(suite)
    newest = max(report.date for report in reports)
    files["index.html"] = _render("index.html", suites=suites, title=title, newest=moment(newest))
    write_files(target, files)
    return suites


def _unique(name: str, suites: Sequence[SuitePage]) -> str:
    return name if all(name != suite.slug for suite in suites) else f"{name}-{len(suites) + 1}"


def _copies(reports: Sequence[PublishedReport]) -> Iterator[tuple[str, bytes]]:
    for report in reports:
        for path in report.files():
            yield f"reports/{report.slug}/{path.name}", _content(path)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _comparisons(suite: SuitePage) -> Iterator[tuple[str, bytes]]:
    """Yield a page for each two reports that follow each other on one machine, and the newest of each two machines."""
    by_machine = list(grouped((report.machine, report) for report in suite.reports).values())
    pairs = [pair for reports in by_machine for pair in pairwise(reports)]
    pairs += [(reports[-1], others[-1]) for reports, others in pairwise(by_machine)]
    newest = sorted(pairs, key=lambda pair: max(report.date for report in pair))[-MOST_PAIRS:]
    for before, after in (pair for pair in pairs if pair in newest):
        said = f"{after.said} against {before.said}"
        try:
            found = compare(before.results, after.results)
        except UserError as error:
            suite.refused.append((said, str(error)))
            continue
        name = f"{after.slug}-against-{before.slug}.html"
        suite.comparisons.append((said, name, headline(found)))
        yield f"compare/{name}", page(found, back="../index.html").encode()


def _history(suite: SuitePage, paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield the figure of a suite's history, where one was kept beside the reports."""
    name = suite.reports[-1].results.snapshot.suite
    mine = [path for path in paths if path.stem == name and suite.name == name]
    if not mine:
        return
    from fmbench import history

    for path in mine:
        known = history.read(path, name)
        facts = next((f for f in known.metrics.values() if f.scope == "evaluation" and f.better and not f.over), None)
        lines = [] if facts is None or len(known.nights) < 2 else history.make_lines(known, facts)
        if facts is None or not lines:
            continue
        with tempfile.TemporaryDirectory() as folder:
            picture = history.draw(known, facts, history.find_steps(lines, facts), Path(folder))
            address = f"history/{suite.slug}-{slug(facts.name)}.svg"
            suite.history.append((f"{facts.name} over {len(known.nights)} nights", address))
            yield address, (Path(folder) / picture.svg).read_bytes()


def _render(template: str, **content: Any) -> bytes:
    return visible(environment(HERE).get_template(template).render(**content)).encode()
