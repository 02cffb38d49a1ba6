"""A comparison as a page: one file that works offline."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.compare.compared_results import ComparedResults
from fmbench.compare.comparison import ResultsComparison
from fmbench.compare.tables import metric_table, refused_lines, short_tables
from fmbench.compare.text import headline, summary
from fmbench.io.printable_text import visible
from fmbench.report.html.templates import template_environment

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


def page(comparison: ResultsComparison, back: str = "") -> str:
    """Return the page's HTML; `back` is a relative address to which it links, "" for none."""
    tables = [metric_table(each) for each in comparison.metrics if any(row.gap for row in each.rows)]
    return visible(
        environment()
        .get_template("page.html")
        .render(
            headline=headline(comparison),
            sides=[(side, each.name, each.said) for side, each in zip("AB", _sides(comparison), strict=True)],
            short=short_tables(comparison),
            summary=summary(comparison),
            differing=comparison.differing,
            refused=refused_lines(comparison),
            only=[
                (side, name)
                for side, only in (("A", comparison.only_before), ("B", comparison.only_after))
                for names in only.values()
                for name in names
            ],
            tables=tables,
            back=back,
        )
    )


def _sides(comparison: ResultsComparison) -> tuple[ComparedResults, ComparedResults]:
    return comparison.before, comparison.after


@cache
def environment(*folders: Path) -> Environment:
    """Return where the templates of comparisons are found, and others in some folders, with the style they share."""
    found = template_environment(*folders, HERE)
    found.globals["style"] = (HERE / "style.css").read_text("utf-8")
    return found
