"""Tables as Markdown and LaTeX, through pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from fmbench.io.markdown import escape_markdown, fence
from fmbench.report.number_format import moment
from fmbench.report.tables.table import Entry, Table
from fmbench.results.records import Records

if TYPE_CHECKING:
    import pandas as pd

_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "−": r"$-$",
    "–": "--",
    "“": "``",
    "”": "''",
    "\n": " ",
}


def escape_tex(text: str) -> str:
    """Escape what LaTeX would read as markup."""
    return "".join(_TEX.get(letter, letter) for letter in text)


def frame(table: Table, escape: Callable[[str], str], bold: str, tied: str) -> pd.DataFrame:
    """Return a table as a frame of text; `bold` holds {} in place of what it makes bold, `tied` is put behind it."""
    import pandas as pd

    def text(entry: Entry) -> str:
        number = escape(" ".join(filter(None, (entry.value, entry.spread))))
        number = (bold.format(number) if entry.best else number) + (tied if entry.tied else "")
        note = escape(f"({entry.note})" if entry.value and entry.note else entry.note)
        return " ".join(filter(None, (number, note)))

    rows = [[*map(escape, line.labels), *map(text, line.entries)] for line in table.lines]
    return pd.DataFrame(rows, columns=[escape(head) for head in (*table.heads, *table.columns)], dtype=object)


def markdown(records: Records, tables: Iterable[Table], command: str, short: Sequence[tuple[str, str]] = ()) -> str:
    """Return table.md: what is said in short, the tables, the commands, and what was left out."""
    blocks = [f"# {escape_markdown(records.suite)}", escape_markdown(records.description)]
    blocks.append("\n".join(f"- **{escape_markdown(about)}.** {escape_markdown(said)}" for about, said in short))
    blocks += ["The command that computes these tables again (finished cells are not computed twice):", fence(command)]
    for table in tables:
        blocks += [f"## {escape_markdown(table.title)}", *table_blocks(table)]
    if records.left_out:
        rows = [f"- {escape_markdown(cell)}: {escape_markdown(reason)}" for cell, reason in records.left_out]
        blocks.append(_details(f"Left out ({len(rows)})", "\n".join(rows)))
    if records.finished:
        on = f" on {escape_markdown(records.hardware)}" if records.hardware else ""
        blocks.append(f"Finished {escape_markdown(moment(records.finished))}{on}.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def table_blocks(table: Table, *, commands: bool = True) -> list[str]:
    """Return a table in Markdown, its notes and, with `commands`, the commands that compute its rows: a block each."""
    blocks = [_pipes(frame(table, escape_markdown, "**{}**", " †"), len(table.heads))] if table.lines else []
    blocks += ["\n".join(f"- {escape_markdown(note)}" for note in table.notes)] if table.notes else []
    if said := [
        f"# {' '.join(', '.join(line.labels).split())}\n{line.command}"
        for line in table.lines
        if line.command and commands
    ]:
        blocks.append(_details("Commands, one a row", fence("\n".join(said))))
    return blocks


def _pipes(content: pd.DataFrame, labels: int) -> str:
    """Write a frame of text as a pipe table (pandas' own writer needs a package that nothing else here needs)."""
    rule = ["---"] * labels + ["---:"] * (len(content.columns) - labels)
    rows = [list(content.columns), rule, *content.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{escape_markdown(summary)}</summary>\n\n{content}\n\n</details>"


def tex(records: Records, tables: Iterable[Table], command: str, short: Sequence[tuple[str, str]] = ()) -> str:
    """Return table.tex: what is said in short as comments, then one table environment a table.

    It needs the packages booktabs and graphicx.
    """
    comments = [*(f"{about}: {said}" for about, said in short), f"{records.suite}: {command}"]
    blocks = [
        "\n".join(f"% {' '.join(comment.split())}" for comment in comments),
        r"% needs \usepackage{booktabs,graphicx}",
    ]
    for table in (each for each in tables if each.lines):
        content = frame(table, escape_tex, r"\textbf{{{}}}", r"$^\dagger$")
        alignment = "l" * len(table.heads) + "r" * len(table.columns)
        body = content.to_latex(index=False, escape=False, column_format=alignment).strip()
        caption = escape_tex(f"{table.title}. {' '.join(table.notes)}")
        blocks.append(
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{caption}}}\n\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n"
            f"{body}}}\n\\end{{table}}"
        )
    return "\n\n".join(blocks) + "\n"
