"""A comparison as Markdown, for a comment on a pull request: a sentence, what changed, and a fold with all."""

from __future__ import annotations

from collections.abc import Iterator

from fmbench.compare.comparison import ResultsComparison
from fmbench.compare.tables import TextTable, metric_table, refused_lines, short_tables
from fmbench.compare.text import headline, summary
from fmbench.io.markdown import escape_markdown

SHOWN = 10
"""Lines of the table of what changed; the fold has all."""
MOST = 60_000
"""Letters: a comment on GitHub holds 65,536."""
ICONS = {"worse": "🔴 worse", "better": "🟢 better"}


def markdown(comparison: ResultsComparison) -> str:
    """Return the comment; where it would be too long for one, the fold says how many lines it leaves out."""
    text = "\n".join(_head(comparison))
    fold = list(_fold(comparison))
    kept: list[str] = []
    room = MOST - len(text)
    for line in fold:
        room -= len(line) + 1
        if room < 0:
            kept.append(f"\n{len(fold) - len(kept)} lines more: `fmbench compare A B` prints them all.")
            break
        kept.append(line)
    return "\n".join([text, "", "<details><summary>All that was compared</summary>", "", *kept, "", "</details>", ""])


def _head(comparison: ResultsComparison) -> Iterator[str]:
    yield f"**{escape_markdown(headline(comparison))}**"
    yield ""
    yield f"A: {escape_markdown(f'{comparison.before.name} ({comparison.before.said})')}  "
    yield f"B: {escape_markdown(f'{comparison.after.name} ({comparison.after.said})')}"
    for table in short_tables(comparison):
        yield ""
        yield from _table(table, SHOWN)
    for text in summary(comparison)[:SHOWN]:
        yield ""
        yield escape_markdown(text)


def _fold(comparison: ResultsComparison) -> Iterator[str]:
    if comparison.differing:
        yield "What differs besides the values:"
        yield ""
        yield from (f"- {escape_markdown(text)}" for text in comparison.differing)
        yield ""
    if refused := refused_lines(comparison):
        yield "Not compared:"
        yield ""
        yield from (f"- {escape_markdown(text)}" for text in refused)
        yield ""
    for side, only in (("A", comparison.only_before), ("B", comparison.only_after)):
        for names in only.values():
            yield from (f"- only in {side}: {escape_markdown(name)}" for name in names)
    yield ""
    for each in comparison.metrics:
        if any(row.gap for row in each.rows):
            table = metric_table(each)
            yield from _table(table, len(table.lines))
            yield ""


def _table(table: TextTable, most: int) -> Iterator[str]:
    yield f"**{escape_markdown(table.title)}**"
    yield ""
    if table.lines:
        yield f"| {' | '.join(map(escape_markdown, table.heads))} |"
        yield "|" + "|".join("---:" if number else "---" for number in table.are_numbers) + "|"
    for line in table.lines[:most]:
        cells = [ICONS.get(cell, escape_markdown(cell)) for cell in line.cells]
        yield f"| {' | '.join(cells)} |"
    if len(table.lines) > most:
        yield ""
        yield f"and {len(table.lines) - most} more, in the fold."
    if table.note:
        yield ""
        yield f"<sub>{escape_markdown(table.note)}</sub>"
