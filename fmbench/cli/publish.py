"""The verb publish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import say

Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="FOLDER...", help="Reports, or folders of them, such as reports.", callback=options.nameable
    ),
]
Target = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="The site's folder.", callback=options.nameable)
]
Title = Annotated[str, typer.Option("--title", help="The title of its first page.")]


def publish(folders: Folders, output: Target = Path("site"), title: Title = "Benchmarks") -> None:
    """Build one static site out of reports: an index, leaderboards, comparisons, histories, and the reports."""
    from fmbench.io.printable_text import count
    from fmbench.publish import write_site

    suites = write_site(folders, output, title)
    for suite in suites:
        said = f"{count(len(suite.reports), 'report')}, {count(len(suite.comparisons), 'comparison')}"
        say(f"{suite.name}: {said}")
        for what, reason in suite.refused:
            say(f"not compared: {what}: {reason}", "yellow")
    say(f"Site: {output / 'index.html'}", "bold")
