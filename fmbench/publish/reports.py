"""The reports that a site is made of, and the histories beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fmbench.compare import ComparedResults, read_results
from fmbench.errors import UserError
from fmbench.report.number_format import moment

PAGE, RESULTS = "index.html", "results.json"
KINDS = (".html", ".csv", ".json", ".md", ".tex", ".png", ".svg", ".gif")
"""What a report consists of; nothing else in its folder is published."""
LONGEST = 60


@dataclass(frozen=True)
class PublishedReport:
    """One report: its folder, its results, and `slug`, the name of its folder in the site."""

    folder: Path
    results: ComparedResults
    slug: str = ""

    @property
    def suite(self) -> str:
        """The suite, with what was changed of it."""
        snapshot = self.results.snapshot
        variant = str(snapshot.made.get("variant") or "")
        return f"{snapshot.suite} ({variant})" if variant else snapshot.suite

    @property
    def date(self) -> str:
        """When the report's records were made, as ISO text."""
        return str(self.results.snapshot.made.get("date") or "")

    @property
    def machine(self) -> str:
        """What computed."""
        return self.results.snapshot.hardware

    @property
    def commit(self) -> str:
        """The commit, "" where none is known."""
        return str(self.results.snapshot.made.get("environment", {}).get("git_commit") or "")

    @property
    def said(self) -> str:
        """Machine, date and commit in a line."""
        return ", ".join(filter(None, (self.machine, moment(self.date), self.commit)))

    def files(self) -> list[Path]:
        """Return the files of the report, sorted; links are none of them."""
        found = (path for path in self.folder.iterdir() if path.suffix in KINDS)
        return sorted(path for path in found if path.is_file() and not path.is_symlink())


def find_reports(folders: Sequence[Path]) -> list[PublishedReport]:
    """Return the reports in folders: each is one itself, or holds some. Sorted by suite, date and machine.

    Raises UserError where a folder holds none, or one without results.json.
    """
    found: dict[Path, PublishedReport] = {}
    for folder in folders:
        places = [folder] if _is_report(folder) else _inside(folder)
        for place in places:
            found.setdefault(place.resolve(), PublishedReport(place, read_results(str(place / RESULTS))))
    return _named(sorted(found.values(), key=lambda r: (r.suite, r.date, r.machine, str(r.folder))))


def find_histories(folders: Sequence[Path]) -> list[Path]:
    """Return the history files in folders of reports."""
    return sorted({path for folder in folders for path in (folder / "history").glob("*.parquet")})


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; publish takes folders of reports, such as reports/low_nfe.")
    places = sorted(path for path in folder.iterdir() if path.is_dir() and _is_report(path))
    if not places:
        old = (folder / "records.csv").exists()
        why = f"it has no {RESULTS}, which `fmbench report SUITE` writes" if old else "nor do the folders in it"
        raise UserError(f"{folder} holds no report that can be published: {why}.")
    return places


def _is_report(folder: Path) -> bool:
    return (folder / PAGE).is_file() and (folder / RESULTS).is_file()


def _named(reports: Sequence[PublishedReport]) -> list[PublishedReport]:
    """Give each report the name of its folder in the site: suite, machine and day, numbered where they share these."""
    taken: set[str] = set()
    named = []
    for report in reports:
        base = slug(f"{report.suite} {report.machine} {report.date[:10]}")
        names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(reports) + 1))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        named.append(replace(report, slug=name))
    return named


def slug(text: str) -> str:
    """Return a text as a file may be called on any host."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST].strip("-") or "results"
