"""The verb compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmbench.cli import options
from fmbench.cli.output import SHOWN, note, say, say_more, show_json, show_table, tell_damaged
from fmbench.errors import StoreError, UserError

if TYPE_CHECKING:
    from fmbench.compare import ComparedResults, ResultsComparison

SUITES = (".yaml", ".yml")
WORSE = 1
HELP = "A report's folder, results.json, baseline, REVISION:PATH, SUITE, or SUITE@STORE."

Side = Annotated[str, typer.Argument(metavar="A", help=HELP)]
Other = Annotated[str, typer.Argument(metavar="B", help="The same; it is compared with A.")]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", metavar="NAME", help="Compare this metric alone; may be repeated.")
]
Filter = Annotated[
    list[str] | None, typer.Option("--filter", metavar="AXIS=VALUE", help="Keep only these: path=linear, nfe=1,4")
]
Across = Annotated[
    list[str] | None, typer.Option("--across", metavar="AXIS", help="Pair what differs on this axis alone.")
]
Despite = Annotated[
    list[str] | None,
    typer.Option("--despite", metavar="PART", help="Compare values though this part of their identity differs."),
]
Better = Annotated[
    list[str] | None,
    typer.Option(
        "--better", metavar="NAME=lower|higher", help="A metric's direction, where only records.csv are left."
    ),
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", callback=options.nameable, help="Write a page, too.")
]
FailOn = Annotated[
    str | None, typer.Option("--fail-on", metavar="worse", help="Exit with 1 where something got worse.")
]


def compare(
    a: Side,
    b: Other,
    metric: Metrics = None,
    filters: Filter = None,
    across: Across = None,
    despite: Despite = None,
    better: Better = None,
    home: options.Home = None,
    plugins: options.Plugins = None,
    as_json: options.Json = False,
    as_markdown: Markdown = False,
    html: Html = None,
    fail_on: FailOn = None,
) -> None:
    """Compare the results B with A: two suites, stores, commits or machines, configuration by configuration.

    Exit codes: 0; 1 with --fail-on worse where something got worse; 2 where nothing can be compared.
    """
    from fmbench.compare import compare as compare_results
    from fmbench.compare.compared_results import axis_named, selected

    if fail_on not in (None, "worse"):
        raise UserError(f"--fail-on takes worse; found {fail_on!r}.")
    if as_json and as_markdown:
        raise UserError("--json and --markdown print one or the other: choose one.")
    if html is not None and html.is_dir():
        raise UserError(f"--html {html} is a folder: name the file to write, such as {html / 'compare.html'}.")
    sides = [selected(_results(name, home, plugins), filters or ()) for name in (a, b)]
    found = compare_results(
        *sides,
        metrics=tuple(metric or ()),
        across=tuple(axis_named(axis) for text in across or () for axis in text.split(",")),
        despite=tuple(part for text in despite or () for part in text.split(",")),
        better=dict(map(_direction, better or ())),
    )
    _show(found, as_json, as_markdown)
    if html is not None:
        _write_page(found, html)
    if fail_on and found.got_worse:
        raise typer.Exit(WORSE)


def _results(name: str, home: str | None, plugins: list[str] | None) -> ComparedResults:
    """Return the results that a name means: those of a suite lie in a store, others in files."""
    from fmbench.suite import shipped_suites

    suite, at, place = name.partition("@")
    if not suite.endswith(SUITES) and (suite not in shipped_suites() or Path(name).exists()):
        from fmbench.compare import read_results

        return read_results(name)
    from fmbench.compare import ComparedResults
    from fmbench.results.snapshot import snapshot

    if at and not place:
        raise UserError(f"{name} names no store after the @: SUITE.yaml@FOLDER, or SUITE.yaml for --home's.")
    session = options.open_session(Path(suite), None, None, plugins, home=place or home, computes=False)
    index = session.results_index(anywhere=True)
    tell_damaged(index)
    found = snapshot(session.records(index))
    if not any(row.status == "ok" for row in found.evaluations.values()):
        raise UserError(f"the store {place or home or session.store.root} holds no finished evaluation of {suite}.")
    return ComparedResults(name, found)


def _direction(text: str) -> tuple[str, Literal["lower", "higher"]]:
    name, _, way = text.rpartition("=")
    if way == "lower":
        return name, "lower"
    if way == "higher":
        return name, "higher"
    raise UserError(f"--better is NAME=lower or NAME=higher, such as fid=lower; found {text!r}.")


def _show(found: ResultsComparison, as_json: bool, as_markdown: bool) -> None:
    if as_json:
        from fmbench.compare import as_data

        show_json(as_data(found))
    elif as_markdown:
        from fmbench.compare import markdown
        from fmbench.io.printable_text import visible

        typer.echo(visible(markdown(found)), nl=False)
    else:
        _tell(found)


def _tell(found: ResultsComparison) -> None:
    """Print the comparison for a person: the sentence, what changed, then what else there is."""
    from fmbench.compare import headline, summary
    from fmbench.compare.tables import refused_lines, short_tables

    say(f"A: {found.before.name} ({found.before.said})")
    say(f"B: {found.after.name} ({found.after.said})")
    say(headline(found), "bold")
    for table in short_tables(found):
        show_table(table.heads, [line.cells for line in table.lines[:SHOWN]], title=f"\n{table.title}")
        say_more(len(table.lines) - SHOWN)
        say(table.note)
    for text in summary(found):
        say(text, "yellow")
    for title, texts in (("Differs", found.differing), ("Not compared", refused_lines(found))):
        for text in texts[:SHOWN]:
            say(f"{title}: {text}")
        say_more(len(texts) - SHOWN)


def _write_page(found: ResultsComparison, path: Path) -> None:
    from fmbench.compare import page
    from fmbench.store.atomic_files import write_atomically

    try:
        write_atomically(path, page(found).encode())
    except StoreError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise UserError(f"--html {path} cannot be written: {reason}; choose another file.") from error
    note(f"Page: {path}")
