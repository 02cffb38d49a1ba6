"""README.md of a report, for hosts that show Markdown and no page: the answer, the figures, one table a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fmbench.io.markdown import escape_markdown, fence
from fmbench.report.number_format import moment
from fmbench.report.output_folder import README_MARK
from fmbench.report.tables.markdown_and_latex import table_blocks
from fmbench.report.tables.table import Table
from fmbench.results.records import Records

if TYPE_CHECKING:
    from fmbench.report.figures.theme import Picture

FILES = (
    "index.html is the page, to be opened in a browser; [table.md](table.md) holds every table, "
    "[table.tex](table.tex) the same for LaTeX, and [records.csv](records.csv) every cell."
)


def readme(
    records: Records,
    tables: Iterable[Table],
    command: str,
    short: Sequence[tuple[str, str]],
    pictures: Sequence[Picture] = (),
) -> str:
    """Return README.md. `tables` are the first of each dataset, `pictures` those that were drawn.

    Pictures and their other forms are linked, which is how the next report knows them as its own.
    """
    blocks = [README_MARK, f"# {escape_markdown(records.suite)}", escape_markdown(records.description)]
    blocks.append("\n".join(f"- **{escape_markdown(about)}.** {escape_markdown(said)}" for about, said in short))
    for table in tables:
        blocks += [f"## {escape_markdown(table.title)}", *table_blocks(table, commands=False)]
    if pictures:
        blocks += ["## Figures", *map(_figure, pictures)]
    blocks += ["## Do it again", fence(command), FILES]
    if records.finished:
        on = f" on {escape_markdown(records.hardware)}" if records.hardware else ""
        blocks.append(f"Finished {escape_markdown(moment(records.finished))}{on}.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def _figure(picture: Picture) -> str:
    """Show one figure, with links to its other forms."""
    title = escape_markdown(picture.title)
    forms = [f"[SVG]({picture.svg})", *([f"[GIF]({picture.gif})"] if picture.gif else [])]
    return f"**{title}.** {escape_markdown(picture.caption)} ({', '.join(forms)})\n\n![{title}]({picture.png})"
